import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Connector } from "@tollgate/connectors";
import { eventually, PETS_CLIENT, startPetsApi } from "@tollgate/testkit";
import { describe, expect, test } from "vitest";
import type { Answer } from "../src/upstream/wire.ts";
import { CALL, operation, send, textOf, useConnectors } from "./connector-fixture.ts";

// A connector's tools against an API that is really there.

const { api, open, one, paths } = await useConnectors();

test("says who it is and which tools it has, and knows nothing else", async () => {
  const { wire } = one("/pets", { title: "Pets", outputSchema: { type: "object" } });
  const discovered = await wire.request("server/discover", {}, 1_000);
  expect(discovered.result).toMatchObject({ supportedVersions: ["2026-07-28"], capabilities: { tools: {} } });
  const { result } = await wire.request("tools/list", {}, 1_000);
  expect(result).toEqual({
    tools: [
      {
        name: "call",
        title: "Pets",
        description: "",
        inputSchema: { type: "object" },
        annotations: { title: "Pets", readOnlyHint: true, openWorldHint: true },
      },
    ],
    resultType: "complete",
    ttlMs: 0,
    cacheScope: "private",
  });
  expect((await wire.request("prompts/list", {}, 1_000)).error?.code).toBe(-32_601);
  expect((await one("/pets").call({}, { tool: "other" })).error.message).toBe("there is no tool other");
});

test("sends arguments where the operation wants them, and answers with what the API says", async () => {
  const opened = open({
    baseUrl: `${api.url}/echo/v1`,
    headers: { "X-Client": "tollgate", Accept: "application/vnd.pets+json" },
    operations: [
      operation({
        path: "/pets/{id}",
        method: "PUT",
        parameters: [
          { argument: "id", in: "path", name: "id" },
          { argument: "tags", in: "query", name: "tag" },
          { argument: "trace", in: "header", name: "X-Trace" },
          { argument: "cookie", in: "cookie", name: "theme" },
        ],
        body: { contentType: "application/json", required: true },
      }),
    ],
  });
  const args = { id: "../a b", tags: ["x&y", "z"], trace: "t", cookie: "dark;", name: "Rex", weight: 1 };
  const result = await opened.call(args);
  expect(result.structuredContent).toMatchObject({
    method: "PUT",
    path: "/echo/v1/pets/..%2Fa%20b?tag=x%26y&tag=z",
    headers: {
      "x-trace": "t",
      "x-client": "tollgate",
      cookie: "theme=dark%3B",
      "content-type": "application/json",
      accept: "application/vnd.pets+json",
      "user-agent": "tollgate/0.1",
    },
    body: '{"name":"Rex","weight":1}',
  });
  expect(result).toMatchObject({ resultType: "complete" });
  expect(JSON.parse(textOf(result))).toEqual(result.structuredContent);
});

test("numbers keep their digits, both ways", async () => {
  const { wire } = one("/echo", { method: "POST", body: { contentType: "application/json", required: true } });
  const text =
    '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"call","arguments":{"id":98765432109876543210,"p":1.0}}}';
  await new Promise<void>((resolve) => {
    wire.send({ id: 7, text, method: "tools/call", params: undefined, call: CALL }, () => resolve());
  });
  expect(api.requests[0]!.body).toBe('{"id":98765432109876543210,"p":1.0}');
  const exact = one("/exact");
  const answer = await send(exact.wire, { name: "call", arguments: {} }, CALL);
  expect((answer as Answer & { kind: "response" }).frame.text).toContain(
    '"structuredContent":{ "id": 12345678901234567890, "price": 1.0 }',
  );
});

describe("what an API answers", () => {
  test.each([
    ["/text", [{ type: "text", text: "café" }]],
    ["/image", [{ type: "image", mimeType: "image/png", data: "iVBORw0KGgo=" }]],
    [
      "/binary",
      [
        {
          type: "resource",
          resource: { uri: "tollgate-answer:call", mimeType: "application/zip", blob: "iVBORw0KGgo=" },
        },
      ],
    ],
    ["/list", [{ type: "text", text: "[1,2]" }]],
  ])("%s", async (path, content) => {
    expect(await one(path).call()).toEqual({ resultType: "complete", content });
  });

  test("nothing", async () => {
    const result = await one("/pets/1", { method: "DELETE" }).call();
    expect(result).toEqual({ resultType: "complete", content: [{ type: "text", text: "HTTP 204, without content" }] });
  });

  test("a part of it", async () => {
    const result = await one("/pets", {}, { result: { pick: "/items/0", schema: false } }).call();
    expect(result.structuredContent).toEqual({ id: 1, name: "pet 1" });
  });

  test("an error, which is the tool's", async () => {
    const result = await one("/nowhere").call();
    expect(result.isError).toBe(true);
    expect(textOf(result)).toBe('HTTP 404 Not Found\n{"message":"there is nothing at /nowhere"}');
  });

  test("too much", async () => {
    const result = await one("/huge").call();
    expect(result.isError).toBe(true);
    expect(textOf(result)).toMatch(/^the answer is larger than 100000 bytes \(limits\.output_mb\)/);
    const parameters = [{ argument: "bytes", in: "query", name: "bytes" }] as const;
    const nearly = await one("/huge", { parameters }).call({ bytes: 60_000 });
    expect(textOf(nearly)).toMatch(/^the result has 1\d{5} bytes, and may have 100000/);
  });

  test("what a tool has promised, or an error", async () => {
    const promise = { outputSchema: { type: "object" }, path: "/list" };
    const result = await open({ operations: [operation(promise)], result: { pick: "", schema: true } }).call();
    expect(result.isError).toBe(true);
  });

  test.each([
    ["/broken", {}, "closed the connection"],
    ["/half", {}, /broke the connection|closed the connection/],
    ["/slow", { timeoutMs: 50 }, "did not answer within 50 ms"],
    ["/zipped", {}, "compressed its answer"],
    ["/pets", { baseUrl: "http://127.0.0.1:1" }, "could not be reached"],
  ])("%s: the call is lost", async (path, rest: Partial<Connector>, reason) => {
    await expect(one(path, {}, rest).call()).rejects.toThrow(reason);
  });
});

