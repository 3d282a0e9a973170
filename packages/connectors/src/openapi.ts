import type { Risk } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { argumentsOf } from "./openapi-arguments.ts";
import { type Fields, fieldsAt, isFields, listAt, type OpenApi, resolve, textAt } from "./openapi-document.ts";
import { guessPagination } from "./openapi-pagination.ts";
import { convertSchema, cutText, type JsonSchema } from "./openapi-schema.ts";
import { serverUrlOf } from "./openapi-servers.ts";
import { type ConnectorOperation, type Method, METHODS } from "./operation.ts";

const OPERATIONS_MAX = 2_000;
const NAME_MAX_CHARS = 128;
const PATH_MAX_CHARS = 2_048;
const TITLE_MAX_CHARS = 200;
const WARNINGS_MAX = 200;
/** Of one schema. What no model would read to the end is left open instead. */
const SCHEMA_MAX_CHARS = 16_384;
/** Of all bodies' and of all answers' schemas: the more operations there are, the less may each say. */
const SCHEMAS_MAX_CHARS = 8 * 1024 * 1024;
/** Of all arguments' schemas together. */
const INPUTS_MAX_CHARS = 16 * 1024 * 1024;

const RISK: Readonly<Record<Method, Risk>> = {
  GET: "LOW",
  HEAD: "LOW",
  POST: "MEDIUM",
  PUT: "MEDIUM",
  PATCH: "MEDIUM",
  DELETE: "HIGH",
};
/** RFC 9110, section 9.2. */
const ANNOTATIONS: Readonly<Record<Method, ConnectorOperation["annotations"]>> = {
  GET: { readOnlyHint: true },
  HEAD: { readOnlyHint: true },
  POST: {},
  PUT: { idempotentHint: true },
  PATCH: {},
  DELETE: { idempotentHint: true, destructiveHint: true },
};

export interface OperationsOptions {
  /** Where the document was got: urls that it gives without a host are there. */
  readonly from?: string;
  /** Deprecated operations too. */
  readonly deprecated?: boolean;
  readonly isWanted?: (operation: {
    readonly name: string;
    readonly method: Method;
    readonly path: string;
    readonly tags: readonly string[];
  }) => boolean;
}

interface Found {
  readonly name: string;
  readonly method: Method;
  readonly path: string;
  readonly tags: readonly string[];
  readonly item: Fields;
  readonly fields: Fields;
}

/**
 * The operations of a document as tools, in its order. What cannot be one is left out and told in `warnings`; names do
 * not depend on what is wanted.
 * @throws {AppError} invalid_argument when there are too many
 */
export function operationsOf(
  openapi: OpenApi,
  options: OperationsOptions = {},
): { readonly operations: readonly ConnectorOperation[]; readonly warnings: readonly string[] } {
  const warnings = new Set<string>();
  const wanted = findOperations(openapi).filter(
    (each) => (options.deprecated === true || each.fields["deprecated"] !== true) && (options.isWanted?.(each) ?? true),
  );
  if (wanted.length > OPERATIONS_MAX)
    throw new AppError(
      "invalid_argument",
      `the OpenAPI document has ${wanted.length} operations, and a connector has at most ${OPERATIONS_MAX}`,
    );
  const baseUrl = baseUrlOf(openapi, options.from);
  const size = { inputs: 0 };
  const maxChars = Math.min(SCHEMA_MAX_CHARS, Math.floor(SCHEMAS_MAX_CHARS / wanted.length));
  const operations = wanted.flatMap((found) => {
    const warn = (message: string) => warnings.add(`${found.method} ${cutText(found.path)}: ${message}`);
    return toOperation(openapi, found, { warn, size, maxChars, from: options.from, baseUrl }) ?? [];
  });
  return { operations, warnings: bounded([...warnings]) };
}

/** Where the API is; undefined where its document does not say. */
export function baseUrlOf(openapi: OpenApi, from?: string): string | undefined {
  return serverUrlOf(openapi.root, from);
}

function findOperations(openapi: OpenApi): Found[] {
  const taken = new Set<string>();
  return Object.entries(fieldsAt(openapi.root, "paths")).flatMap(([path, value]) => {
    const item = path.startsWith("/") ? resolve(openapi, value) : undefined;
    if (item === undefined) return [];
    return METHODS.flatMap((method) => {
      const fields = item[method.toLowerCase()];
      if (!isFields(fields)) return [];
      const name = uniqueName(textAt(fields, "operationId") ?? "", `${method.toLowerCase()}${path}`, taken);
      const tags = listAt(fields, "tags").filter((tag) => typeof tag === "string");
      return [{ name, method, path, tags, item, fields }];
    });
  });
}

