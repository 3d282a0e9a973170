import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AppError } from "@tollgate/errors";
import { describe, expect, test } from "vitest";
import { documentsBeside } from "./documents.ts";
import { followDesiredState } from "./follow.ts";
import { loadDesiredState, type LoadOptions } from "./load.ts";
import type { DesiredServer } from "./state.ts";

const PETS = {
  openapi: "3.0.3",
  info: { title: "Pets", version: "1" },
  servers: [{ url: "https://pets.example/v1" }],
  paths: {
    "/pets": {
      get: { operationId: "listPets", tags: ["pets"], description: "costs ${MONEY}", responses: {} },
      post: { operationId: "addPet", tags: ["pets", "write"], responses: {} },
    },
    "/pets/{id}": {
      parameters: [{ name: "id", in: "path", required: true, schema: { type: "string" } }],
      delete: { operationId: "deletePet", responses: {} },
    },
    "/other": { get: { operationId: "other", servers: [{ url: "https://other.example" }], responses: {} } },
  },
};
const ENV = { TOKEN: "token-of-pets", TOLLGATE_SERVICE_KEY: "own" };

const FILES: Readonly<Record<string, string>> = {
  "pets.json": JSON.stringify(PETS),
  "broken.yaml": "paths:\n  a: [",
  "other.yaml": "just: values",
  "ca.pem": "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n",
};
const readDocument: NonNullable<LoadOptions["readDocument"]> = (name) =>
  FILES[name] === undefined ? { ok: false, reason: "that is not there" } : { ok: true, value: FILES[name] };

const load = (text: string, options: Partial<LoadOptions> = {}) =>
  loadDesiredState(text, { file: "/etc/tollgate.yaml", env: ENV, readDocument, ...options });
const file = (keys: string) =>
  `groups: [{ id: g, connectors: [{ id: pets, base_url: "https://pets.example/v1"${keys} }] }]`;
const connectorOf = (keys: string, options?: Partial<LoadOptions>): DesiredServer =>
  load(file(keys), options).servers[0]!;
const toolsOf = (keys: string) => connectorOf(keys).connector!.operations.map(({ name }) => name);

function mistakesOf(text: string, options: Partial<LoadOptions> = {}): string[] {
  try {
    load(text, options);
    return [];
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return error.message
      .split("\n")
      .slice(1)
      .map((line) => line.trim().replace("/etc/tollgate.yaml:", ""));
  }
}

test("is a server of its group, with all that it needs", () => {
  const keys =
    ', openapi: pets.json, auth: { type: bearer, token: "${TOKEN}" }, timeout: 5, rate_limit: { requests: 10, per_seconds: 2 }, ' +
    "retry: { attempts: 2 }, pagination: { style: auto, max_pages: 3 }, limits: { concurrency: 7 }, environment: production";
  expect(connectorOf(keys)).toMatchObject({
    id: "pets",
    name: "pets",
    group: "g",
    type: "connector",
    url: "",
    command: "",
    environment: "production",
    risk: "LOW",
    enabled: true,
    secrets: ["token-of-pets"],
    limits: { concurrency: 7 },
    toolPolicy: { changes: "accept" },
    written: { id: "pets", auth: { type: "bearer", token: "${TOKEN}" }, openapi: "pets.json" },
    connector: {
      baseUrl: "https://pets.example/v1",
      auth: { type: "bearer", token: "token-of-pets" },
      timeoutMs: 5_000,
      rateLimit: { requests: 10, perMs: 2_000, burst: 10, waitingMax: 100 },
      retry: { attempts: 2, backoffMs: 200, statuses: [429, 502, 503, 504] },
      pagination: { style: "auto", items: "", pagesMax: 3 },
      ca: "",
    },
  });
});

test("operations at another address than base_url are left out, and that is said", () => {
  const state = load(file(", openapi: pets.json"));
  expect(state.servers[0]!.connector!.operations.map(({ name }) => name)).toEqual(["listPets", "addPet", "deletePet"]);
  expect(state.warnings).toEqual([
    expect.stringMatching(/openapi pets\.json: other is left out: it is at another address than base_url/),
  ]);
});

test.each([
  ["include: [listPets]", ["listPets"]],
  ["include: ['*Pet']", ["addPet", "deletePet"]],
  ["include: ['tag:pets'], exclude: ['tag:write']", ["listPets"]],
  ["include: ['GET *', '* /pets/*']", ["listPets", "deletePet"]],
  ["exclude: ['POST /pets', 'delete*']", ["listPets"]],
])("%s", (keys, tools) => {
  expect(toolsOf(`, openapi: pets.json, ${keys}`)).toEqual(tools);
});

