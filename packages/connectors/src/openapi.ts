import type { Risk } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { argumentsOf } from "./openapi-arguments.ts";
import { type Fields, fieldsAt, isFields, listAt, type OpenApi, resolve, spend, textAt } from "./openapi-document.ts";
import { guessPagination } from "./openapi-pagination.ts";
import { convertSchema, cutText, type JsonSchema } from "./openapi-schema.ts";
import { serverUrlOf } from "./openapi-servers.ts";
import { type ConnectorOperation, type Method, METHODS } from "./operation.ts";

const OPERATIONS_MAX = 2_000;
const NAME_MAX_CHARS = 128;
const PATH_MAX_CHARS = 2_048;
const TITLE_MAX_CHARS = 200;
const TAG_MAX_CHARS = 256;
const WARNINGS_MAX = 200;
/** Of an operation, also of one that is not wanted, and of each of its tags: it is compared with many patterns. */
const STEPS_TO_FIND = 50;
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
  const warnings = new Warnings();
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
  return { operations, warnings: warnings.list() };
}

/** Where the API is; undefined where its document does not say. */
export function baseUrlOf(openapi: OpenApi, from?: string): string | undefined {
  return serverUrlOf(openapi.root, from);
}

function findOperations(openapi: OpenApi): Found[] {
  const uniqueName = namesApart();
  return Object.entries(fieldsAt(openapi.root, "paths")).flatMap(([path, value]) => {
    const item = path.startsWith("/") ? resolve(openapi, value) : undefined;
    if (item === undefined) return [];
    return METHODS.flatMap((method) => {
      const fields = item[method.toLowerCase()];
      if (!isFields(fields)) return [];
      const given = listAt(fields, "tags");
      spend(openapi, STEPS_TO_FIND * (1 + given.length));
      const tags = given.filter((tag) => typeof tag === "string").filter((tag) => tag.length <= TAG_MAX_CHARS);
      const name = uniqueName(textAt(fields, "operationId") ?? "", `${method.toLowerCase()}${path}`);
      return [{ name, method, path, tags, item, fields }];
    });
  });
}

function namesApart(): (operationId: string, otherwise: string) => string {
  const taken = new Set<string>();
  /** All may be called alike: each goes on where the one before stopped. */
  const counts = new Map<string, number>();
  return (operationId, otherwise) => {
    const plain = toolName(operationId) || toolName(otherwise) || "operation";
    const start = plain.slice(0, NAME_MAX_CHARS - 8);
    let candidate = plain;
    let count = counts.get(start) ?? 2;
    for (; taken.has(candidate); count += 1) candidate = `${start}_${count}`;
    if (candidate !== plain) counts.set(start, count);
    taken.add(candidate);
    return candidate;
  };
}

function toolName(text: string): string {
  return text
    .slice(0, PATH_MAX_CHARS)
    .replaceAll(/[^A-Za-z0-9_.-]+/g, "_")
    .replaceAll(/^_+|(?<!_)_+$/g, "")
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
  const said = (holder: Fields, key: string) => cutText(textAt(holder, key) ?? "");
  const summary = said(fields, "summary") || said(item, "summary");
  const text = said(fields, "description") || summary || said(item, "description") || `${method} ${path}`;
  return {
    ...(summary === "" ? {} : { title: summary.slice(0, TITLE_MAX_CHARS).toWellFormed() }),
    description: cutText(summary === "" || text.startsWith(summary) ? text : `${summary.replace(/\.$/, "")}. ${text}`),
  };
}

/** The first that says that all is well. */
function answerOf(openapi: OpenApi, fields: Fields): Fields | undefined {
  const answers = fieldsAt(fields, "responses");
  const statuses = Object.keys(answers);
  const status = statuses.toSorted().find((each) => /^2(?:\d\d|XX)$/i.test(each));
  const answer = status === undefined ? undefined : resolve(openapi, answers[status]);
  const parts = ["content", "headers"].flatMap((key) => Object.keys(fieldsAt(answer, key)));
  spend(openapi, statuses.length + parts.length);
  return answer;
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
function securityNames(openapi: OpenApi, fields: Fields): string[] {
  const ways = Array.isArray(fields["security"]) ? listAt(fields, "security") : listAt(openapi.root, "security");
  const first = ways.filter(isFields).find((way) => Object.keys(way).length > 0);
  const names = Object.keys(first ?? {});
  spend(openapi, ways.length + names.length);
  return names;
}

/** Each once; of more than can be told only that there are more. */
class Warnings {
  readonly #told = new Set<string>();
  #more = 0;

  add(warning: string): void {
    if (this.#told.has(warning)) return;
    if (this.#told.size < WARNINGS_MAX) this.#told.add(warning);
    else this.#more += 1;
  }

  list(): readonly string[] {
    return this.#more === 0 ? [...this.#told] : [...this.#told, `and ${this.#more} more`];
  }
}
