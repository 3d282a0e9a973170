/** Header values that repeat a request's body (MCP 2026-07-28, Streamable HTTP: Request Metadata). */

import { parseJson } from "./json.ts";

const MARK = "=?base64?";
const PLAIN = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/;
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const HEADERS_MAX = 64;
const DEPTH_MAX = 16;

/** A value as a header carries it: base64 of its UTF-8 where plain ASCII will not do. */
export function encodeHeader(value: string): string {
  if ((value === "" || PLAIN.test(value)) && !value.startsWith(MARK)) return value;
  return `${MARK}${Buffer.from(value, "utf8").toString("base64")}?=`;
}

/** Undefined for base64 that is not whole: readers that are lenient differ in what they make of it. */
export function decodeHeader(value: string): string | undefined {
  if (!value.startsWith(MARK) || !value.endsWith("?=")) return value;
  const encoded = value.slice(MARK.length, -"?=".length);
  const bytes = Buffer.from(encoded, "base64");
  return bytes.toString("base64") === encoded ? bytes.toString("utf8") : undefined;
}

/** An argument that has to be repeated in a header. */
export interface ParamHeader {
  /** In lower case: `mcp-param-…`. */
  readonly header: string;
  /** Its place in the arguments. */
  readonly path: readonly string[];
}

/** The `x-mcp-header` marks of a tool's input schema. Those that the specification does not allow are left out. */
export function findParamHeaders(definition: string): readonly ParamHeader[] {
  if (!definition.includes("x-mcp-header")) return [];
  const found: ParamHeader[] = [];
  const { inputSchema } = parseJson(definition) as { inputSchema?: unknown };
  collect(inputSchema, [], found);
  return found;
}

function collect(schema: unknown, path: readonly string[], found: ParamHeader[]): void {
  if (typeof schema !== "object" || schema === null || path.length > DEPTH_MAX || found.length >= HEADERS_MAX) return;
  const { properties, type, "x-mcp-header": name } = schema as Record<string, unknown>;
  const primitive = type === "string" || type === "integer" || type === "boolean";
  if (typeof name === "string" && TOKEN.test(name) && primitive && path.length > 0)
    found.push({ header: `mcp-param-${name.toLowerCase()}`, path });
  if (typeof properties !== "object" || properties === null) return;
  for (const [key, each] of Object.entries(properties)) collect(each, [...path, key], found);
}

/** In these, keys are names of somebody's choice, and each value is a schema. */
const NAMED_SCHEMAS = new Set(["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"]);
/** What these hold is data and marks nothing. */
const DATA = new Set(["default", "const", "enum", "examples"]);

/** Why a client on HTTP has to leave this tool out of its lists: it has marks that the specification does not allow. */
export function paramHeaderProblem(definition: string): string | undefined {
  if (!definition.includes("x-mcp-header")) return undefined;
  const { inputSchema } = parseJson(definition) as { inputSchema?: unknown };
  const allowed = findParamHeaders(definition).map(({ header }) => header);
  if (countMarks(inputSchema) !== allowed.length) return "x-mcp-header stands where it may not, or is no header name";
  return new Set(allowed).size === allowed.length ? undefined : "two arguments have the same x-mcp-header";
}

function countMarks(inputSchema: unknown): number {
  let count = 0;
  // A list of what is left to look at instead of recursion: a schema may be nested as deep as it likes.
  const open = [{ node: inputSchema, named: false }];
  for (let next = open.pop(); next; next = open.pop()) {
    const { node, named } = next;
    if (typeof node !== "object" || node === null) continue;
    for (const [key, child] of Object.entries(node)) {
      if (named) open.push({ node: child, named: false });
      else if (key === "x-mcp-header") count += 1;
      else if (!DATA.has(key)) open.push({ node: child, named: NAMED_SCHEMAS.has(key) });
    }
  }
  return count;
}

/** The text of an argument as its header has it; undefined where there is none, and so must be no header. */
export function paramValue(args: unknown, path: readonly string[]): string | undefined {
  let value = args;
  for (const key of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<string, unknown>)[key];
  }
  return typeof value === "string" || typeof value === "boolean" || typeof value === "number"
    ? String(value)
    : undefined;
}
