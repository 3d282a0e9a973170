/** A JSON Schema as far as it is looked at here. */
export interface ExampleSchema {
  readonly type?: string | readonly string[];
  readonly examples?: readonly unknown[];
  readonly default?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly ExampleSchema[];
  readonly oneOf?: readonly ExampleSchema[];
  readonly allOf?: readonly ExampleSchema[];
  readonly properties?: Readonly<Record<string, ExampleSchema>>;
  readonly required?: readonly string[];
  readonly items?: ExampleSchema;
  readonly format?: string;
  readonly minimum?: number;
}

const FORMATS: Readonly<Record<string, string>> = {
  "date-time": "2026-11-21T07:00:00.000Z",
  uuid: "0b54e3a0-6f1d-4c53-9a0e-2f6a4f1c7d11",
  uri: "https://example.com",
};

/**
 * An example of what a schema describes: its own, or one put together of its parts' examples, defaults and choices.
 * @param named examples of texts that say nothing else, by the names of their properties
 * @returns undefined where some part that has to be there has none
 */
export function exampleOf(schema: ExampleSchema, named: Readonly<Record<string, unknown>>, name = ""): unknown {
  if (schema.examples?.length) return schema.examples[0];
  if (schema.const !== undefined) return schema.const;
  const choice = schema.enum?.find((each) => each !== "");
  if (choice !== undefined) return choice;
  const one = (schema.anyOf ?? schema.oneOf)
    ?.map((each) => exampleOf(each, named, name))
    .find((each) => each !== undefined);
  if (one !== undefined) return one;
  if (schema.allOf !== undefined) return Object.assign({}, ...schema.allOf.map((each) => exampleOf(each, named, name)));
  if (schema.properties !== undefined) return exampleOfObject(schema, named);
  if (schema.default !== undefined && schema.default !== "") return schema.default;
  if (schema.items !== undefined) {
    const item = exampleOf(schema.items, named, name);
    return item === undefined ? [] : [item];
  }
  const value = exampleOfValue(schema, named, name);
  return value === undefined ? schema.default : value;
}

function exampleOfObject({ properties = {}, required = [] }: ExampleSchema, named: Readonly<Record<string, unknown>>) {
  const found: Record<string, unknown> = {};
  for (const [name, schema] of Object.entries(properties)) {
    // What may be left out is, but where it is worth an example.
    if (!required.includes(name) && schema.examples === undefined) continue;
    const value = exampleOf(schema, named, name);
    if (value === undefined) return undefined;
    found[name] = value;
  }
  return found;
}

function exampleOfValue(schema: ExampleSchema, named: Readonly<Record<string, unknown>>, name: string): unknown {
  const types = [schema.type].flat();
  const fallback = types.includes("null") ? null : undefined;
  switch (types[0]) {
    case "boolean":
      return false;
    case "integer":
    case "number":
      return Math.max(1, schema.minimum ?? 1);
    case "null":
      return null;
    case "string":
      return FORMATS[schema.format ?? ""] ?? named[name] ?? fallback;
    case "object":
      return {};
    default:
      return named[name];
  }
}
