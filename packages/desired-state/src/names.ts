import { NAME_PATTERN } from "@tollgate/contracts";
import { z } from "zod";

const TITLE_MAX_CHARS = 200;

export const name = z.string().regex(NAME_PATTERN, "has to be 1 to 63 of a-z, 0-9 and inner -");
export const title = z.string().min(1, "is empty").max(TITLE_MAX_CHARS);

/** Groups and servers are parts of routes, beside these. */
export const ROUTE_WORDS: readonly string[] = ["sse", "ws", "messages"];
const routedName = name.refine(
  (id) => !ROUTE_WORDS.includes(id),
  `must not be ${ROUTE_WORDS.join(" or ")}: routes use these words`,
);
/** Of a group. */
export const groupName = routedName.refine((id) => id !== "sets", 'must not be "sets": tool sets are behind that word');
/** Of a server and of a connector, which is one. */
export const serverName = routedName.refine(
  (id) => id !== "group",
  'must not be "group": policies use that word for whole groups',
);