test("operations of the entry's own take the place of the document's", () => {
  const own = "operations: [{ name: listPets, method: GET, path: '/cats/{id}', parameters: [{ name: id, in: path }] }]";
  const { operations } = connectorOf(`, openapi: pets.json, include: [listPets], ${own}`).connector!;
  expect(operations).toEqual([
    {
      name: "listPets",
      description: "GET /cats/{id}",
      method: "GET",
      path: "/cats/{id}",
      parameters: [{ argument: "id", name: "id", in: "path" }],
      inputSchema: {
        type: "object",
        properties: { id: { type: "string" } },
        required: ["id"],
        additionalProperties: false,
      },
      annotations: { readOnlyHint: true, idempotentHint: true },
    },
  ]);
});

test("the risk of a tool is the rule's, else the higher of its operation's and the connector's", () => {
  const risksOf = (keys: string) =>
    Object.fromEntries(connectorOf(`, openapi: pets.json, ${keys}`).toolRules.map(({ tool, risk }) => [tool, risk]));
  expect(risksOf("risk: LOW")).toEqual({ addPet: "MEDIUM", deletePet: "HIGH" });
  expect(risksOf("risk: HIGH")).toEqual({});
  expect(risksOf("tools: { deletePet: { risk: LOW, concurrency: 1 }, addPet: { call_timeout: 3 } }")).toEqual({
    deletePet: "LOW",
    addPet: "MEDIUM",
  });
});

describe("what is stored", () => {
  test("holds no plain secret, and of a document in the entry a mark", () => {
    const document = JSON.stringify(PETS);
    const auth = "auth: { type: basic, user: u, password: plain }, headers: { X-Key: plain }";
    const { written } = connectorOf(`, openapi: ${document}, ${auth}`);
    expect(written).toMatchObject({
      auth: { user: "u", password: "(hidden)" },
      headers: { "X-Key": "(hidden)" },
      openapi: expect.stringMatching(/^\(a document, SHA-256 [0-9a-f]{64}\)$/),
    });
  });

  test("a ${ in a document is the document's own", () => {
    const { operations } = connectorOf(`, openapi: ${JSON.stringify(PETS)}`).connector!;
    expect(operations[0]!.description).toBe("costs ${MONEY}");
  });
});

describe("mistakes, each with its place", () => {
  const own = "operations: [{ name: a, method: GET, path: /a }]";
  test.each([
    ["", "groups[0].connectors[0].operations has no operation that could be a tool"],
    [
      ", openapi: pets.json, include: [nothing]",
      "groups[0].connectors[0].openapi has no operation that could be a tool",
    ],
    [", openapi: nowhere.json", "groups[0].connectors[0].openapi names a file that is not there"],
    [", openapi: broken.yaml", "groups[0].connectors[0].openapi broken.yaml: Flow sequence"],
    [", openapi: other.yaml", "groups[0].connectors[0].openapi other.yaml: this is no OpenAPI document"],
    [`, ${own}, ca_file: pets.json`, "groups[0].connectors[0].ca_file names a file that holds no certificate"],
    [`, ${own}, auth: { type: magic }`, "groups[0].connectors[0].auth.type has no type of none, bearer"],
    [`, ${own}, auth: { type: bearer }`, "groups[0].connectors[0].auth.token is missing"],
    [
      `, ${own}, auth: { type: bearer, token: x, tokn: x }`,
      'groups[0].connectors[0].auth.tokn is not a known key; is "token" meant?',
    ],
    [`, ${own}, auth: { type: bearer, token: "a\\nb" }`, "groups[0].connectors[0].auth.token holds a line break"],
    [
      `, ${own}, auth: { type: basic, user: a, password: b }, headers: { authorization: c }`,
      "groups[0].connectors[0].headers has the header that auth sets",
    ],
    [
      `, ${own}, headers: { Host: a }`,
      "groups[0].connectors[0].headers.Host is a header that the connection itself sets",
    ],
    [`, ${own}, pagination: { style: cursor, parameter: a }`, "groups[0].connectors[0].pagination.cursor is missing"],
    [
      `, ${own}, pagination: { style: link, parameter: a }`,
      "groups[0].connectors[0].pagination.parameter does not go with the style link",
    ],
    [
      `, ${own}, result: { pick: a }`,
      'groups[0].connectors[0].result.pick has to be a JSON pointer such as "/data/items"',
    ],
    [
      ", operations: [{ name: a, method: GET, path: '/a/{b}' }]",
      "groups[0].connectors[0].operations[0] has no parameter for {b} of its path",
    ],
    [
      ", operations: [{ name: a, method: GET, path: /a, body: {} }]",
      "groups[0].connectors[0].operations[0] has a body, which GET cannot have",
    ],
    [
      ", operations: [{ name: a, method: GET, path: /a, parameters: [{ name: Host, in: header }] }]",
      "groups[0].connectors[0].operations[0] has the parameter Host, a header",
    ],
    [
      ", operations: [{ name: a, method: GET, path: /a }, { name: a, method: GET, path: /b }]",
      "groups[0].connectors[0].operations has a name twice",
    ],
    [
      `, ${own}, tools: { a: { fallback: [{ server: nowhere }] } }`,
      "groups[0].connectors[0].tools.a.fallback[0].server is not the id of a server",
    ],
  ])("%s", (keys, mistake) => {
    expect(mistakesOf(file(keys))).toEqual([expect.stringMatching(/^1:\d+: /)]);
    expect(mistakesOf(file(keys))[0]).toContain(mistake);
  });

  test("a url with a query, or with a password", () => {
    const at = (url: string) =>
      mistakesOf(`groups: [{ id: g, connectors: [{ id: c, base_url: "${url}", ${own} }] }]`)[0];
    expect(at("https://a.example?key=secret-value")).toMatch(/base_url must not hold a query/);
    expect(at("https://u:secret-value@a.example")).toMatch(/base_url must not hold a user or a password/);
    expect(at("ftp://a.example")).toMatch(/base_url has to be a URL that begins with http/);
    expect(at("https://u:secret-value@a.example")).not.toContain("secret-value");
  });

  test("connectors and servers share their ids", () => {
    const server = "mcp_servers: [{ id: pets, group: g, type: command, command: a }]";
    expect(mistakesOf(`${file(`, ${own}`)}\n${server}`)).toEqual([
      expect.stringContaining("groups[0].connectors[0].id is the id of another server already"),
    ]);
  });

  test("a file in an entry of the API, which has none beside it", () => {
    const connectors = [{ id: "c", base_url: "https://a.example", openapi: "pets.json" }];
    const overlay = [{ kind: "group", id: "g", value: { id: "g", connectors } }] as const;
    expect(mistakesOf("groups: []", { overlay })).toEqual([
      'group "g": connectors[0].openapi names a file and only tollgate.yaml has files beside it: put the content itself here',
    ]);
  });
});

