import { parseJson } from "@tollgate/mcp";

/** A number as it was spelled, which JSON.stringify writes so again: large integers keep their digits, 1.0 stays 1.0. */
interface ExactNumber {
  readonly rawJSON: string;
}

/** https://tc39.es/proposal-json-parse-with-source; TypeScript's library does not have it yet. */
const { rawJSON, isRawJSON } = JSON as unknown as {
  rawJSON(this: void, text: string): ExactNumber;
  isRawJSON(this: void, value: unknown): value is ExactNumber;
};

/** @throws {SyntaxError} when it is not JSON */
export function readExactly(text: string): unknown {
  return parseJson(text, rawJSON);
}

/** A text, number or boolean as it is written without quotes; undefined for what else there is. */
export function plainText(value: unknown): string | undefined {
  if (isRawJSON(value)) return value.rawJSON;
  if (typeof value === "string") return value;
  return typeof value === "boolean" || typeof value === "number" ? String(value) : undefined;
}

/** An object of JSON, and neither a list nor a number. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !isRawJSON(value);
}
