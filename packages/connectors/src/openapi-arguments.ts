import { type Fields, fieldsAt, isFields, listAt, type OpenApi, resolve, spend, textAt } from "./openapi-document.ts";
import { convertSchema, cutText, type JsonSchema, type SchemaUse } from "./openapi-schema.ts";
import { type OperationBody, type OperationParameter, PARAMETER_STYLES, type ParameterStyle } from "./operation.ts";

const PARAMETERS_MAX = 200;
const ARGUMENT_MAX_CHARS = 64;
/** What models' interfaces take as the name of an argument. */
const ARGUMENT_NAME = /^[A-Za-z0-9_.-]{1,64}$/;
const INPUT_MAX_CHARS = 131_072;
const CHARS_PER_STEP = 64;
/** A token of RFC 9110, section 5.6.2. */
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/;
/** What the connection, the body or the connector's `auth` says: OpenAPI 3.1, Parameter Object, and RFC 9110, 7.6.1. */
const OWN_HEADER =
  /^(?:accept|authorization|proxy-.*|connection|content-.*|cookie|expect|host|keep-alive|te|trailer|transfer-encoding|upgrade)$/i;
const STYLES: Readonly<Record<OperationParameter["in"], readonly ParameterStyle[]>> = {
  path: ["simple", "label", "matrix"],
  query: ["form", "spaceDelimited", "pipeDelimited", "deepObject"],
  header: ["simple"],
  cookie: ["form"],
};

/** How a tool's arguments become a request. */
export interface Arguments {
  readonly parameters: readonly OperationParameter[];
  readonly body?: OperationBody;
  readonly inputSchema: JsonSchema;
}

interface Gathered {
  readonly openapi: OpenApi;
  readonly schemaUse: SchemaUse;
  readonly parameters: OperationParameter[];
  readonly properties: Record<string, JsonSchema>;
  readonly required: Set<string>;
  readonly warn: (message: string) => void;
}

/** The arguments of an operation, or why it can be no tool. */
export function argumentsOf(
  openapi: OpenApi,
  operation: { path: string; hasBody: boolean; item: Fields; fields: Fields; maxChars: number },
  warn: (message: string) => void,
): Arguments | { readonly skipped: string } {
  const { path, hasBody, item, fields, maxChars } = operation;
  const schemaUse = { use: "argument", maxChars } as const;
  const gathered: Gathered = { openapi, schemaUse, parameters: [], properties: {}, required: new Set(), warn };
  const given = [...parametersOf(openapi, item, fields).values()];
  const names = templateNames(path);
  if (Math.max(given.length, names.length) > PARAMETERS_MAX)
    return { skipped: `has more than ${PARAMETERS_MAX} parameters` };
  for (const each of given) {
    const problem = addParameter(gathered, each, names);
    if (problem !== undefined) return { skipped: problem };
  }
  for (const name of names) if (!isGathered(gathered, name)) addPathText(gathered, name);
  const body = hasBody ? addBody(gathered, fields["requestBody"]) : undefined;
  if (typeof body === "string") return { skipped: body };
  const inputSchema = {
    type: "object",
    properties: gathered.properties,
    ...(gathered.required.size > 0 ? { required: [...gathered.required] } : {}),
    additionalProperties: false,
  };
  const { length } = JSON.stringify(inputSchema);
  spend(openapi, Math.ceil(length / CHARS_PER_STEP));
  if (length > INPUT_MAX_CHARS) return { skipped: "has too large arguments" };
  return { parameters: gathered.parameters, ...(body ? { body } : {}), inputSchema };
}

/** The operation's own go before its path's, by place and name. */
function parametersOf(openapi: OpenApi, item: Fields, fields: Fields): Map<string, Fields> {
  const found = new Map<string, Fields>();
  const given = [...listAt(item, "parameters"), ...listAt(fields, "parameters")];
  spend(openapi, given.length);
  for (const each of given) {
    const parameter = resolve(openapi, each);
    if (parameter !== undefined) found.set(JSON.stringify([parameter["in"], parameter["name"]]), parameter);
  }
  return found;
}

function templateNames(path: string): string[] {
  return [...new Set([...path.matchAll(/\{([^{}]*)\}/g)].map(([, name]) => name!))];
}

function isGathered({ parameters }: Gathered, name: string): boolean {
  return parameters.some((each) => each.in === "path" && each.name === name);
}

/** A string says why there can be no tool without it. */
function addParameter(gathered: Gathered, parameter: Fields, pathNames: readonly string[]): string | undefined {
  const { openapi, schemaUse, properties, required, warn } = gathered;
  const name = textAt(parameter, "name") ?? "";
  const place = placeOf(parameter);
  const isRequired = place === "path" || parameter["required"] === true;
  if (place === undefined || name === "") {
    if (isRequired) return `needs a parameter that cannot be sent: ${cutText(name)}`;
    warn(`the parameter ${cutText(name)} cannot be sent and is left out`);
    return undefined;
  }
  if (isOwn(openapi, place, name) || (place === "path" && !pathNames.includes(name))) return undefined;
  if (place === "header" && !HEADER_NAME.test(name)) return `needs a header of a name that is none: ${cutText(name)}`;
  const contents = Object.entries(fieldsAt(parameter, "content"));
  spend(openapi, contents.length);
  const [content] = contents;
  if (content !== undefined && !isJson(content[0])) return `needs the parameter ${name} as ${cutText(content[0])}`;
  const argument = argumentName(gathered, name, place);
  const { schema, cuts } = convertSchema(
    openapi,
    content ? fieldsAt(content[1], "schema") : parameter["schema"],
    schemaUse,
  );
  for (const why of cuts) warn(`${name}: ${why}`);
  const description = textAt(parameter, "description");
  properties[argument] = description === undefined ? schema : { ...schema, description: cutText(description) };
  if (isRequired) required.add(argument);
  const sent = content ? { contentType: "application/json" } : serialisationOf(parameter, place);
  gathered.parameters.push({ argument, in: place, name, ...sent });
  return undefined;
}

