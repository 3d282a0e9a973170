import { createHash } from "node:crypto";
import type { ConnectorOperation, Method } from "@tollgate/connectors";
import type { Parsed } from "@tollgate/contracts";
import type { ConnectorForm } from "./connector-schema.ts";
import type { Mistake, Path } from "./document.ts";
import { operationsOfDocument } from "./document-operations.ts";
import type { ReadDocument } from "./documents.ts";
import { isOwnHeader } from "./remote.ts";

const WARNINGS_MAX = 20;
/** RFC 9110, section 9.2.2. */
const SAFE_TO_REPEAT: ReadonlySet<Method> = new Set(["GET", "HEAD", "PUT", "DELETE"]);
const READING: ReadonlySet<Method> = new Set(["GET", "HEAD"]);
const BODY_TYPE = /^application\/(?:(?:[\w.-]+\+)?json|x-www-form-urlencoded)(?:;|$)/i;

type OperationForm = ConnectorForm["operations"][number];

export interface OperationsAt {
  readonly path: Path;
  readonly readDocument: ReadDocument;
  readonly mistakes: Mistake[];
  readonly warnings: Mistake[];
}

/** Those of the entry's document that are wanted, and its own, which take the place of one with the same name. */
export function toOperations(entry: ConnectorForm, at: OperationsAt): ConnectorOperation[] {
  const known = at.mistakes.length;
  const own = entry.operations.flatMap((form, index) =>
    ownOperation(form, { ...at, path: [...at.path, "operations", index] }),
  );
  const taken = new Set(own.map(({ name }) => name));
  const all = [...own, ...documented(entry, at).filter(({ name }) => !taken.has(name))];
  if (taken.size < own.length) at.mistakes.push({ path: [...at.path, "operations"], message: "has a name twice" });
  if (all.length === 0 && at.mistakes.length === known) {
    const key = entry.openapi === undefined ? "operations" : "openapi";
    at.mistakes.push({ path: [...at.path, key], message: "has no operation that could be a tool" });
  }
  return all;
}

function documented(
  entry: ConnectorForm,
  { path, readDocument, mistakes, warnings }: OperationsAt,
): ConnectorOperation[] {
  if (entry.openapi === undefined) return [];
  const place = [...path, "openapi"];
  const named = typeof entry.openapi === "string" ? entry.openapi : "the document";
  const warn = (message: string) => warnings.push({ path: place, message: `${named}: ${message}` });
  const text = typeof entry.openapi === "string" ? readDocument(entry.openapi) : textOf(entry.openapi);
  const found = text.ok ? operationsOfDocument(text.value, entry) : text;
  if (!found.ok) {
    mistakes.push({ path: place, message: text.ok ? `${named}: ${found.reason}` : `names a file ${found.reason}` });
    return [];
  }
  for (const message of found.value.warnings.slice(0, WARNINGS_MAX)) warn(message);
  const more = found.value.warnings.length - WARNINGS_MAX;
  if (more > 0) warn(`and ${more} more`);
  return found.value.operations.filter((operation) => {
    const problem = problemOf(operation, entry.base_url);
    if (problem !== undefined) warn(`${operation.name} is left out: it ${problem}`);
    return problem === undefined;
  });
}

const textOf = (document: unknown): Parsed<string> => ({ ok: true, value: JSON.stringify(document) });

function ownOperation(form: OperationForm, { path, mistakes }: OperationsAt): ConnectorOperation[] {
  const { input_schema: given, output_schema: outputSchema, annotations, ...rest } = form;
  const parameters = form.parameters.map(({ argument, content_type: contentType, style, explode, ...parameter }) => ({
    argument: argument ?? parameter.name,
    ...parameter,
    ...(style === undefined ? {} : { style }),
    ...(explode === undefined ? {} : { explode }),
    ...(contentType === undefined ? {} : { contentType }),
  }));
  const body = form.body && {
    ...(form.body.argument === undefined ? {} : { argument: form.body.argument }),
    contentType: form.body.content_type,
    required: form.body.required,
  };
  const hints = {
    readOnlyHint: annotations?.read_only ?? READING.has(form.method),
    idempotentHint: annotations?.idempotent ?? SAFE_TO_REPEAT.has(form.method),
    ...(annotations?.destructive === undefined ? {} : { destructiveHint: annotations.destructive }),
  };
  const { title, risk, name, description, method } = rest;
  const operation: ConnectorOperation = {
    name,
    ...(title === undefined ? {} : { title }),
    description: description === "" ? `${method} ${form.path}` : description,
    method,
    path: form.path,
    parameters,
    ...(body === undefined ? {} : { body }),
    inputSchema: given ?? textsFor(parameters, body),
    ...(outputSchema === undefined ? {} : { outputSchema }),
    annotations: hints,
    ...(risk === undefined ? {} : { risk }),
  };
  const problem = problemOf(operation, undefined);
  if (problem === undefined) return [operation];
  mistakes.push({ path, message: problem });
  return [];
}

/** Of an operation that says nothing of its arguments. */
function textsFor(
  parameters: ConnectorOperation["parameters"],
  body: ConnectorOperation["body"],
): ConnectorOperation["inputSchema"] {
  const properties = Object.fromEntries(parameters.map(({ argument }) => [argument, { type: "string" }]));
  const inPath = parameters.filter((parameter) => parameter.in === "path").map(({ argument }) => argument);
  const required = [...inPath, ...(body?.required === true && body.argument !== undefined ? [body.argument] : [])];
  return {
    type: "object",
    properties: { ...properties, ...(body?.argument === undefined ? {} : { [body.argument]: {} }) },
    ...(required.length === 0 ? {} : { required }),
    // Without a name of its own, the body is what else is given.
    additionalProperties: body !== undefined && body.argument === undefined,
  };
}

/** Why no request could be made of it; to be read after "it", or after its place. */
function problemOf(
  { path, parameters, method, body, inputSchema, server }: ConnectorOperation,
  baseUrl: string | undefined,
): string | undefined {
  const inTemplate = [...path.matchAll(/\{([^{}]*)\}/g)].map(([, name]) => name!);
  const inPath = parameters.filter((parameter) => parameter.in === "path").map(({ name }) => name);
  const lacking = inTemplate.find((name) => !inPath.includes(name));
  if (lacking !== undefined) return `has no parameter for {${lacking}} of its path`;
  const needless = inPath.find((name) => !inTemplate.includes(name));
  if (needless !== undefined) return `has the parameter ${needless}, which its path has no place for`;
  const own = parameters.find((parameter) => parameter.in === "header" && isOwnHeader(parameter.name));
  if (own !== undefined) return `has the parameter ${own.name}, a header that the connection itself sets`;
  if (body !== undefined && READING.has(method)) return `has a body, which ${method} cannot have`;
  if (body !== undefined && !BODY_TYPE.test(body.contentType)) return "has a body that is neither JSON nor a form";
  if (inputSchema["type"] !== "object") return 'has arguments whose schema is not of the type "object"';
  if (baseUrl !== undefined && server !== undefined && new URL(server).origin !== new URL(baseUrl).origin)
    return "is at another address than base_url, and the credentials are not for that";
  return undefined;
}

/** Stands for a document in what is stored. */
export function documentMark(document: unknown): string {
  return `(a document, SHA-256 ${createHash("sha256").update(JSON.stringify(document)).digest("hex")})`;
}
