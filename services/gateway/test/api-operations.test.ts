import { ERROR_CODES } from "@tollgate/errors";
import { fixtureServer, useInfrastructure, useSystem } from "@tollgate/testkit";
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ApiAnswer, type ApiRequest, openApiClient } from "./api-client.ts";
import { oddValues, type ValueSchema } from "./invalid-values.ts";

// Every operation of the management API, as its own document describes it: what is valid, and what is not. An operation
// joins by being in the document.

const TIME_MAX_MS = 300_000;
const infra = useInfrastructure();
const system = useSystem(infra, {
  yaml: `groups: [{ id: devops, name: DevOps }]
mcp_servers:
  - { id: filesystem, group: devops, type: node, command: ${fixtureServer} }
policies:
  - { name: callers, effect: allow, principals: ["token:caller"], actions: ["tools/call"], resources: ["*"] }
`,
});

interface Media {
  schema: ValueSchema;
  example?: unknown;
}
interface Parameter {
  name: string;
  in: "path" | "query" | "header";
  required?: boolean;
  schema: ValueSchema;
  example?: unknown;
}
interface Operation {
  method: string;
  path: string;
  operationId: string;
  summary?: string;
  tags?: string[];
  parameters: Parameter[];
  requestBody?: { content: Record<string, Media> };
  responses: Record<string, { $ref?: string; content?: Record<string, Media> }>;
}
let client: ReturnType<typeof openApiClient>;
let closing = () => undefined as void;
let document: any;
let operations: Operation[];
const ajv = new Ajv2020({ strict: false, validateSchema: false, allErrors: true });
addFormats.default(ajv);

beforeAll(async () => {
  client = openApiClient(system.gatewayUrl);
  closing = () => client.close();
  document = JSON.parse((await client.send({ method: "GET", path: "/api/v1/openapi.json" })).text);
  ajv.addSchema(document, "api");
  operations = Object.entries(document.paths).flatMap(([path, methods]: [string, any]) =>
    Object.entries(methods).map(([method, operation]: [string, any]) => ({
      parameters: [],
      ...operation,
      method: method.toUpperCase(),
      path,
      // Those that are said once for all of them are of no operation's own.
      ...(operation.parameters && { parameters: operation.parameters.filter(({ name }: any) => name !== undefined) }),
    })),
  );
});
afterAll(() => closing());

const JSON_TYPE = "application/json";

function bodyOf({ requestBody }: Operation): Media | undefined {
  return requestBody?.content[JSON_TYPE];
}

/** The example of the document, with some of it in another way. */
function requestOf(
  operation: Operation,
  odd: { path?: Record<string, string>; query?: string; headers?: Record<string, string>; body?: string } = {},
): ApiRequest {
  const { method, parameters } = operation;
  const path = operation.path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const example = parameters.find((each) => each.name === name)?.example;
    return odd.path?.[name] ?? encodeURIComponent(String(example));
  });
  const asked = parameters
    .filter((each) => each.in === "query" && each.required)
    .map(({ name, example }) => `${name}=${encodeURIComponent(String(example))}`);
  const query = odd.query ?? asked.join("&");
  const example = bodyOf(operation)?.example;
  const body = odd.body ?? (example === undefined ? undefined : JSON.stringify(example));
  const headers = {
    authorization: `Bearer ${system.adminToken}`,
    ...(body === undefined ? {} : { "content-type": JSON_TYPE }),
    ...odd.headers,
  };
  return { method, path: query === "" ? path : `${path}?${query}`, headers, body };
}

/** What is wrong with an answer; undefined where it is as the document says. */
function mistakeOf(operation: Operation, answer: ApiAnswer): string | undefined {
  const { status, type, text } = answer;
  if (status === 304) return undefined;
  if (status >= 400) return mistakeOfProblem(answer);
  const described = operation.responses[status];
  if (described === undefined) return `${status} is not in the document`;
  if (status === 204) return text === "" ? undefined : "204 with a body";
  if (described.content?.[type] === undefined) return `${status} is ${type}, which is not in the document`;
  if (type !== JSON_TYPE) return undefined;
  const at = ["paths", operation.path, operation.method.toLowerCase(), "responses", status, "content", type, "schema"];
  const pointer = at.map((each) => encodeURIComponent(String(each).replaceAll("~", "~0").replaceAll("/", "~1")));
  const isValid = ajv.validate({ $ref: `api#/${pointer.join("/")}` }, JSON.parse(text));
  return isValid ? undefined : `${status}: ${ajv.errorsText()}: ${text.slice(0, 300)}`;
}

