// Frames that the SDK's own schemas accept, made from those schemas, with what no schema knows beside.
import * as core from "@modelcontextprotocol/core";
import { parseJson } from "@tollgate/mcp";
import fc from "fast-check";

/** What is looked at of a Zod 4 schema. */
interface Definition {
  readonly type: string;
  readonly shape?: Readonly<Record<string, Schema>>;
  readonly catchall?: Schema;
  readonly element?: Schema;
  readonly innerType?: Schema;
  readonly options?: readonly Schema[];
  readonly values?: readonly unknown[];
  readonly entries?: Readonly<Record<string, unknown>>;
  readonly valueType?: Schema;
  readonly left?: Schema;
  readonly right?: Schema;
  readonly in?: Schema;
  readonly getter?: () => Schema;
  readonly checks?: readonly {
    readonly _zod: { readonly def: { readonly check: string; readonly format?: string } };
  }[];
  readonly format?: string;
}

export interface Schema {
  readonly def: Definition;
  safeParse(value: unknown): { readonly success: boolean };
}

const DEPTH_MAX = 5;

/** Numbers as JSON may spell them, which are not what JSON.stringify would write. */
const SPELLINGS = ["1.0", "-0", "1E5", "0.10", "12345678901234567890", "1e-7", "-1.50e+2", "9007199254740993", "1e400"];

/** A number with its spelling. */
export class Spelled {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  toJSON(): number {
    return Number(this.text);
  }
}

const strings = fc.oneof(
  fc.string({ maxLength: 12 }),
  fc.string({ unit: "grapheme", maxLength: 6 }),
  fc.constantFrom("", "ünïcødé ✓", 'quo"te\\', "line\nbreak\u2028", "\ud800", "__proto__", "mcp+x+y", "\u0000"),
);

/** Not those that a frame's reader looks for, in whatever letters: a second `Id` is refused, and rightly so. */
const unknownKeys = strings.map((name) => `x-${name}`);

const anything: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    strings,
    fc.boolean(),
    fc.constant(null),
    fc.constantFrom(...SPELLINGS).map((text) => new Spelled(text)),
    fc.integer(),
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(unknownKeys, tie("value"), { maxKeys: 3, noNullPrototype: true }),
  ),
})).value;

const unknownMembers = fc.dictionary(unknownKeys, anything, { maxKeys: 2, noNullPrototype: true });

function arbitraryOf(schema: Schema, depth: number): fc.Arbitrary<unknown> {
  const { def } = schema;
  const inner = (each: Schema) => arbitraryOf(each, depth + 1);
  switch (def.type) {
    case "object":
      return objectOf(def, depth);
    case "record":
      return depth > DEPTH_MAX
        ? fc.constant({})
        : fc.dictionary(unknownKeys, inner(def.valueType!), { maxKeys: 2, noNullPrototype: true });
    case "array":
      return depth > DEPTH_MAX ? fc.constant([]) : fc.array(inner(def.element!), { maxLength: 2 });
    case "union":
      return fc.oneof(...def.options!.map(inner));
    case "intersection":
      return fc
        .tuple(inner(def.left!), inner(def.right!))
        .map(([left, right]) => ({ ...(left as object), ...(right as object) }));
    case "optional":
    case "nullable":
    case "default":
    case "prefault":
    case "catch":
    case "readonly":
      return inner(def.innerType!);
    case "pipe":
      return inner(def.in!);
    case "lazy":
      return depth > DEPTH_MAX ? fc.constant(null) : inner(def.getter!());
    case "literal":
      return fc.constantFrom(...def.values!);
    case "enum":
      return fc.constantFrom(...Object.values(def.entries!));
    default:
      return scalarOf(def);
  }
}