function placeOf(parameter: Fields): OperationParameter["in"] | undefined {
  return (["path", "query", "header", "cookie"] as const).find((each) => each === parameter["in"]);
}

/** What the connector sends of itself: above all no model is asked for credentials. */
function isOwn(openapi: OpenApi, place: OperationParameter["in"], name: string): boolean {
  if (place === "header" && OWN_HEADER.test(name)) return true;
  const same = place === "header" ? name.toLowerCase() : name;
  const schemes = Object.values(fieldsAt(openapi.root["components"], "securitySchemes"));
  spend(openapi, schemes.length);
  return schemes.some((each) => {
    const scheme = resolve(openapi, each);
    const known = textAt(scheme, "name");
    if (scheme?.["type"] !== "apiKey" || scheme["in"] !== place || known === undefined) return false;
    return (place === "header" ? known.toLowerCase() : known) === same;
  });
}

/** What is as the place has it anyway is left out. */
function serialisationOf(parameter: Fields, place: OperationParameter["in"]): Partial<OperationParameter> {
  const [usual] = STYLES[place];
  const given = PARAMETER_STYLES.find((each) => each === parameter["style"] && STYLES[place].includes(each));
  const style = given ?? usual!;
  const explode = parameter["explode"];
  return {
    ...(style === usual ? {} : { style }),
    ...(typeof explode !== "boolean" || explode === (style === "form") ? {} : { explode }),
  };
}

/** Valid, and no other argument's. */
function argumentName({ openapi, properties: taken }: Gathered, name: string, place: string): string {
  const plain =
    name
      .replaceAll(/[^A-Za-z0-9_.-]+/g, "_")
      .replaceAll(/^_+|_+$/g, "")
      .slice(0, ARGUMENT_MAX_CHARS) || place;
  if (!Object.hasOwn(taken, plain) && plain !== "__proto__") return plain;
  const placed = `${plain.slice(0, ARGUMENT_MAX_CHARS - 12)}_${place}`;
  let candidate = placed;
  for (let count = 2; Object.hasOwn(taken, candidate); count += 1) {
    spend(openapi, 1);
    candidate = `${placed}_${count}`;
  }
  return candidate;
}

/** The path has it, and the document forgot to say more. */
function addPathText(gathered: Gathered, name: string): void {
  const { parameters, properties, required } = gathered;
  const argument = argumentName(gathered, name, "path");
  parameters.push({ argument, in: "path", name });
  properties[argument] = { type: "string" };
  required.add(argument);
}

function isJson(contentType: string): boolean {
  return /^application\/(?:[\w.-]+\+)?json(?:;|$)/i.test(contentType.trim());
}

const FORM = "application/x-www-form-urlencoded";

/** A string says why there can be no tool with it. */
function addBody(gathered: Gathered, requestBody: unknown): OperationBody | undefined | string {
  const body = resolve(gathered.openapi, requestBody);
  if (body === undefined) return requestBody === undefined ? undefined : "has a body that is not in the document";
  const types = Object.keys(fieldsAt(body, "content"));
  spend(gathered.openapi, types.length);
  if (types.length === 0) return undefined;
  const found = types.find(isJson) ?? types.find((each) => each.startsWith(FORM)) ?? types.find(isAny);
  if (found === undefined) return `takes neither JSON nor a form, but ${cutText(types.join(", "))}`;
  const isForm = found.startsWith(FORM);
  const contentType = isForm ? FORM : isAny(found) ? "application/json" : found.split(";")[0]!.trim();
  const given = fieldsAt(fieldsAt(body, "content"), found)["schema"];
  const { schema, cuts } = convertSchema(gathered.openapi, given, gathered.schemaUse);
  for (const why of cuts) gathered.warn(`body: ${why}`);
  // Most documents that leave it out mean that it is required, where something in it is.
  const required = typeof body["required"] === "boolean" ? body["required"] : "required" in schema;
  if (spread(gathered, schema, required)) return { contentType, required };
  if (isForm && schema["type"] !== "object") return "takes a form of which the document does not say what is in it";
  const argument = argumentName(gathered, "body", "body");
  const description = textAt(body, "description");
  gathered.properties[argument] = description === undefined ? schema : { ...schema, description: cutText(description) };
  if (required) gathered.required.add(argument);
  return { argument, contentType, required };
}

function isAny(contentType: string): boolean {
  return /^(?:\*|application)\/\*/.test(contentType);
}

/** A plain object's properties become the tool's own arguments, which models fill best. */
function spread({ properties, required }: Gathered, schema: JsonSchema, isRequired: boolean): boolean {
  const { type, properties: own, required: needed, additionalProperties: more, ...rest } = schema;
  const names = isFields(own) ? Object.keys(own) : [];
  const isPlain =
    type === "object" &&
    (more === undefined || more === false) &&
    Object.keys(rest).every((key) => /^(?:title|description)$/.test(key));
  if (!isPlain || names.length === 0 || names.length > PARAMETERS_MAX) return false;
  if (names.some((name) => !ARGUMENT_NAME.test(name) || Object.hasOwn(properties, name))) return false;
  const must = Array.isArray(needed) ? (needed as string[]) : [];
  // One that is required only if there is a body at all, or that the document does not describe.
  if ((!isRequired && must.length > 0) || must.some((name) => !names.includes(name))) return false;
  Object.assign(properties, own);
  for (const name of must) required.add(name);
  return true;
}
