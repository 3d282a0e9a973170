import type { Parsed } from "@tollgate/contracts";
import { isObject } from "./exact-json.ts";
import type { ConnectorOperation, Method, OperationParameter } from "./operation.ts";
import { escaped, formText, headerText, pathText, queryPairs } from "./parameter-text.ts";

type Arguments = Readonly<Record<string, unknown>>;

/** One request to an API, before anybody says who asks. */
export interface ApiRequest {
  readonly method: Method;
  /** Escaped, with its query: as it stands in the request. */
  readonly path: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface RequestOptions {
  /** The path of the base url, without a slash at its end. */
  readonly basePath: string;
  /** Query parameters that an argument must not bring about: those that say who asks. */
  readonly reserved: readonly string[];
  /** Goes into an operation's Idempotency-Key; see `isRepeatable`. */
  readonly idempotencyKey: string;
}

const IDEMPOTENCY_KEY = "idempotency-key";
/** Of a path, if servers read it as they do urls: %2e is a dot to them. */
const DOTS = /^(?:\.|%2e){1,2}$/i;
/** What Node sends in a header. */
const HEADER_TEXT = /^[\t\x20-\x7e\x80-\xff]*$/;

/** An argument may be called as what every object has. */
export const argumentOf = (args: Arguments, name: string): unknown =>
  Object.hasOwn(args, name) ? args[name] : undefined;
const isGiven = (value: unknown): boolean => value !== undefined && value !== null;
export const isIdempotencyKey = ({ in: place, name }: OperationParameter): boolean =>
  place === "header" && name.toLowerCase() === IDEMPOTENCY_KEY;

/** Whether the same request may be sent again when nobody knows what came of it. */
export function isRepeatable({ annotations, parameters }: ConnectorOperation): boolean {
  return annotations.readOnlyHint === true || annotations.idempotentHint === true || parameters.some(isIdempotencyKey);
}

/**
 * The request that a call's arguments make. Whatever they hold, it goes to the operation's own path: an argument cannot
 * leave its segment, nor end a header, nor become another parameter. A refusal's reason is for who calls.
 */
export function buildRequest(
  operation: ConnectorOperation,
  args: Arguments,
  options: RequestOptions,
): Parsed<ApiRequest> {
  const given = operation.parameters
    .map((parameter) => ({ parameter, value: argumentOf(args, parameter.argument) }))
    .filter(({ value }) => isGiven(value));
  const at = (place: OperationParameter["in"]) => given.filter(({ parameter }) => parameter.in === place);
  const path = pathOf(operation, at("path"), options);
  const query = queryOf(operation, at("query"), options);
  const headers = headersOf(at("header"), at("cookie"));
  const body = bodyOf(operation, args);
  for (const part of [path, query, headers, body]) if (!part.ok) return part;
  if (!path.ok || !query.ok || !headers.ok || !body.ok) throw new Error("unreachable");
  const { body: declared } = operation;
  const key = operation.parameters.some(isIdempotencyKey) ? { [IDEMPOTENCY_KEY]: options.idempotencyKey } : {};
  const type = body.value === undefined ? {} : { "content-type": declared!.contentType };
  return {
    ok: true,
    value: {
      method: operation.method,
      path: query.value === "" ? path.value : `${path.value}?${query.value}`,
      headers: { ...headers.value, ...key, ...type },
      ...(body.value === undefined ? {} : { body: body.value }),
    },
  };
}

interface Given {
  readonly parameter: OperationParameter;
  readonly value: unknown;
}

const refuse = (reason: string) => ({ ok: false, reason }) as const;

function pathOf(
  { path, parameters, server }: ConnectorOperation,
  given: readonly Given[],
  options: RequestOptions,
): Parsed<string> {
  const texts = new Map<string, string>();
  for (const parameter of parameters.filter(({ in: place }) => place === "path")) {
    const value = given.find((each) => each.parameter === parameter)?.value;
    const text = isGiven(value) ? pathText(parameter, value) : "";
    if (text === "") return refuse(`the argument ${parameter.argument} is missing or empty`);
    texts.set(parameter.name, text);
  }
  const basePath = server === undefined ? options.basePath : new URL(server).pathname.replace(/\/+$/, "");
  const segments = path.split("/").map((segment) => ({
    isFilled: segment.includes("{"),
    text: segment.replaceAll(/\{([^{}]*)\}/g, (_whole, name: string) => texts.get(name) ?? ""),
  }));
  if (segments.some(({ isFilled, text }) => isFilled && DOTS.test(text)))
    return refuse("an argument is . or .., which would lead to another path");
  return { ok: true, value: `${basePath}${segments.map(({ text }) => text).join("/")}` };
}

function queryOf(
  { parameters }: ConnectorOperation,
  given: readonly Given[],
  { reserved }: RequestOptions,
): Parsed<string> {
  const declared = new Set(parameters.filter(({ in: place }) => place === "query").map(({ name }) => escaped(name)));
  const foreign = new Set(reserved.map(escaped));
  const pairs: string[] = [];
  for (const { parameter, value } of given) {
    for (const [name, text] of queryPairs(parameter, value)) {
      const isForeign = name !== escaped(parameter.name) && declared.has(name);
      if (isForeign || foreign.has(name))
        return refuse(`the argument ${parameter.argument} has a key that is another parameter's name`);
      pairs.push(`${name}=${text}`);
    }
  }
  return { ok: true, value: pairs.join("&") };
}

function headersOf(given: readonly Given[], cookies: readonly Given[]): Parsed<Record<string, string>> {
  const headers: Record<string, string> = {};
  for (const { parameter, value } of given) {
    const text = headerText(parameter, value);
    if (!HEADER_TEXT.test(text)) return refuse(`the argument ${parameter.argument} has what a header cannot carry`);
    headers[parameter.name.toLowerCase()] = text;
  }
  const cookie = cookies.map(
    ({ parameter, value }) => `${escaped(parameter.name)}=${escaped(headerText(parameter, value))}`,
  );
  return { ok: true, value: cookie.length === 0 ? headers : { ...headers, cookie: cookie.join("; ") } };
}

function bodyOf({ body, parameters, inputSchema }: ConnectorOperation, args: Arguments): Parsed<string | undefined> {
  const taken = new Set(parameters.map(({ argument }) => argument));
  const rest = Object.entries(args).filter(([name]) => !taken.has(name));
  const own = body?.argument;
  const unknown = rest.find(([name]) => (body === undefined || own !== undefined) && name !== own)?.[0];
  if (unknown !== undefined) return refuse(`there is no argument ${unknown}; ${knownArguments(inputSchema)}`);
  if (body === undefined) return { ok: true, value: undefined };
  const value = own === undefined ? Object.fromEntries(rest) : argumentOf(args, own);
  const isMissing = own === undefined ? rest.length === 0 : value === undefined;
  if (isMissing && body.required && own !== undefined) return refuse(`the argument ${own} is missing`);
  if (isMissing && !body.required) return { ok: true, value: undefined };
  if (!body.contentType.startsWith("application/x-www-form-urlencoded"))
    return { ok: true, value: JSON.stringify(value) };
  return isObject(value) ? { ok: true, value: formText(value) } : refuse(`the argument ${own} has to be an object`);
}

function knownArguments({ properties }: ConnectorOperation["inputSchema"]): string {
  const names = isObject(properties) ? Object.keys(properties) : [];
  return names.length === 0 ? "it has none" : `it has ${names.join(", ")}`;
}
