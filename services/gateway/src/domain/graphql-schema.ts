import type { OpenApiDocument, Operation } from "./openapi-document.ts";

/** A JSON Schema as far as GraphQL can say it. */
interface Shape {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly additionalProperties?: unknown;
  readonly required?: readonly string[];
  readonly items?: Shape;
  readonly anyOf?: readonly Shape[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly maximum?: number;
}

/** A field that is read from one operation of the API. */
export interface GraphqlField {
  readonly type: string;
  readonly field: string;
  /** As OpenAPI has it. */
  readonly path: string;
  /** What comes from the object that the field is on: of the operation's parameters, from which of its members. */
  readonly fromParent: Readonly<Record<string, string>>;
}

const NAME = /^(?!__)[_A-Za-z][_0-9A-Za-z]*$/;
const INT_MAX = 2 ** 31 - 1;
/** What objects are not for by a path below their own. */
const RELATIONS = [
  { of: "/api/v1/groups/{id}", field: "servers", path: "/api/v1/servers", fromParent: { group: "id" } },
];

/**
 * The reads of the management API as a GraphQL schema: each GET with a JSON answer is a field of Query, named as the
 * operation is; what has a path below that of a resource is a field of the resource, too. What GraphQL cannot say is JSON.
 */
export function toGraphql(
  document: OpenApiDocument,
  isRead: (operation: Operation, path: string) => boolean,
): { sdl: string; fields: GraphqlField[] } {
  const types = createTypes();
  const reads = new Map<string, { operation: Operation; answer: string; items: string | undefined }>();
  // One resource first: what is listed is of the same type where it is the same.
  const paths = Object.keys(document.paths).toSorted((a, b) => Number(b.endsWith("}")) - Number(a.endsWith("}")));
  for (const path of paths) {
    const operation = document.paths[path]!["get"];
    if (operation === undefined || !isRead(operation, path)) continue;
    const shape = answerOf(operation)!;
    const name = pascal(operation.operationId!.replace(/^(get|list)/, ""));
    const items = shape.properties?.["items"]?.items;
    const listed = items === undefined ? undefined : types.nameOf(items, `${name}Item`);
    reads.set(path, { operation, answer: types.nameOf(shape, name), items: listed });
  }
  const fields: GraphqlField[] = [];
  for (const [path, { operation, answer }] of reads) {
    const field = operation.operationId!;
    types.addField("Query", field, { text: `${field}${argumentsOf(operation)}: ${answer}`, of: operation });
    fields.push({ type: "Query", field, path, fromParent: {} });
  }
  for (const { of, field, path, fromParent } of [...RELATIONS, ...relationsBelow([...reads.keys()])]) {
    const read = reads.get(path);
    const owners = [reads.get(of)?.answer, reads.get(of.slice(0, of.lastIndexOf("/")))?.items];
    for (const type of new Set(owners.filter((each) => each !== undefined && each !== "JSON"))) {
      if (read === undefined) continue;
      const text = `${field}${argumentsOf(read.operation, fromParent)}: ${read.answer}`;
      types.addField(type!, field, { text, of: read.operation });
      fields.push({ type: type!, field, path, fromParent });
    }
  }
  return { sdl: `scalar JSON\n${types.text()}`, fields };
}

/** `/servers/{id}/health` is the field `health` of what `/servers/{id}` is. */
function relationsBelow(paths: readonly string[]): typeof RELATIONS {
  return paths.flatMap((path) => {
    const [, of, parameter, below] = /^(.*\/\{(\w+)\})\/([^/{}]+)$/.exec(path) ?? [];
    if (of === undefined || !paths.includes(of)) return [];
    return [{ of, field: camel(below!), path, fromParent: { [parameter!]: parameter! } as { group: string } }];
  });
}

export function answerOf({ responses }: Operation): Shape | undefined {
  const found = responses["200"];
  return found === undefined || "$ref" in found ? undefined : found.content?.["application/json"]?.schema;
}

interface Field {
  readonly text: string;
  readonly of: { readonly summary?: string; readonly description?: string };
}

function createTypes() {
  const fieldsOf = new Map<string, Map<string, Field>>();
  const named = new Map<string, string>();

  /** The same shape has one name. */
  function nameOf(shape: Shape, wanted: string): string {
    const options = shape.anyOf?.filter(({ type }) => type !== "null");
    if (options?.length === 1) return nameOf(options[0]!, wanted);
    const kinds = [shape.type].flat().filter((each) => each !== "null");
    if (shape.anyOf !== undefined || kinds.length !== 1) return "JSON";
    if (kinds[0] === "array") return shape.items === undefined ? "JSON" : `[${nameOf(shape.items, wanted)}]`;
    return kinds[0] === "object" ? objectName(shape, wanted) : scalarOf(shape, kinds[0]!);
  }

  function objectName(shape: Shape, wanted: string): string {
    const members = Object.entries(shape.properties ?? {});
    const isOpen = typeof shape.additionalProperties === "object" && members.length === 0;
    if (isOpen || members.length === 0 || members.some(([name]) => !NAME.test(name))) return "JSON";
    const key = JSON.stringify(shape, (name, value: unknown) => (name === "description" ? undefined : value));
    const known = named.get(key);
    if (known !== undefined) return known;
    let type = wanted;
    for (let at = 2; fieldsOf.has(type) || type === "Query"; at++) type = `${wanted}${at}`;
    named.set(key, type);
    const fields = new Map<string, Field>();
    fieldsOf.set(type, fields);
    for (const [name, member] of members) {
      const needed = shape.required?.includes(name) && !isNullable(member) ? "!" : "";
      fields.set(name, { text: `${name}: ${nameOf(member, type + pascal(name))}${needed}`, of: member });
    }
    return type;
  }

  return {
    nameOf,
    addField(type: string, name: string, field: Field): void {
      if (!fieldsOf.has(type)) fieldsOf.set(type, new Map());
      fieldsOf.get(type)!.set(name, field);
    },
    text: () =>
      [...fieldsOf]
        .map(([type, fields]) => `type ${type} {\n${[...fields.values()].map(described).join("")}}\n`)
        .join(""),
  };
}

function described({ text, of: { summary, description = summary } }: Field): string {
  return `${description === undefined ? "" : `  ${JSON.stringify(description)}\n`}  ${text}\n`;
}

function isNullable({ type, anyOf = [] }: Shape): boolean {
  return [type].flat().includes("null") || anyOf.some(isNullable);
}

function scalarOf({ maximum }: Shape, type: string): string {
  if (type === "integer") return maximum !== undefined && maximum <= INT_MAX ? "Int" : "Float";
  return { string: "String", number: "Float", boolean: "Boolean" }[type] ?? "JSON";
}

function argumentsOf({ parameters = [] }: Operation, fromParent: Readonly<Record<string, string>> = {}): string {
  const taken = parameters.flatMap((each) => {
    if (!("schema" in each) || each.in === "header" || !NAME.test(each.name) || each.name in fromParent) return [];
    return [`${each.name}: ${argumentType(each.schema)}${each.required ? "!" : ""}`];
  });
  return taken.length === 0 ? "" : `(${taken.join(", ")})`;
}

/** Queries are texts: what can be several things is written as one. */
function argumentType(shape: Shape): string {
  const kinds = [shape.type].flat();
  return kinds.length === 1 && shape.anyOf === undefined && kinds[0] !== "object" && kinds[0] !== "array"
    ? scalarOf(shape, kinds[0] ?? "string").replace("JSON", "String")
    : "String";
}

function pascal(name: string): string {
  return name.slice(0, 1).toUpperCase() + name.slice(1);
}

function camel(words: string): string {
  return words.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}
