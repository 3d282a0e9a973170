import { AppError } from "@tollgate/errors";
import { z } from "zod";

const PAGE_MAX = 1_000;
const PAGE_DEFAULT = 100;
const CURSOR_MAX_CHARS = 1_024;

/** What the query of every list takes. */
export const page = {
  limit: z.coerce.number().int().min(1).max(PAGE_MAX).default(PAGE_DEFAULT),
  cursor: z.string().max(CURSOR_MAX_CHARS).default(""),
};

/** Lists that are at hand as a whole: a cursor is the key of a page's last item. */
export function pageOf<T>(items: readonly T[], options: { limit: number; cursor: string; keyOf: (item: T) => string }) {
  const { limit, cursor, keyOf } = options;
  const last = Buffer.from(cursor, "base64url").toString();
  const before = cursor === "" ? 0 : items.findIndex((item) => keyOf(item) === last) + 1;
  if (cursor !== "" && before === 0)
    throw new AppError("invalid_argument", "cursor: what it named is not there any more");
  const shown = items.slice(before, before + limit);
  const more = before + shown.length < items.length;
  return { items: shown, nextCursor: more ? Buffer.from(keyOf(shown.at(-1)!)).toString("base64url") : null };
}
