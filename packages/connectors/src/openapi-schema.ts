import { type Fields, isFields, type OpenApi, targetOf, textAt } from "./openapi-document.ts";

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
  /** Of the schema, as JSON. Where it is larger, what lies deep is left open. */
  readonly maxChars: number;
}

/**
 * A schema of the document as JSON Schema 2020-12 that stands alone and always compiles. It is never stricter than the
 * document: what cannot be said, or is too much to say, is left open, since the API itself checks what it is sent.
 * `cuts` says what was left open on account of size, loops or references that lead nowhere.
 */
export function convertSchema(openapi: OpenApi, schema: unknown, { use, maxChars }: SchemaUse): Converted {
  const reference = isFields(schema) && Object.keys(schema).length === 1 ? textAt(schema, "$ref") : undefined;
  const key = `${use} ${maxChars} ${reference}`;
  const known = reference === undefined ? undefined : openapi.converted.get(key);
  if (known !== undefined) return known as Converted;
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
  if (reference !== undefined) openapi.converted.set(key, result!);
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

/** Undefined where nothing at all may stand. */
function convert(conversion: Conversion, schema: unknown, place: Place): JsonSchema | undefined {
  if (schema === false) return undefined;
  if (!isFields(schema)) return {};
  if (conversion.left < 0 || place.depth > conversion.depthMax) {
    conversion.isCutShort = true;
    return cut(conversion, "a large schema is left open");
  }
  const { $ref: reference, ...rest } = schema;
  if (typeof reference !== "string") return convertKeywords(conversion, schema, place);
  const target = convertReference(conversion, reference, place);
  if (target === undefined || Object.keys(rest).length === 0) return target;
  return combine([target, convertKeywords(conversion, rest, place)]);
}

function convertReference(conversion: Conversion, reference: string, place: Place): JsonSchema | undefined {
  if (place.references.includes(reference)) return cut(conversion, `${reference} contains itself and is left open`);
  const target = targetOf(conversion.openapi, reference);
  if (target === undefined) return cut(conversion, `${reference} is not in the document and is left open`);
  const references = [...place.references, reference];
  if (references.length > REFERENCES_MAX) return cut(conversion, "a large schema is left open");
  return convert(conversion, target, { ...place, references });
}

function cut({ cuts }: Conversion, why: string): JsonSchema {
  cuts.add(why);
  return {};
}

function convertKeywords(conversion: Conversion, schema: Fields, place: Place): JsonSchema {
  const converted: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(schema)) {
    const said = KEYWORDS.get(key)?.(value);
    if (said === undefined) continue;
    conversion.left -= key.length + (typeof said === "string" ? said.length + 6 : JSON.stringify(said).length + 4);
    converted[key] = said;
  }
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

function convertList(conversion: Conversion, list: unknown, place: Place): JsonSchema[] {
  const within = { ...place, depth: place.depth + 1 };
  return (list as unknown[]).map((each) => convert(conversion, each, within)).filter((each) => each !== undefined);
}

function convertObject(conversion: Conversion, schema: Fields, place: Place): JsonSchema {
  const { properties, required, additionalProperties: more, patternProperties } = schema;
  const within = { ...place, depth: place.depth + 1 };
  const converted: Record<string, unknown> = {};
  const left = new Set<unknown>();
  if (isFields(properties)) {
    if (schema["type"] === undefined) converted["type"] = "object";
    const shown: Record<string, JsonSchema> = {};
    for (const [name, property] of Object.entries(properties)) {
      const value = isHidden(conversion, property) ? undefined : convert(conversion, property, within);
      conversion.left -= name.length + 8;
      if (value === undefined) left.add(name);
      else shown[name] = value;
    }
    converted["properties"] = shown;
  }
  const names = new Set(Array.isArray(required) ? required.filter((name) => typeof name === "string") : []);
  const needed = [...names].filter((name) => !left.has(name));
  if (needed.length > 0) converted["required"] = needed;
  conversion.left -= JSON.stringify(needed).length;
  // A result may have more than its document knew of.
  if (more === false && patternProperties === undefined && conversion.hidden === "readOnly")
    converted["additionalProperties"] = false;
  if (isFields(more)) {
    const value = convert(conversion, more, within);
    if (value !== undefined && patternProperties === undefined) converted["additionalProperties"] = value;
  }
  return converted;
}

function isHidden({ openapi, hidden }: Conversion, property: unknown): boolean {
  let at = property;
  for (let count = 0; count < REFERENCES_MAX && isFields(at); count += 1) {
    if (at[hidden] === true) return true;
    const reference = textAt(at, "$ref");
    if (reference === undefined) return false;
    at = targetOf(openapi, reference);
  }
  return false;
}

function convertArray(conversion: Conversion, schema: Fields, place: Place): JsonSchema {
  const within = { ...place, depth: place.depth + 1 };
  const converted: Record<string, unknown> = {};
  if (isFields(schema["items"])) converted["items"] = convert(conversion, schema["items"], within) ?? {};
  if (Array.isArray(schema["prefixItems"]) && schema["prefixItems"].length > 0)
    converted["prefixItems"] = schema["prefixItems"].map((each) => convert(conversion, each, within) ?? {});
  return converted;
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
      const isSame = known === undefined || JSON.stringify(known) === JSON.stringify(property);
      properties[name] = isSame ? property : combine([known, property]);
    }
    for (const name of (each["required"] ?? []) as string[]) required.add(name);
  }
  // What is hidden in one of them is still required by another.
  const needed = [...required].filter((name) => Object.hasOwn(properties, name));
  const { additionalProperties: _closed, required: _all, ...rest } = Object.assign({}, ...schemas) as JsonSchema;
  return { ...rest, type: "object", properties, ...(needed.length > 0 ? { required: needed } : {}) };
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
  const trimmed = text.trim().toWellFormed();
  return trimmed.length <= TEXT_MAX_CHARS ? trimmed : `${trimmed.slice(0, TEXT_MAX_CHARS - 1).toWellFormed()}…`;
}
