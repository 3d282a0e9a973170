const SPECIAL = /["\\]/;

/** PostgreSQL's text of an array. The client library makes one too, of each element in three steps. */
export function arrayLiteral(values: readonly (string | number | null)[]): string {
  return `{${values.map(element).join(",")}}`;
}

/** Texts are quoted, whatever they are. */
function element(value: string | number | null): string {
  if (value === null) return "NULL";
  if (typeof value === "number") return String(value);
  return SPECIAL.test(value) ? `"${value.replaceAll(/["\\]/g, "\\$&")}"` : `"${value}"`;
}
