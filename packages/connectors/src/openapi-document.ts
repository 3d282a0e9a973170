import { AppError } from "@tollgate/errors";
import { upgrade } from "@scalar/openapi-upgrader";

/** Of a JSON object, as somebody else wrote it. */
export type Fields = Readonly<Record<string, unknown>>;

/** A document of OpenAPI 3.1 or later. It is plain data, without loops; what it says may still be wrong everywhere. */
export interface OpenApi {
  readonly root: Fields;
  /** What references were found to stand for. */
  readonly targets: Map<string, unknown>;
  /** Schemas as openapi-schema.ts has converted them: the same ones are named again and again. */
  readonly converted: Map<string, Map<unknown, unknown>>;
  /** What each schema says by itself; see there too. */
  readonly own: Map<Fields, unknown>;
  readonly steps: { left: number };
}

/** Of the text that a document is read from, by whoever reads it. */
export const DOCUMENT_MAX_BYTES = 4 * 1024 * 1024;
/** Also stops what aliases of YAML blow up. */
const NODES_MAX = 1_000_000;
const DEPTH_MAX = 100;
const REFERENCES_MAX = 32;
/** Of one document: seconds. What has hundreds of operations with all that a tool may say takes half of it. */
const STEPS_MAX = 8_000_000;

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The object at the key, or an empty one. */
export function fieldsAt(value: unknown, key: string): Fields {
  const found = isFields(value) ? value[key] : undefined;
  return isFields(found) ? found : {};
}

export function listAt(value: unknown, key: string): readonly unknown[] {
  const found = isFields(value) ? value[key] : undefined;
  return Array.isArray(found) ? found : [];
}

export function textAt(value: unknown, key: string): string | undefined {
  const found = isFields(value) ? value[key] : undefined;
  return typeof found === "string" ? found : undefined;
}

/**
 * A document of Swagger 2.0, OpenAPI 3.0, 3.1 or 3.2, brought to 3.1 or later. Nothing is read beside it: references to
 * other documents stay unresolved.
 * @throws {AppError} invalid_argument
 */
export function readOpenApi(document: unknown): OpenApi {
  const copy = withVersion(copyOf(document, { nodes: 0 }, 0));
  try {
    const root: unknown = upgrade(copy, "3.1");
    if (isFields(root))
      return { root, targets: new Map(), converted: new Map(), own: new Map(), steps: { left: STEPS_MAX } };
  } catch (error) {
    throw new AppError("invalid_argument", `the OpenAPI document cannot be read: ${(error as Error).message}`, {
      cause: error,
    });
  }
  throw new AppError("invalid_argument", "the OpenAPI document is no object");
}

/**
 * Counts the work that a document makes: whatever is done again for each of those that refer to it. A small document may
 * have a large part that all its operations share.
 * @throws {AppError} invalid_argument when it is too much
 */
export function spend({ steps }: OpenApi, count: number): void {
  steps.left -= count;
  if (steps.left < 0)
    throw new AppError(
      "invalid_argument",
      "the OpenAPI document takes too long to read: too much refers to large parts",
    );
}

/** Plain and bounded, and nobody else's: the conversion changes what it is given. */
function copyOf(value: unknown, count: { nodes: number }, depth: number): unknown {
  count.nodes += 1;
  if (count.nodes > NODES_MAX || depth > DEPTH_MAX)
    throw new AppError("invalid_argument", "the OpenAPI document is too large or too deep, or contains itself");
  if (Array.isArray(value)) return value.map((each: unknown) => copyOf(each, count, depth + 1));
  if (!isFields(value)) return typeof value === "bigint" ? Number(value) : value;
  const entries = Object.entries(value).filter(([key, each]) => key !== "__proto__" && each !== undefined);
  return Object.fromEntries(entries.map(([key, each]) => [key, copyOf(each, count, depth + 1)]));
}

/** YAML takes `swagger: 2.0` and `openapi: 3.1` for numbers. */
function withVersion(document: unknown): Fields {
  if (isFields(document)) {
    const { swagger, openapi } = document;
    if (swagger === "2.0" || swagger === 2) return { ...document, swagger: "2.0" };
    const version = typeof openapi === "number" ? openapi.toFixed(1) : openapi;
    if (typeof version === "string" && /^3\.[0-2](?:$|\.)/.test(version)) return { ...document, openapi: version };
  }
  throw new AppError(
    "invalid_argument",
    'this is no OpenAPI document: it has neither swagger: "2.0" nor openapi: "3.0", "3.1" or "3.2"',
  );
}

/** What a reference within the document stands for; undefined where nothing is there, or it leads out of the document. */
export function targetOf({ root, targets }: OpenApi, reference: string): unknown {
  if (!targets.has(reference))
    targets.set(reference, reference.startsWith("#") ? pointedTo(root, reference) : undefined);
  return targets.get(reference);
}

function pointedTo(root: Fields, reference: string): unknown {
  let at: unknown = root;
  for (const step of reference.slice(1).split("/").slice(1)) {
    const key = unescaped(step);
    if (Array.isArray(at)) at = /^\d+$/.test(key) ? at[Number(key)] : undefined;
    else at = isFields(at) && Object.hasOwn(at, key) ? at[key] : undefined;
  }
  return at === root ? undefined : at;
}

/** RFC 6901, as part of a URI. */
function unescaped(step: string): string {
  let text = step;
  try {
    text = decodeURIComponent(step);
  } catch {
    // A plain percent sign that nobody has escaped.
  }
  return text.replaceAll("~1", "/").replaceAll("~0", "~");
}

/** A parameter, body, answer, path or header behind its references. Schemas have a way of their own: openapi-schema.ts. */
export function resolve(openapi: OpenApi, value: unknown): Fields | undefined {
  let at = value;
  for (let count = 0; count < REFERENCES_MAX; count += 1) {
    if (!isFields(at)) return undefined;
    const reference = textAt(at, "$ref");
    if (reference === undefined) return at;
    at = targetOf(openapi, reference);
  }
  return undefined;
}