describe("who asks", () => {
  test.each([
    [{ type: "bearer", token: "secret-token" }, { authorization: "Bearer secret-token" }, "/echo"],
    [{ type: "basic", user: "u", password: "p:ä" }, { authorization: "Basic dTpwOsOk" }, "/echo"],
    [{ type: "api_key", in: "header", name: "X-Key", value: "k" }, { "x-key": "k" }, "/echo"],
    [{ type: "api_key", in: "cookie", name: "key", value: "a b" }, { cookie: "key=a%20b" }, "/echo"],
    [{ type: "api_key", in: "query", name: "key", value: "a&b" }, {}, "/echo?key=a%26b"],
  ] as const)("%j", async (auth, headers, path) => {
    await one("/echo", {}, { auth }).call();
    expect(api.requests[0]).toMatchObject({ headers, path });
  });

  test("a key in the query cannot be given by an argument", async () => {
    const parameters = [{ argument: "filter", in: "query", name: "filter" }] as const;
    const auth = { type: "api_key", in: "query", name: "key", value: "own" } as const;
    const result = await one("/echo", { parameters }, { auth }).call({ filter: { key: "other" } });
    expect(textOf(result)).toMatch(/^the argument filter has a key that is another parameter's name/);
    expect(api.requests).toEqual([]);
  });

  const oauth = (fields: object = {}) =>
    ({
      type: "oauth_client_credentials",
      tokenUrl: `${api.url}/token`,
      clientId: PETS_CLIENT.id,
      clientSecret: PETS_CLIENT.secret,
      scopes: ["pets:read", "pets:write"],
      audience: "",
      clientAuth: "basic",
      ...fields,
    }) as const;

  test("a token is got once, for all calls", async () => {
    const { call } = one("/private", {}, { auth: oauth() });
    const results = await Promise.all([call(), call(), call()]);
    for (const { structuredContent } of results) expect(structuredContent).toEqual({ private: true });
    expect(paths().filter((path) => path === "/token")).toEqual(["/token"]);
    expect(new URLSearchParams(api.requests[0]!.body).get("scope")).toBe("pets:read pets:write");
  });

  test("a token that is not good any more is replaced, also for a POST, which was refused", async () => {
    const auth = oauth({ clientAuth: "body" });
    const { call } = one("/private", { method: "POST", annotations: {} }, { auth });
    await call();
    api.tokens.push("somebody-elses");
    expect((await call()).structuredContent).toEqual({ private: true });
    expect(paths()).toEqual(["/token", "/private", "/private", "/token", "/private"]);
  });

  test("without a token nothing is sent, and the url of tokens has some peace", async () => {
    const { call } = one("/private", {}, { auth: oauth({ clientSecret: "wrong-secret" }) });
    await expect(call()).rejects.toThrow("gives no access: its token_url answered HTTP 401 (invalid_client)");
    await expect(call()).rejects.toThrow("gives no access");
    expect(paths()).toEqual(["/token"]);
  });

  test.each([
    ["/broken", /^gives no access: its token_url closed the connection/],
    ["/huge", "gives no access: its token_url failed: the answer is larger than 65536 bytes"],
  ])("whatever becomes of the request for a token (%s), nothing was sent", async (path, message) => {
    const { call } = one("/private", { method: "POST" }, { auth: oauth({ tokenUrl: `${api.url}${path}` }) });
    await expect(call()).rejects.toMatchObject({ message: expect.stringMatching(message), notDelivered: true });
    expect(paths()).toEqual([path]);
  });

  test("what an API says back of it is hidden", async () => {
    const result = await one("/private", {}, { auth: { type: "bearer", token: "secret-token" } }).call();
    expect(textOf(result)).toContain("Bearer [secret] is not known here");
  });
});

describe("an API in trouble", () => {
  test("is asked again where that does no harm", async () => {
    api.failures = 2;
    expect((await one("/flaky").call()).structuredContent).toEqual({ well: true });
    expect(api.requests.length).toBe(3);
  });

  test("is not asked again for what might be done twice, nor more often than said", async () => {
    api.failures = 9;
    expect(textOf(await one("/flaky", { method: "POST" }).call())).toMatch(/^HTTP 503 /);
    expect(api.requests.length).toBe(1);
    expect(textOf(await one("/flaky").call())).toMatch(/^HTTP 503 /);
    expect(api.requests.length).toBe(4);
  });

  test("is asked again under the same key, where it takes one", async () => {
    api.failures = 1;
    const parameters = [{ argument: "key", in: "header", name: "Idempotency-Key" }] as const;
    const { call } = one("/flaky", { method: "POST", parameters });
    await call({}, { id: "call-1" });
    await call({}, { id: "call-2" });
    expect(api.requests.map(({ headers }) => headers["idempotency-key"])).toEqual(["call-1", "call-1", "call-2"]);
  });

  test("is not handed a call again that it has had, though it cannot be reached now", async () => {
    const parameters = [{ argument: "key", in: "header", name: "Idempotency-Key" }] as const;
    const leaving = createServer((_request, response) => {
      leaving.close();
      response.writeHead(503, { connection: "close" }).end();
    });
    await new Promise<void>((resolve) => leaving.listen(0, "127.0.0.1", resolve));
    const baseUrl = `http://127.0.0.1:${(leaving.address() as AddressInfo).port}`;
    const { call } = one("/", { method: "POST", parameters }, { baseUrl });
    const message = expect.stringMatching(/^could not be reached/);
    await expect(call()).rejects.toMatchObject({ message, notDelivered: false });
    await expect(call()).rejects.toMatchObject({ message, notDelivered: true });
  });

  test("is asked no faster than it wants; too many that wait are refused, with when to come back", async () => {
    const rateLimit = { requests: 1, perMs: 60_000, burst: 2, waitingMax: 0 };
    const { call } = one("/pets", {}, { rateLimit });
    const answers = await Promise.all([call(), call(), call()]);
    const refused = answers.filter(({ error }) => error !== undefined);
    expect(refused).toEqual([
      { error: expect.objectContaining({ code: -32_005, message: expect.stringMatching(/^too many calls: the API/) }) },
    ]);
    expect(refused[0].error.data.retryAfterSeconds).toBe(60);
    expect(api.requests.length).toBe(2);
  });

  test("one tenant's calls do not refuse another's", async () => {
    const rateLimit = { requests: 20, perMs: 1_000, burst: 1, waitingMax: 8 };
    const { call } = one("/pets/1", {}, { rateLimit });
    const flood = Promise.all(Array.from({ length: 20 }, () => call({}, { tenant: "flood" })));
    expect((await call({}, { tenant: "other" })).structuredContent.id).toBe(1);
    expect((await flood).some(({ error }) => error !== undefined)).toBe(true);
  });

  test("waits for its turn", async () => {
    const rateLimit = { requests: 100, perMs: 1_000, burst: 1, waitingMax: 10 };
    const { call } = one("/pets", {}, { rateLimit });
    const began = performance.now();
    await Promise.all([call(), call(), call()]);
    expect(performance.now() - began).toBeGreaterThan(15);
  });
});

test("a call that is cancelled is taken back", async () => {
  const { wire } = one("/slow", {}, { timeoutMs: 600_000 });
  const id = wire.newId();
  const text = JSON.stringify({ jsonrpc: "2.0", id, method: "tools/call", params: { name: "call", arguments: {} } });
  wire.send({ id, text, method: "tools/call", params: undefined, call: CALL }, () => expect.unreachable());
  await eventually(() => expect(paths()).toEqual(["/slow"]));
  wire.drop(id);
  await eventually(() => expect(api.abandoned).toContain("/slow"));
});

describe("redirects", () => {
  const parameters = [{ argument: "to", in: "query", name: "to" }] as const;

  test("within the API are followed", async () => {
    expect((await one("/redirect", { parameters }).call({ to: "/pets/2" })).structuredContent.id).toBe(2);
  });

  test("elsewhere are not: the credentials are not for there", async () => {
    const other = await startPetsApi();
    try {
      const opened = one("/redirect", { parameters }, { auth: { type: "bearer", token: "secret-token" } });
      expect(textOf(await opened.call({ to: `${other.url}/pets/1` }))).toMatch(/^HTTP 302 /);
      expect(other.requests).toEqual([]);
    } finally {
      await other.close();
    }
  });

  test("in a circle end", async () => {
    expect(textOf(await one("/redirect", { parameters }).call({ to: "/redirect?to=/redirect" }))).toMatch(
      /^\{|^HTTP 302/,
    );
    expect(api.requests.length).toBeLessThanOrEqual(4);
  });
});
