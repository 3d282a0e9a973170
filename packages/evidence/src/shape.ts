/** What a field has to be. */
type Form = "one" | "text" | "count" | "time?" | "hash" | "hash?" | "any";
export type Fields = Readonly<Record<string, Form>>;

const CHECKS: Readonly<Record<Form, (value: unknown) => boolean>> = {
  one: (value) => value === 1,
  text: (value) => typeof value === "string",
  count: isCount,
  /** Unix milliseconds; null means no bound. */
  "time?": (value) => value === null || Number.isSafeInteger(value),
  hash: isHash,
  /** Empty: there is none. */
  "hash?": (value) => value === "" || isHash(value),
  any: () => true,
};

/** Whether it has exactly these fields: others would not be signed, and somebody might read them all the same. */
export function matches(value: unknown, fields: Fields): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const names = Object.keys(value);
  if (names.length !== Object.keys(fields).length) return false;
  const given = value as Readonly<Record<string, unknown>>;
  return names.every((name) => Object.hasOwn(fields, name) && CHECKS[fields[name]!](given[name]));
}

export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** SHA-256, hexadecimal. */
export function isHash(value: unknown): value is string {
  return typeof value === "string" && /^[0-9a-f]{64}$/.test(value);
}
