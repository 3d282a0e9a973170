import { isDeepStrictEqual } from "node:util";
import { type Fields, isFields, type OpenApi, spend, targetOf, textAt } from "./openapi-document.ts";

export type JsonSchema = Readonly<Record<string, unknown>>;

/** Tried one after the other, for as long as it is small enough. */
const DEPTHS = [2, 3, 4, 6, 8, 12, 16, 24] as const;
const REFERENCES_MAX = 48;
const TEXT_MAX_CHARS = 1_024;
const VALUE_MAX_CHARS = 4_096;
const ENUM_MAX = 1_000;
const TYPES = new Set(["array", "boolean", "integer", "null", "number", "object", "string"]);
/** Say something about a value, and forbid none. */
const ANNOTATIONS = new Set(["title", "description", "default", "deprecated", "contentEncoding", "contentMediaType"]);
const MERGEABLE = new Set([...ANNOTATIONS, "type", "properties", "required", "additionalProperties"]);
/** `{}` is the least that a schema says. */
const SCHEMA_LEAST_CHARS = 2;
/** Says of itself that there may be more than what is said. */
const OPEN = { additionalProperties: true } as const;
const TOO_LARGE = "a large schema is left open";
/** What cannot be matched in linear time: looking around, and back. Repeats above a thousand count as such. */
const COSTLY_PATTERN = /\(\?[=!]|\(\?<[=!]|\\[1-9]|\\k<|\{\d*,?\d{4,}/;

interface Conversion {
  readonly openapi: OpenApi;
  /** Arguments do not have what is read-only, results not what is write-only. */
  readonly hidden: "readOnly" | "writeOnly";
  readonly depthMax: number;
  /** What is left of `maxChars`. */
  left: number;
  /** Why parts were left open. */
  readonly cuts: Set<string>;
  /** There was more than depthMax allows. */
  isCutShort: boolean;
}

interface Place {
  readonly depth: number;
  /** The references that lead here. */
  readonly references: readonly string[];
}

export interface SchemaUse {
  readonly use: "argument" | "result";
  /** Of the schema, as JSON; what stands beside a reference counts by itself. What is more, or lies deep, is left open. */
  readonly maxChars: number;
}

/**
 * A schema of the document as JSON Schema 2020-12 that stands alone and always compiles. It is never stricter than the
 * document: what cannot be said, or is too much to say, is left open, since the API itself checks what it is sent.
 * `cuts` says what was left open on account of size, loops or references that lead nowhere.
 */
export function convertSchema(openapi: OpenApi, schema: unknown, schemaUse: SchemaUse): Converted {
  if (!isFields(schema)) return convertToFit(openapi, schema, schemaUse);
  const { reference, isReference } = ownOf(openapi, schema);
  const known = convertedFor(openapi, schemaUse);
  const key = isReference ? reference : schema;
  const before = known.get(key);
  if (before !== undefined) return before;
  let converted: Converted;
  if (reference === undefined || isReference) converted = convertToFit(openapi, schema, schemaUse);
  else {
    const { $ref, ...rest } = schema;
    const parts = [convertSchema(openapi, { $ref }, schemaUse), convertToFit(openapi, rest, schemaUse)];
    converted = {
      schema: combine(parts.map((part) => part.schema)),
      cuts: [...new Set(parts.flatMap(({ cuts }) => cuts))],
    };
  }
  known.set(key, converted);
  return converted;
}

/** By reference, or by the schema itself where it says more. */
function convertedFor(openapi: OpenApi, { use, maxChars }: SchemaUse): Map<unknown, Converted> {
  const key = `${use} ${maxChars}`;
  const known = openapi.converted.get(key) ?? new Map<unknown, unknown>();
  openapi.converted.set(key, known);
  return known as Map<unknown, Converted>;
}

function convertToFit(openapi: OpenApi, schema: unknown, { use, maxChars }: SchemaUse): Converted {
  const hidden = use === "argument" ? "readOnly" : "writeOnly";
  let result: Converted | undefined;
  for (const depthMax of DEPTHS) {
    const conversion = {
      openapi,
      hidden,
      depthMax,
      left: maxChars,
      cuts: new Set<string>(),
      isCutShort: false,
    } as const;
    const attempt = tryToConvert(conversion, schema);
    if (result !== undefined && attempt.left < 0) break;
    result = attempt.converted;
    if (attempt.left < 0 || !attempt.isCutShort) break;
  }
  return result!;
}

interface Converted {
  readonly schema: JsonSchema;
  readonly cuts: readonly string[];
}

function tryToConvert(conversion: Conversion, schema: unknown) {
  const converted = convert(conversion, schema, { depth: 0, references: [] }) ?? {};
  const { left, isCutShort, cuts } = conversion;
  return { converted: { schema: converted, cuts: [...cuts] }, left, isCutShort };
}

/** What a schema says by itself. It may be as large as the document, and part of all that is in it, so it is read once. */
interface Own {
  readonly reference: string | undefined;
  /** And nothing beside it. */
  readonly isReference: boolean;
  readonly keywords: JsonSchema;
  /** Of the keywords. */
  readonly chars: number;
  readonly properties: readonly (readonly [string, unknown])[];
  readonly required: ReadonlySet<string>;
}

function ownOf({ own: known }: OpenApi, schema: Fields): Own {
  const before = known.get(schema);
  if (before !== undefined) return before as Own;
  const entries = Object.entries(schema);
  const keywords: Record<string, unknown> = {};
  let chars = 0;
  for (const [key, value] of entries) {
    const said = KEYWORDS.get(key)?.(value);
    if (said === undefined) continue;
    chars += key.length + (typeof said === "string" ? said.length + 6 : JSON.stringify(said).length + 4);
    keywords[key] = said;
  }
  const { properties, required } = schema;
  const reference = textAt(schema, "$ref");
  const own: Own = {
    reference,
    isReference: reference !== undefined && entries.length === 1,
    keywords,
    chars,
    properties: isFields(properties) ? Object.entries(properties) : [],
    required: new Set(Array.isArray(required) ? required.filter((name) => typeof name === "string") : []),
  };
  known.set(schema, own);
  return own;
}

/** Undefined where nothing at all may stand. */
function convert(conversion: Conversion, schema: unknown, place: Place): JsonSchema | undefined {
  spend(conversion.openapi, 1);
  conversion.left -= SCHEMA_LEAST_CHARS;
  if (schema === false) return undefined;
  if (!isFields(schema)) return {};
  if (conversion.left < 0 || place.depth > conversion.depthMax) {
    conversion.isCutShort = true;
    return cut(conversion, TOO_LARGE);
  }
  const { reference, isReference } = ownOf(conversion.openapi, schema);
  if (reference === undefined) return convertKeywords(conversion, schema, place);
  const target = convertReference(conversion, reference, place);
  if (target === undefined || isReference) return target;
  return combine([target, convertKeywords(conversion, schema, place)]);
}

function convertReference(conversion: Conversion, reference: string, place: Place): JsonSchema | undefined {
  if (place.references.includes(reference)) return cut(conversion, `${reference} contains itself and is left open`);
  const target = targetOf(conversion.openapi, reference);
  if (target === undefined) return cut(conversion, `${reference} is not in the document and is left open`);
  const references = [...place.references, reference];
  if (references.length > REFERENCES_MAX) return cut(conversion, TOO_LARGE);
  return convert(conversion, target, { ...place, references });
}

function cut({ cuts }: Conversion, why: string): JsonSchema {
  cuts.add(why);
  return {};
}

function convertKeywords(conversion: Conversion, schema: Fields, place: Place): JsonSchema {
  const { keywords, chars } = ownOf(conversion.openapi, schema);
  conversion.left -= chars;
  const { type } = keywords;
  const fits = conversion.left >= 0;
  if (!fits) cut(conversion, TOO_LARGE);
  const converted: Record<string, unknown> = fits ? { ...keywords } : type === undefined ? {} : { type };
  Object.assign(converted, convertObject(conversion, schema, place), convertArray(conversion, schema, place));
  const choice = ["anyOf", "oneOf"].find((key) => Array.isArray(schema[key]));
  if (choice !== undefined) {
    // Alternatives of which parts are left open may well fit together, which oneOf would refuse.
    const alternatives = convertList(conversion, schema[choice], place);
    if (alternatives.length > 0) converted["anyOf"] = alternatives;
  }
  return Array.isArray(schema["allOf"])
    ? combine([...convertList(conversion, schema["allOf"], place), converted])
    : converted;
}

/** For what does not fit any more stands one that allows everything. */
function convertList(conversion: Conversion, list: unknown, place: Place): JsonSchema[] {
  const within = { ...place, depth: place.depth + 1 };
  const converted: JsonSchema[] = [];
  for (const each of list as unknown[]) {
    if (conversion.left < 0) {
      cut(conversion, TOO_LARGE);
      return [...converted, OPEN];
    }
    const value = convert(conversion, each, within);
    if (value !== undefined) converted.push(value);
  }
  return converted;
}

function convertObject(conversion: Conversion, schema: Fields, place: Place): JsonSchema {
  const { additionalProperties: more, patternProperties } = schema;
  const { properties, required } = ownOf(conversion.openapi, schema);
  const within = { ...place, depth: place.depth + 1 };
  const converted: Record<string, unknown> = {};
  const left = new Set<string>();
  const shown: Record<string, JsonSchema> = {};
  let isWhole = true;
  for (const [name, property] of properties) {
    conversion.left -= name.length + 8;
    isWhole = conversion.left >= 0;
    if (!isWhole) break;
    const value = isHidden(conversion, property) ? undefined : convert(conversion, property, within);
    if (value === undefined) left.add(name);
    else shown[name] = value;
  }
  if (isFields(schema["properties"])) {
    if (schema["type"] === undefined) converted["type"] = "object";
    converted["properties"] = shown;
  }
  const needed = neededOf(conversion, { shown, left, required });
  if (needed.length > 0) converted["required"] = needed;
  if (!isWhole) {
    cut(conversion, TOO_LARGE);
    return { ...converted, ...OPEN };
  }
  // A result may have more than its document knew of.
  if (more === false && patternProperties === undefined && conversion.hidden === "readOnly")
    converted["additionalProperties"] = false;
  if (isFields(more)) {
    const value = convert(conversion, more, within);
    if (value !== undefined && patternProperties === undefined) converted["additionalProperties"] = value;
  }
  return converted;
}

/** Where not all fits, what is shown is still said to be required. */
function neededOf(
  conversion: Conversion,
  { shown, left, required }: { shown: object; left: ReadonlySet<string>; required: ReadonlySet<string> },
): string[] {
  if (conversion.left < 0) return Object.keys(shown).filter((name) => required.has(name));
  const needed: string[] = [];
  for (const name of required) {
    if (left.has(name)) continue;
    conversion.left -= name.length + 3;
    if (conversion.left < 0) break;
    needed.push(name);
  }
  return needed;
}

function isHidden({ openapi, hidden }: Conversion, property: unknown): boolean {
  let at = property;
  for (let count = 0; count < REFERENCES_MAX && isFields(at); count += 1) {
    if (at[hidden] === true) return true;
    const reference = textAt(at, "$ref");
    if (reference === undefined) return false;
    spend(openapi, 1);
    at = targetOf(openapi, reference);
  }
  return false;
}

function convertArray(conversion: Conversion, schema: Fields, place: Place): JsonSchema {
  const within = { ...place, depth: place.depth + 1 };
  const converted: Record<string, unknown> = {};
  if (isFields(schema["items"])) converted["items"] = convert(conversion, schema["items"], within) ?? {};
  const first: JsonSchema[] = [];
  for (const each of Array.isArray(schema["prefixItems"]) ? (schema["prefixItems"] as unknown[]) : []) {
    // `items` is for those behind all of them.
    if (conversion.left < 0) return cut(conversion, TOO_LARGE);
    first.push(convert(conversion, each, within) ?? {});
  }
  return first.length > 0 ? { ...converted, prefixItems: first } : converted;
}

/** All of them at once: as one plain schema of an object where they are such, which clients read best. */
function combine(schemas: readonly JsonSchema[]): JsonSchema {
  const said = schemas.filter((each) => Object.keys(each).length > 0);
  const [first = {}, ...others] = said;
  if (others.length === 0) return first;
  const notes = said.filter((each) => Object.keys(each).every((key) => ANNOTATIONS.has(key)));
  const rules = said.filter((each) => !notes.includes(each));
  const remarks = Object.assign({}, ...notes) as JsonSchema;
  if (rules.length <= 1) return { ...rules[0], ...remarks };
  const isPlain = rules.every(
    (each) => Object.keys(each).every((key) => MERGEABLE.has(key)) && (each["type"] ?? "object") === "object",
  );
  return isPlain ? { ...mergeObjects(rules), ...remarks } : { allOf: rules, ...remarks };
}

function mergeObjects(schemas: readonly JsonSchema[]): JsonSchema {
  const properties: Record<string, JsonSchema> = {};
  const required = new Set<string>();
  for (const each of schemas) {
    for (const [name, property] of Object.entries((each["properties"] ?? {}) as Record<string, JsonSchema>)) {
      const known = Object.hasOwn(properties, name) ? properties[name] : undefined;
      const isSame = known === undefined || isDeepStrictEqual(known, property);
      properties[name] = isSame ? property : combine([known, property]);
    }
    for (const name of (each["required"] ?? []) as string[]) required.add(name);
  }
  // What is hidden in one of them is still required by another.
  const needed = [...required].filter((name) => Object.hasOwn(properties, name));
  const isPart = schemas.some((each) => each["additionalProperties"] === true);
  const { additionalProperties: _closed, required: _all, ...rest } = Object.assign({}, ...schemas) as JsonSchema;
  return {
    ...rest,
    type: "object",
    properties,
    ...(needed.length > 0 ? { required: needed } : {}),
    ...(isPart ? OPEN : {}),
  };
}

type Keyword = (value: unknown) => unknown;

const ofText: Keyword = (value) => (typeof value === "string" ? cutText(value) : undefined);
const ofFlag: Keyword = (value) => (typeof value === "boolean" ? value : undefined);
const ofNumber: Keyword = (value) => (Number.isFinite(value) ? value : undefined);
const ofCount: Keyword = (value) => (Number.isSafeInteger(value) && (value as number) >= 0 ? value : undefined);
const ofValue: Keyword = (value) =>
  ((JSON.stringify(value) as string | undefined) ?? "").length <= VALUE_MAX_CHARS ? value : undefined;

/** What stands for itself; anything else is left out. `oneOf`, `not`, `if` and the like would need whole parts. */
const KEYWORDS: ReadonlyMap<string, Keyword> = new Map<string, Keyword>([
  ["type", toType],
  ["enum", (value) => (Array.isArray(value) && value.length > 0 && value.length <= ENUM_MAX ? value : undefined)],
  ["const", ofValue],
  ["default", ofValue],
  ["title", ofText],
  ["description", ofText],
  ["format", ofText],
  ["contentEncoding", ofText],
  ["contentMediaType", ofText],
  ["deprecated", ofFlag],
  ["uniqueItems", ofFlag],
  ["minimum", ofNumber],
  ["maximum", ofNumber],
  ["exclusiveMinimum", ofNumber],
  ["exclusiveMaximum", ofNumber],
  ["multipleOf", (value) => (Number.isFinite(value) && (value as number) > 0 ? value : undefined)],
  ["minLength", ofCount],
  ["maxLength", ofCount],
  ["minItems", ofCount],
  ["maxItems", ofCount],
  ["minProperties", ofCount],
  ["maxProperties", ofCount],
  ["pattern", toPattern],
]);

function toType(value: unknown): unknown {
  if (!Array.isArray(value)) return TYPES.has(value as string) ? value : undefined;
  const known = [...new Set(value)].filter((each) => TYPES.has(each as string));
  return known.length > 0 && known.length === new Set(value).size ? known : undefined;
}

function toPattern(value: unknown): string | undefined {
  if (typeof value !== "string" || value.length > TEXT_MAX_CHARS || COSTLY_PATTERN.test(value)) return undefined;
  try {
    return new RegExp(value, "u").source === "" ? undefined : value;
  } catch {
    return undefined;
  }
}

/** Texts of documents may be whole pages. */
export function cutText(text: string): string {
  const trimmed = text.trim();
  return trimmed.length <= TEXT_MAX_CHARS
    ? trimmed.toWellFormed()
    : `${trimmed.slice(0, TEXT_MAX_CHARS - 1).toWellFormed()}…`;
}