test("credentials that travel unencrypted, tools and parameters that are not there: warnings", () => {
  const keys = `auth: { type: bearer, token: a }, tools: { b: {} }, pagination: { style: page, parameter: p }, operations: [{ name: a, method: GET, path: /a }]`;
  const { warnings } = load(`groups: [{ id: g, connectors: [{ id: c, base_url: "http://a.example", ${keys} }] }]`);
  expect(warnings).toEqual([
    expect.stringContaining("base_url is not encrypted"),
    expect.stringContaining("tools.b is not one of the connector's tools"),
    expect.stringContaining("pagination.parameter is a query parameter of no operation"),
  ]);
});

test("other readers of the file check the form, and read no document", () => {
  const text = file(", openapi: nowhere.json");
  expect(load(text, { sections: ["policies"] }).servers).toEqual([]);
  expect(mistakesOf(file(", openapi: nowhere.json, timeout: no"), { sections: ["policies"] })).toEqual([
    expect.stringContaining("groups[0].connectors[0].timeout has to be number"),
  ]);
});

test("a changed document is a change of the file", async () => {
  const dir = mkdtempSync(join(tmpdir(), "tollgate-connectors-"));
  const stopping = new AbortController();
  const seen: string[][] = [];
  const changed = Promise.withResolvers<void>();
  try {
    writeFileSync(join(dir, "tollgate.yaml"), file(", openapi: pets.json"));
    writeFileSync(join(dir, "pets.json"), JSON.stringify(PETS));
    await followDesiredState({
      file: join(dir, "tollgate.yaml"),
      env: {},
      signal: stopping.signal,
      onProblem: changed.reject,
      apply({ servers }) {
        seen.push(servers[0]!.connector!.operations.map(({ name }) => name));
        if (seen.length > 1) changed.resolve();
        return Promise.resolve();
      },
    });
    writeFileSync(join(dir, "pets.json"), JSON.stringify({ ...PETS, paths: { "/cats": { get: { responses: {} } } } }));
    await changed.promise;
    expect(seen).toEqual([["listPets", "addPet", "deletePet"], ["get_cats"]]);
  } finally {
    stopping.abort();
    rmSync(dir, { recursive: true });
  }
});

test("a document that is too large is not read", () => {
  const dir = mkdtempSync(join(tmpdir(), "tollgate-connectors-"));
  try {
    writeFileSync(join(dir, "large.json"), " ".repeat(4 * 1024 * 1024 + 1));
    expect(documentsBeside(join(dir, "tollgate.yaml"))("large.json")).toEqual({
      ok: false,
      reason: "that is larger than 4194304 bytes",
    });
  } finally {
    rmSync(dir, { recursive: true });
  }
});