function scalarOf({ type, format, checks = [] }: Definition): fc.Arbitrary<unknown> {
  const formats = [format, ...checks.map(({ _zod: { def } }) => def.format)];
  if (type === "string") {
    if (formats.includes("url")) return fc.constant("https://example.com/a?b=c");
    if (formats.includes("datetime")) return fc.constant("2026-01-01T00:00:00Z");
    return fc.oneof(strings, fc.constant("AAEC"));
  }
  if (type === "number") {
    if (formats.includes("safeint")) return fc.integer();
    return fc.oneof(
      fc.integer({ min: 0, max: 1 }),
      fc.constantFrom("0.5", "1.0", "1E0").map((text) => new Spelled(text)),
    );
  }
  if (type === "boolean") return fc.boolean();
  return type === "null" ? fc.constant(null) : anything;
}

/** Members in any order, optional ones now and then, and some that nobody knows. */
function objectOf({ shape = {} }: Definition, depth: number): fc.Arbitrary<unknown> {
  const entries = Object.entries(shape);
  const required = entries.filter(([, each]) => each.def.type !== "optional").map(([name]) => name);
  const given = Object.fromEntries(entries.map(([name, each]) => [name, arbitraryOf(each, depth + 1)]));
  const requiredOnly = depth > DEPTH_MAX;
  const known = fc.record(
    Object.fromEntries(Object.entries(given).filter(([name]) => !requiredOnly || required.includes(name))),
    { requiredKeys: required, noNullPrototype: true },
  );
  return fc
    .tuple(known, depth > DEPTH_MAX ? fc.constant({}) : unknownMembers, fc.nat(9))
    .map(([members, more, by]) => rotated({ ...members, ...more }, by));
}

function rotated(value: object, by: number): object {
  const entries = Object.entries(value);
  const at = entries.length === 0 ? 0 : by % entries.length;
  return Object.fromEntries([...entries.slice(at), ...entries.slice(0, at)]);
}

/** JSON text, with numbers as they are spelled, and blanks where they may be. */
function write(value: unknown, blank: string): string {
  if (value instanceof Spelled) return value.text;
  if (Array.isArray(value)) return `[${blank}${value.map((each) => write(each, blank)).join(`${blank},`)}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value)
    .filter(([, each]) => each !== undefined)
    .map(([key, each]) => `${JSON.stringify(key)}${blank}:${write(each, blank)}`);
  return `{${blank}${members.join(`,${blank}`)}${blank}}`;
}

const blanks = fc.constantFrom("", " ", "\t", "  ");
const ids = fc.oneof(strings, fc.integer());

/** Texts that this schema accepts, of objects with these members beside the schema's own. */
function textsOf(schema: Schema, more: fc.Arbitrary<object>): fc.Arbitrary<string> {
  return fc
    .record({ body: arbitraryOf(schema, 0), more, blank: blanks })
    .map(({ body, more: beside, blank }) => write({ ...(body as object), ...beside }, blank))
    .filter((text) => schema.safeParse(parseJson(text)).success);
}

const named = (ending: string) =>
  Object.entries(core as unknown as Record<string, Schema>).filter(([name]) => name.endsWith(ending));

/** Schemas of one message each; unions of them all would say little about any. */
export const REQUEST_SCHEMAS: readonly (readonly [string, Schema])[] = named("RequestSchema").filter(
  ([name]) => !/^(?:Client|Server|Paginated)?RequestSchema$|JSONRPC|OAuth/.test(name),
);
export const RESULT_SCHEMAS: readonly (readonly [string, Schema])[] = named("ResultSchema").filter(
  ([name]) => !/^(?:Client|Server|Paginated|Empty)?ResultSchema$|JSONRPC/.test(name),
);

/** The texts of requests that this schema accepts. */
export function requestTexts(schema: Schema): fc.Arbitrary<string> {
  const envelope = fc.record({ jsonrpc: fc.constant("2.0"), id: ids });
  return textsOf(schema, envelope);
}

/** The texts of results that this schema accepts. */
export function resultTexts(schema: Schema): fc.Arbitrary<string> {
  return textsOf(schema, fc.constant({}));
}

export { anything, write };
