/** Of a JSON object that somebody else wrote. */
export type Fields = Readonly<Record<string, unknown>>;

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The object at the key, or an empty one. */
export function fieldsAt(value: unknown, key: string): Fields {
  const found = isFields(value) ? value[key] : undefined;
  return isFields(found) ? found : {};
}

/** The objects of the list at the key. */
export function objectsAt(value: unknown, key: string): Fields[] {
  const found = isFields(value) ? value[key] : undefined;
  return Array.isArray(found) ? found.filter(isFields) : [];
}

/** The texts of the list at the key; numbers and booleans are texts too. */
export function textsAt(value: unknown, key: string): string[] {
  const found = isFields(value) ? value[key] : undefined;
  return Array.isArray(found) ? found.flatMap((each) => toText(each) ?? []) : [];
}

export function textAt(value: unknown, key: string): string | undefined {
  return isFields(value) ? toText(value[key]) : undefined;
}

function toText(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  return typeof value === "number" || typeof value === "boolean" ? String(value) : undefined;
}