function uniqueName(operationId: string, otherwise: string, taken: Set<string>): string {
  const plain = toolName(operationId) || toolName(otherwise) || "operation";
  let candidate = plain;
  for (let count = 2; taken.has(candidate); count += 1) candidate = `${plain.slice(0, NAME_MAX_CHARS - 8)}_${count}`;
  taken.add(candidate);
  return candidate;
}

function toolName(text: string): string {
  return text
    .replaceAll(/[^A-Za-z0-9_.-]+/g, "_")
    .replaceAll(/^_+|_+$/g, "")
    .slice(0, NAME_MAX_CHARS);
}

interface Context {
  readonly warn: (message: string) => void;
  readonly size: { inputs: number };
  readonly maxChars: number;
  readonly from: string | undefined;
  readonly baseUrl: string | undefined;
}

function toOperation(openapi: OpenApi, found: Found, context: Context): ConnectorOperation | undefined {
  const { name, method, path, tags, item, fields } = found;
  const { warn, size, maxChars } = context;
  if (/[?#\s]/.test(path) || path.length > PATH_MAX_CHARS) {
    warn("is left out: its path is none that a parameter could go into");
    return undefined;
  }
  const isReading = method === "GET" || method === "HEAD";
  const given = argumentsOf(openapi, { path, hasBody: !isReading, item, fields, maxChars }, warn);
  if ("skipped" in given) {
    warn(`is left out: it ${given.skipped}`);
    return undefined;
  }
  size.inputs += JSON.stringify(given.inputSchema).length;
  if (size.inputs > INPUTS_MAX_CHARS)
    throw new AppError(
      "invalid_argument",
      `the OpenAPI document's arguments are larger than ${INPUTS_MAX_CHARS} bytes`,
    );
  const answer = answerOf(openapi, fields);
  const outputSchema = method === "HEAD" ? undefined : outputOf(openapi, answer, context);
  const server = serverUrlOf(fields, context.from) ?? serverUrlOf(item, context.from);
  const security = securityNames(openapi, fields);
  const pagination = method === "GET" ? guessPagination({ ...given, outputSchema, answer }) : undefined;
  const { title, description } = textsOf(found);
  return {
    name,
    ...(title === undefined ? {} : { title }),
    description,
    method,
    path,
    ...given,
    ...(outputSchema === undefined ? {} : { outputSchema }),
    annotations: ANNOTATIONS[method],
    risk: RISK[method],
    ...(server === undefined || server === context.baseUrl ? {} : { server }),
    ...(security.length === 0 ? {} : { security }),
    ...(pagination === undefined ? {} : { pagination }),
    ...(tags.length === 0 ? {} : { tags }),
  };
}

function textsOf({ method, path, item, fields }: Found): { title?: string; description: string } {
  const summary = textAt(fields, "summary")?.trim() || textAt(item, "summary")?.trim() || "";
  const text = textAt(fields, "description")?.trim() || summary || textAt(item, "description") || `${method} ${path}`;
  return {
    ...(summary === "" ? {} : { title: cutText(summary).slice(0, TITLE_MAX_CHARS).toWellFormed() }),
    description: cutText(summary === "" || text.startsWith(summary) ? text : `${summary.replace(/\.$/, "")}. ${text}`),
  };
}

/** The first that says that all is well. */
function answerOf(openapi: OpenApi, fields: Fields): Fields | undefined {
  const answers = fieldsAt(fields, "responses");
  const status = Object.keys(answers)
    .toSorted()
    .find((each) => /^2(?:\d\d|XX)$/i.test(each));
  return status === undefined ? undefined : resolve(openapi, answers[status]);
}

function outputOf(openapi: OpenApi, answer: Fields | undefined, { warn, maxChars }: Context): JsonSchema | undefined {
  const content = Object.entries(fieldsAt(answer, "content")).find(([type]) => /[/+]json(?:;|$)/i.test(type));
  if (content === undefined || !isFields(content[1]) || content[1]["schema"] === undefined) return undefined;
  const { schema, cuts } = convertSchema(openapi, content[1]["schema"], { use: "result", maxChars });
  if (schema["type"] !== "object") return undefined;
  for (const why of cuts) warn(`answer: ${why}`);
  return schema;
}

/** Of the first of the ways to get in; an empty list where anybody may. */
function securityNames({ root }: OpenApi, fields: Fields): string[] {
  const ways = Array.isArray(fields["security"]) ? listAt(fields, "security") : listAt(root, "security");
  const first = ways.filter(isFields).find((way) => Object.keys(way).length > 0);
  return Object.keys(first ?? {});
}

function bounded(warnings: readonly string[]): readonly string[] {
  if (warnings.length <= WARNINGS_MAX) return warnings;
  return [...warnings.slice(0, WARNINGS_MAX), `and ${warnings.length - WARNINGS_MAX} more`];
}