function mistakeOfProblem({ status, type, text }: ApiAnswer): string | undefined {
  if (status === 500 || status === 502) return `${status}: ${text.slice(0, 300)}`;
  if (type !== "application/problem+json") return `${status} is ${type}: ${text.slice(0, 200)}`;
  const problem = JSON.parse(text) as Record<string, unknown>;
  if (!ERROR_CODES.includes(problem["code"] as never)) return `code ${String(problem["code"])}`;
  if (problem["status"] !== status) return `status ${String(problem["status"])} in a ${status}`;
  const { detail } = problem;
  return typeof detail === "string" && detail.length > 3 ? undefined : `says nothing: ${text}`;
}

interface Trial {
  readonly operation: Operation;
  readonly what: string;
  readonly asked: ApiRequest;
  /** Whether it has to be refused. */
  readonly isInvalid?: boolean;
}

/** What was answered otherwise than it should be. Nothing is without an answer. */
async function failuresOf(trials: readonly Trial[]): Promise<string[]> {
  const failures: string[] = [];
  const waiting = [...trials];
  const next = async () => {
    for (let trial = waiting.shift(); trial !== undefined; trial = waiting.shift()) {
      const { operation, what, asked, isInvalid = false } = trial;
      const answer = await client.send(asked).catch((error: unknown) => String(error));
      let mistake = typeof answer === "string" ? answer : mistakeOf(operation, answer);
      if (isInvalid && typeof answer === "object" && answer.status < 400) mistake ??= `is taken with ${answer.status}`;
      if (mistake !== undefined) failures.push(`${operation.method} ${operation.path} ${what}: ${mistake}`);
    }
  };
  await Promise.all(Array.from({ length: 6 }, next));
  return failures;
}

describe("the document", () => {
  test("names every operation once, says what it is, and what may be answered", () => {
    const described = new Set(document.tags.map(({ name }: any) => name));
    const names = operations.map(({ operationId }) => operationId);
    expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
    for (const { operationId, summary, tags, responses } of operations) {
      expect([operationId, summary, tags?.every((tag) => described.has(tag))]).toEqual([
        expect.stringMatching(/^[a-z][A-Za-z]+$/),
        expect.stringMatching(/^[A-Z]/),
        true,
      ]);
      for (const status of ["400", "401", "403", "429", "503"])
        expect([operationId, responses[status]?.$ref]).toEqual([operationId, `#/components/responses/${status}`]);
    }
    expect(document).toMatchObject({ openapi: "3.1.0", info: { title: expect.any(String) }, servers: [{ url: "/" }] });
  });

  test("has lists that are all alike: pages, words and an order where they are at hand as a whole", () => {
    const lists = operations.filter(
      ({ operationId, method, responses }) =>
        method === "GET" && bodyProperties(responses["200"])?.["items"] !== undefined && !REPORTS.includes(operationId),
    );
    expect(lists.length).toBeGreaterThan(10);
    for (const { operationId, parameters, responses } of lists) {
      const names = parameters.filter((each) => each.in === "query").map(({ name }) => name);
      const answered = Object.keys(bodyProperties(responses["200"])!);
      const wanted = SERVICE_PAGED.includes(operationId) ? ["limit", "cursor"] : ["limit", "cursor", "sort", "q"];
      expect([operationId, wanted.filter((name) => !names.includes(name)), answered.includes("nextCursor")]).toEqual([
        operationId,
        [],
        true,
      ]);
    }
  });

  test("has an example of every request and answer, which is what its schema says", () => {
    const missing: string[] = [];
    for (const operation of operations) {
      const { operationId, parameters, responses } = operation;
      for (const { name, required, example } of parameters)
        if (required && example === undefined) missing.push(`${operationId} parameter ${name}`);
      const answers = Object.entries(responses).flatMap(([status, { content = {} }]) =>
        Object.entries(content).map(([type, media]) => [`${status} ${type}`, media] as const),
      );
      for (const [what, media] of [["body", bodyOf(operation)] as const, ...answers]) {
        if (media === undefined) continue;
        if (media.example === undefined) missing.push(`${operationId} ${what}`);
        else if (!ajv.validate(media.schema, media.example))
          missing.push(`${operationId} ${what}: ${ajv.errorsText()}`);
      }
    }
    expect(missing).toEqual([]);
  });
});

