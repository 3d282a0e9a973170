import { type Recordable, RECORDABLE } from "@tollgate/contracts";
import { z } from "zod";

/** What of calls is kept whole, encrypted; one value stands for a list of one. */
export const recordable = z.preprocess(
  (value) => (typeof value === "string" ? [value] : value),
  z.array(z.enum(RECORDABLE, `has to be one of ${RECORDABLE.join(", ")}`)).max(RECORDABLE.length),
);

/** Each once, and in one order. */
export function toRecordable(given: readonly Recordable[] = []): Recordable[] {
  return RECORDABLE.filter((each) => given.includes(each));
}

/** Of an annotation in Cedar: `arguments, result`. Undefined when it says something else. */
export function parseRecordable(text: string): Recordable[] | undefined {
  const parsed = recordable.safeParse(text.split(",").map((each) => each.trim()));
  return parsed.success ? toRecordable(parsed.data) : undefined;
}
