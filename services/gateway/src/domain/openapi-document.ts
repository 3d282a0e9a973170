import { ERROR_CODES, httpStatus } from "@tollgate/errors";
import { examplesAt } from "./api-examples.ts";
import { operationIdOf } from "./operation-ids.ts";
import { type ExampleSchema, exampleOf } from "./schema-examples.ts";

/** An OpenAPI 3.1 document as far as it is looked at here. */
export interface OpenApiDocument {
  paths: Record<string, Record<string, Operation>>;
  components: Record<string, Record<string, unknown>>;
}
interface Media {
  schema?: ExampleSchema;
  example?: unknown;
}
interface Parameter {
  name: string;
  in: string;
  required?: boolean;
  schema: ExampleSchema;
  example?: unknown;
}
export interface Operation {
  operationId?: string;
  summary?: string;
  description?: string;
  parameters?: (Parameter | Reference)[];
  requestBody?: { content: Record<string, Media> };
  responses: Record<string, { description: string; content?: Record<string, Media>; headers?: object } | Reference>;
}
interface Reference {
  $ref: string;
}

const PROBLEM_TYPE = "application/problem+json";
const MEANINGS: Readonly<Record<number, string>> = {
  200: "Done",
  201: "Created",
  202: "Begun",
  204: "Done; there is nothing to say",
  400: "Something of the request is not as it has to be; `errors` has the places",
  401: "Nobody is known by these credentials, or a stronger sign-in is asked for",
  403: "The caller may not; `action` says what it would have to be allowed",
  404: "What the path names is not there",
  409: "It is there already, or does not go together with what there is",
  412: "What If-Match or If-None-Match said is not so; `etag` is the present one",
  413: "The body is too large",
  422: "The Idempotency-Key was used for another request",
  429: "Too much at a time; retry-after says when to come back",
  500: "A mistake of Tollgate itself; its log has the details",
  502: "Whether it was done is not known",
  503: "A service that is needed cannot be reached",
  504: "A service that is needed did not answer in time",
};
/** Statuses that say more exactly what their code says. */
const FURTHER_CODES: Readonly<Record<number, readonly string[]>> = {
  404: ["not_found"],
  412: ["failed_precondition", "already_exists"],
  422: ["failed_precondition"],
};

/** Names each operation, and adds examples, what its answers mean, and the problems that it may answer with. */
export function completeDocument(document: OpenApiDocument): void {
  for (const [path, methods] of Object.entries(document.paths))
    for (const [method, operation] of Object.entries(methods)) completeOperation(operation, method, path);
  Object.assign(document.components, {
    schemas: { ...document.components["schemas"], Problem: PROBLEM },
    responses: Object.fromEntries(Object.keys(MEANINGS).flatMap((status) => problemResponse(Number(status)))),
    headers: { ETag: ETAG },
    parameters: { "Idempotency-Key": IDEMPOTENCY_KEY },
  });
}

function completeOperation(operation: Operation, method: string, path: string): void {
  const named = examplesAt(path);
  const answer = Object.values(operation.responses).find((each) => "content" in each) as
    | { content: Record<string, Media> }
    | undefined;
  const isList = answer?.content["application/json"]?.schema?.properties?.["items"] !== undefined;
  operation.operationId ??= operationIdOf(method, path, isList);
  for (const parameter of operation.parameters ?? [])
    if ("schema" in parameter && parameter.required)
      addExample(parameter, exampleOf(parameter.schema, named, parameter.name));
  for (const response of Object.values(operation.responses))
    for (const media of Object.values("content" in response ? (response.content ?? {}) : {})) addMediaExample(media);
  for (const media of Object.values(operation.requestBody?.content ?? {})) addMediaExample(media);
  describeResponses(operation, method);
  if (method !== "get") (operation.parameters ??= []).push({ $ref: "#/components/parameters/Idempotency-Key" });
  for (const status of problemsOf(operation, method))
    operation.responses[status] ??= { $ref: `#/components/responses/${status}` };

  function addMediaExample(media: Media): void {
    if (media.schema !== undefined) addExample(media, exampleOf(media.schema, named));
  }
}

function addExample(where: { example?: unknown }, example: unknown): void {
  if (example !== undefined) where.example ??= example;
}

function describeResponses({ responses }: Operation, method: string): void {
  for (const [status, response] of Object.entries(responses)) {
    if ("$ref" in response) continue;
    if (response.description === "Default Response") response.description = MEANINGS[Number(status)] ?? status;
    if (method === "get") response.headers ??= { ETag: { $ref: "#/components/headers/ETag" } };
  }
}

function problemsOf({ parameters = [], requestBody }: Operation, method: string): number[] {
  const has = (wanted: string) => parameters.some((each) => "in" in each && each.in === wanted);
  const isChange = method !== "get";
  const isConditional = parameters.some((each) => "name" in each && each.name === "if-match");
  return [
    400,
    401,
    403,
    ...(has("path") || has("query") || requestBody !== undefined ? [404] : []),
    ...(isChange ? [409] : []),
    ...(isConditional ? [412] : []),
    ...(requestBody === undefined ? [] : [413]),
    ...(isChange ? [422] : []),
    429,
    500,
    502,
    503,
    504,
  ];
}

const PROBLEM = {
  type: "object",
  description: "Problem details (RFC 9457). `code` is stable; `detail` is for people",
  properties: {
    type: { type: "string", examples: ["about:blank"] },
    title: { type: "string", examples: ["Not found"] },
    status: { type: "integer", minimum: 400, maximum: 599, examples: [404] },
    code: { type: "string", enum: ERROR_CODES, examples: ["not_found"] },
    detail: { type: "string", minLength: 1, examples: ['there is no server "filesystem"'] },
    errors: {
      type: "array",
      description: "Each mistake with its place",
      items: {
        type: "object",
        properties: { path: { type: "string" }, message: { type: "string" } },
        required: ["path", "message"],
      },
    },
    retryAfterSeconds: { type: "number" },
    etag: { type: "string" },
  },
  required: ["type", "title", "status", "code", "detail"],
  additionalProperties: true,
};

function problemResponse(status: number): [string, unknown][] {
  if (status < 400) return [];
  const codes = FURTHER_CODES[status] ?? ERROR_CODES.filter((code) => httpStatus(code) === status);
  const narrowed = { properties: { status: { const: status }, code: { enum: codes } } };
  const schema = { allOf: [{ $ref: "#/components/schemas/Problem" }, narrowed] };
  const example = { type: "about:blank", title: "…", status, code: codes[0], detail: MEANINGS[status] };
  return [[String(status), { description: MEANINGS[status], content: { [PROBLEM_TYPE]: { schema, example } } }]];
}

const ETAG = {
  description: "What If-Match and If-None-Match take: of this version, or of this answer",
  schema: { type: "string", examples: ['"3"'] },
};

const IDEMPOTENCY_KEY = {
  name: "Idempotency-Key",
  in: "header",
  required: false,
  description:
    "The same change with the same key is done once: a repeat is answered as the first was. Of reads it means nothing",
  schema: { type: "string", pattern: "^[\\x21-\\x7e]{1,255}$" },
  example: "7c1b6c2e-1f43-4c4e-8d6e-0b6a9a4f2d55",
};