/** Lists of which no more than a page is at hand, in the one order in which they are walked. */
const SERVICE_PAGED = ["listAuditEvents", "listApprovals", "listDeadLetters", "listSessions"];

/** Sums by whatever was asked for, the dearest first: no list of what there is. */
const REPORTS = ["getMeteringUsage", "getUsage"];

function bodyProperties(response: Operation["responses"][string] | undefined) {
  return response?.content?.[JSON_TYPE]?.schema.properties;
}

/** What is there first, then what needs it, then its end. */
const ORDER = ["PUT", "POST", "GET", "PATCH", "DELETE"];

test(
  "every example is answered as the document says",
  async () => {
    const failures: string[] = [];
    const statuses: Record<string, number> = {};
    for (const method of ORDER)
      for (const operation of operations.filter((each) => each.method === method)) {
        failures.push(...(await failuresOf([{ operation, what: "example", asked: requestOf(operation) }])));
        const again = method === "GET" ? await client.send(requestOf(operation)) : undefined;
        if (again !== undefined) statuses[operation.operationId] = again.status;
      }
    expect(failures).toEqual([]);
    // Where nothing has to be there already, it is done.
    const lists = operations.filter(({ path, method }) => method === "GET" && !path.includes("{"));
    for (const { operationId } of lists) expect([operationId, statuses[operationId]]).toEqual([operationId, 200]);
  },
  TIME_MAX_MS,
);

