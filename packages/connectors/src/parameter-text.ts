import { isObject, plainText } from "./exact-json.ts";
import type { OperationParameter } from "./operation.ts";

/** RFC 3986's unreserved characters stay, all others are escaped: nothing in a value can end the part that it stands in. */
export function escaped(text: string): string {
  return encodeURIComponent(text.toWellFormed()).replaceAll(
    /[!'()*]/g,
    (each) => `%${each.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** What stands inside a list or an object of a parameter: nothing is nested there, but as JSON. */
function partOf(value: unknown): string {
  return value === null || value === undefined ? "" : (plainText(value) ?? JSON.stringify(value));
}

function membersOf(value: Readonly<Record<string, unknown>>): [string, string][] {
  return Object.entries(value).map(([key, each]) => [key, partOf(each)]);
}

/** The text that stands in a path's place (OpenAPI 3.1, Style Values: simple, label, matrix). */
export function pathText(
  { name, style = "simple", explode = false, contentType }: OperationParameter,
  value: unknown,
): string {
  const isJson = contentType !== undefined;
  const plain = isJson ? JSON.stringify(value) : plainText(value);
  const parts =
    plain !== undefined
      ? [escaped(plain)]
      : Array.isArray(value)
        ? value.map((each: unknown) => escaped(partOf(each)))
        : membersOf(value as Readonly<Record<string, unknown>>).map(([key, each]) =>
            [escaped(key), escaped(each)].join(explode ? "=" : ","),
          );
  if (style === "label") return `.${parts.join(explode ? "." : ",")}`;
  if (style !== "matrix") return parts.join(",");
  const isNamed = plain !== undefined || Array.isArray(value);
  if (!explode || plain !== undefined) return `;${escaped(name)}=${parts.join(",")}`;
  return parts.map((part) => (isNamed ? `;${escaped(name)}=${part}` : `;${part}`)).join("");
}

const SEPARATORS = { spaceDelimited: "%20", pipeDelimited: "%7C" } as const;

/** Names and values, escaped, of a query (style form, spaceDelimited, pipeDelimited, deepObject). */
export function queryPairs(parameter: OperationParameter, value: unknown): [name: string, value: string][] {
  const { name, style = "form", contentType } = parameter;
  const explode = parameter.explode ?? style === "form";
  const plain = contentType === undefined ? plainText(value) : JSON.stringify(value);
  if (plain !== undefined) return [[escaped(name), escaped(plain)]];
  const separator = SEPARATORS[style as keyof typeof SEPARATORS] ?? ",";
  if (Array.isArray(value)) {
    const parts = value.map((each: unknown) => escaped(partOf(each)));
    return explode ? parts.map((part) => [escaped(name), part]) : [[escaped(name), parts.join(separator)]];
  }
  const members = membersOf(value as Readonly<Record<string, unknown>>).map(
    ([key, each]) => [escaped(key), escaped(each)] as [string, string],
  );
  if (style === "deepObject") return members.map(([key, each]) => [`${escaped(name)}%5B${key}%5D`, each]);
  return explode ? members : [[escaped(name), members.flat().join(separator)]];
}

/** The text of a header (style simple), or of a cookie, where it is escaped besides. */
export function headerText({ explode = false, contentType }: OperationParameter, value: unknown): string {
  const plain = contentType === undefined ? plainText(value) : JSON.stringify(value);
  if (plain !== undefined) return plain;
  if (isObject(value))
    return membersOf(value)
      .map((each) => each.join(explode ? "=" : ","))
      .join(",");
  return (value as unknown[]).map(partOf).join(",");
}

/** application/x-www-form-urlencoded, of an object's members: lists as a name that is there several times. */
export function formText(value: Readonly<Record<string, unknown>>): string {
  const pairs = Object.entries(value).flatMap(([name, each]) =>
    (Array.isArray(each) ? (each as unknown[]) : [each])
      .filter((one) => one !== null && one !== undefined)
      .map((one) => `${escaped(name)}=${escaped(partOf(one))}`),
  );
  return pairs.join("&");
}