describe("what is not valid is refused, and nothing fails", () => {
  test(
    "bodies with something left out, of another type, out of bounds or odd",
    async () => {
      const trials = operations.flatMap((operation): Trial[] => {
        const media = bodyOf(operation);
        if (media === undefined) return [];
        const isValid = ajv.compile(media.schema);
        return oddValues(media.schema, media.example).map(({ what, value }) => ({
          operation,
          what,
          isInvalid: !isValid(value),
          asked: requestOf(operation, { body: JSON.stringify(value) }),
        }));
      });
      expect(trials.length).toBeGreaterThan(500);
      expect(await failuresOf(trials)).toEqual([]);
    },
    TIME_MAX_MS,
  );

  test(
    "bodies that are no JSON, or not said to be",
    async () => {
      const texts = [
        "",
        "{",
        "[1,",
        "nul",
        "null",
        "[]",
        '"x"',
        "1e400",
        "\u0000",
        '{"a":1}}',
        `${"[".repeat(20_000)}${"]".repeat(20_000)}`,
        '{"__proto__":1}',
        '{"a":"\\ud800"}',
      ];
      const types = [
        "text/plain",
        "application/xml",
        "multipart/form-data",
        "application/json; charset=utf-16",
        "x",
        "*/*",
      ];
      const trials = operations.filter(bodyOf).flatMap((operation): Trial[] => [
        ...texts.map((body) => ({
          operation,
          what: `body ${body.slice(0, 20)}`,
          asked: requestOf(operation, { body }),
        })),
        ...types.map((type) => ({
          operation,
          what: `type ${type}`,
          asked: requestOf(operation, { headers: { "content-type": type } }),
          isInvalid: !type.includes("json"),
        })),
      ]);
      expect(await failuresOf(trials)).toEqual([]);
    },
    TIME_MAX_MS,
  );

  test(
    "paths with odd ids, and queries with odd values",
    async () => {
      const raw = ["%00", "%ED%A0%80", "%zz", "..%2f..%2f", "x".repeat(5_000), "%E2%80%AE", "__proto__"];
      const trials = operations.flatMap((operation): Trial[] =>
        operation.parameters.flatMap(({ name, in: where, schema }) => {
          if (where === "path")
            return raw.map((text) => ({
              operation,
              what: `${name}=${text.slice(0, 40)}`,
              asked: requestOf(operation, { path: { [name]: text } }),
            }));
          if (where !== "query") return [];
          const bounded = oddValues(schema, undefined)
            .filter(({ value }) => typeof value === "number" || typeof value === "string")
            .map(({ value }) => encodeURIComponent(String(value).toWellFormed()));
          const queries = [...raw, ...bounded].map((text) => `${name}=${text.slice(0, 6_000)}`);
          return [...queries, name, `${name}=a&${name}=b`, `${name}[x]=1`].map((query) => ({
            operation,
            what: `?${query.slice(0, 60)}`,
            asked: requestOf(operation, { query }),
          }));
        }),
      );
      expect(await failuresOf(trials)).toEqual([]);
    },
    TIME_MAX_MS,
  );

  test(
    "odd headers",
    async () => {
      const values = ["", "*", '"a", "b"', "\u00ff\u00fe", "x".repeat(4_000)];
      const trials = operations.flatMap((operation): Trial[] => {
        const { method, parameters } = operation;
        const own = parameters.filter((each) => each.in === "header").map(({ name }) => name);
        const names = [...own, method === "GET" ? "last-event-id" : "idempotency-key", "accept"];
        return names.flatMap((name) =>
          values.map((value) => ({
            operation,
            what: `${name}: ${value.slice(0, 20)}`,
            asked: requestOf(operation, { headers: { [name]: value } }),
          })),
        );
      });
      expect(await failuresOf(trials)).toEqual([]);
    },
    TIME_MAX_MS,
  );

  test(
    "anything at all",
    async () => {
      const anything = fc.record(
        {
          operation: fc.nat().map((at) => operations[at % operations.length]!),
          segment: fc
            .webFragments({ size: "medium" })
            .map((text) => text.replaceAll("/", "%2F").replaceAll("?", "%3F")),
          query: fc.webQueryParameters({ size: "medium" }),
          body: fc.json({ maxDepth: 5, stringUnit: "binary" }),
        },
        { requiredKeys: ["operation"] },
      );
      const samples = fc.sample(anything, { seed: 20_261_121, numRuns: 1_500 });
      const trials = samples.map(({ operation, segment, query, body }): Trial => {
        const names = operation.parameters.filter((each) => each.in === "path").map(({ name }) => name);
        const path =
          segment === undefined || segment === "" ? {} : Object.fromEntries(names.map((name) => [name, segment]));
        const odd = {
          path,
          ...(query === undefined ? {} : { query }),
          ...(body === undefined || !bodyOf(operation) ? {} : { body }),
        };
        return { operation, what: JSON.stringify(odd).slice(0, 200), asked: requestOf(operation, odd) };
      });
      expect(await failuresOf(trials)).toEqual([]);
    },
    TIME_MAX_MS,
  );
});

describe("whoever asks", () => {
  test("has to be known, and allowed", async () => {
    for (const operation of operations) {
      const { authorization: _, ...headers } = requestOf(operation).headers!;
      const unknown = await client.send({ ...requestOf(operation), headers });
      expect([operation.operationId, unknown.status, mistakeOf(operation, unknown)]).toEqual([
        operation.operationId,
        401,
        undefined,
      ]);
      const asCaller = await client.send({
        ...requestOf(operation),
        headers: { ...headers, authorization: `Bearer ${system.token}` },
      });
      const isOwn = asCaller.status !== 403;
      expect([operation.operationId, isOwn, mistakeOf(operation, asCaller)]).toEqual([
        operation.operationId,
        OWN.includes(operation.operationId),
        undefined,
      ]);
    }
  });

  test("uses the methods that there are", async () => {
    const isTaken = (method: string, at: string) =>
      operations.some(
        ({ path, ...each }) => each.method === method && new RegExp(`^${path.replace(/\{\w+\}/g, "[^/]+")}$`).test(at),
      );
    for (const path of Object.keys(document.paths)) {
      const asked = requestOf(operations.find((each) => each.path === path)!);
      for (const method of ["PATCH", "OPTIONS", "PUT", "DELETE", "POST"].filter((each) => !isTaken(each, path))) {
        const answer = await client.send({ ...asked, method });
        expect([method, path, answer.status, mistakeOfProblem(answer)]).toEqual([method, path, 405, undefined]);
      }
    }
  });
});

/** Whoever is known may, and sees its own. */
const OWN = ["listTools", "batch", "getGraphql", "queryGraphql", "listApprovals", "getApproval", "createApproval"];
