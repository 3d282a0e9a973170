import { createSealers } from "@tollgate/mcp";
import { eventually } from "@tollgate/testkit";
import { describe, expect, test } from "vitest";
import { useInstallation } from "./installation.ts";
import { cutStreamsAfterEach, postModern, streamModern } from "./mcp-connections.ts";

const SUBSCRIPTION_ID = "io.modelcontextprotocol/subscriptionId";
const ACKNOWLEDGED = "notifications/subscriptions/acknowledged";
const SINGLE = "/mcp/demo/one";

const installation = useInstallation({ replicas: 1 });
cutStreamsAfterEach();

const post = (
  method: string,
  params: Record<string, unknown> = {},
  more: Parameters<typeof postModern>[3] & { path?: string } = {},
) => postModern(installation.url(more.path), method, params, more);
const received = () => JSON.parse(installation.runner.calls[0]!.frame) as { method: string; params: any };

describe("server/discover", () => {
  test("at a server's route shows that server, without what its era has no word for", async () => {
    const { last } = await post("server/discover", {}, { path: SINGLE });
    expect(last.result).toEqual({
      supportedVersions: ["2026-07-28"],
      capabilities: {
        tools: { listChanged: true },
        prompts: { listChanged: true },
        resources: { subscribe: true, listChanged: true },
        completions: {},
        logging: {},
        experimental: { own: { kept: true } },
      },
      instructions: "Greet before you echo.",
      resultType: "complete",
      ttlMs: 0,
      cacheScope: "private",
      _meta: { "io.modelcontextprotocol/serverInfo": { name: "one's own", version: "7" } },
    });
  });

  test("at a route of several shows the gateway", async () => {
    const { last } = await post("server/discover");
    expect(last.result._meta["io.modelcontextprotocol/serverInfo"]).toMatchObject({ name: "tollgate" });
  });
});

describe("lists and requests", () => {
  test.each([
    ["prompts/list", "prompts", 3],
    ["resources/list", "resources", 4],
    ["resources/templates/list", "resourceTemplates", 1],
    ["tools/list", "tools", 5],
  ])("%s has all, and what its revision asks of a result", async (method, member, length) => {
    const { last } = await post(method);
    expect(last.result).toMatchObject({ resultType: "complete", ttlMs: 0, cacheScope: "private" });
    expect(last.result[member]).toHaveLength(length);
  });

  test.each(["prompts/list", "initialize", "ping", "logging/setLevel", "resources/subscribe", "nothing"])(
    "%s is not found where it is not offered: 404",
    async (method) => {
      const { status, last } = await post(method, { uri: "file:///a", taskId: "t" }, { path: "/mcp/plain" });
      expect([status, last.error.code]).toEqual([404, -32601]);
    },
  );

  test.each([
    ["prompts/get", { name: "one__greet" }, { name: "greet" }],
    ["resources/read", { uri: "mcp+one+file:///a" }, { uri: "file:///a" }],
    ["resources/read", { uri: "mcp+one+file:///ä" }, { uri: "file:///ä" }],
    [
      "completion/complete",
      { ref: { type: "ref/prompt", name: "one__greet" }, argument: { name: "a", value: "" } },
      { ref: { type: "ref/prompt", name: "greet" }, argument: { name: "a", value: "" } },
    ],
  ])("%s %j reach the server with its own names", async (method, params, own) => {
    const name = params["uri" as never] as string | undefined;
    const headers = name?.includes("ä") ? { "mcp-name": `=?base64?${Buffer.from(name).toString("base64")}?=` } : {};
    expect(await post(method, params, { headers })).toMatchObject({ status: 200, last: { result: {} } });
    expect(received()).toMatchObject({ method, params: own });
    expect(installation.runner.calls[0]!.envelope.facts).toMatchObject({
      method,
      server: "one",
      protocol: "2026-07-28",
    });
  });

  test.each([
    ["prompts/get", { name: "one__greet" }, { "mcp-name": "one__hidden" }],
    ["prompts/get", { name: "one__greet" }, { "mcp-name": "" }],
    ["resources/read", { uri: "mcp+one+file:///a" }, { "mcp-name": "file:///a" }],
    ["resources/read", { uri: "mcp+one+file:///a" }, { "mcp-method": "resources/list" }],
    ["tools/call", { name: "one__echo" }, { "mcp-protocol-version": "2025-11-25" }],
    ["tools/call", { name: "one__placed", arguments: { region: "eu" } }, {}],
    ["tools/call", { name: "one__placed", arguments: { region: "eu" } }, { "mcp-param-region": "us" }],
    ["tools/call", { name: "one__placed", arguments: {} }, { "mcp-param-region": "us" }],
  ])("%s %j with headers %j that say something else: 400", async (method, params, headers) => {
    const { status, last } = await post(method, params, { headers });
    expect([status, last.error.code]).toEqual([400, -32020]);
    expect(installation.runner.calls).toEqual([]);
  });

  test("arguments that are mirrored in headers pass when they are the same there, encoded or not", async () => {
    for (const [region, header] of [
      ["eu", "eu"],
      ["süd", `=?base64?${Buffer.from("süd").toString("base64")}?=`],
    ]) {
      const params = { name: "one__placed", arguments: { region } };
      expect((await post("tools/call", params, { headers: { "mcp-param-region": header! } })).status).toBe(200);
    }
    expect((await post("tools/call", { name: "one__placed" })).status).toBe(200);
  });

  test.each([
    [-32601, 404],
    [-32021, 400],
    [-32020, 400],
    [-32022, 400],
    [-32602, 200],
    [-1, 200],
  ])("a server's error %i is HTTP %i", async (code, status) => {
    const { runner } = installation;
    runner.onCall = (call) => runner.fail(call, { code, message: "as the server says" });
    const answer = await post("tools/call", { name: "one__echo" });
    expect([answer.status, answer.last.error]).toEqual([status, { code, message: "as the server says" }]);
  });
});

describe("subscriptions/listen", () => {
  const listen = (notifications: unknown, id: string | number = 1) =>
    streamModern(installation.url(), "subscriptions/listen", { notifications }, { id });

  test.each([
    [{ toolsListChanged: true, unknown: true }, { toolsListChanged: true }],
    [
      { promptsListChanged: true, resourcesListChanged: true, toolsListChanged: false },
      { promptsListChanged: true, resourcesListChanged: true },
    ],
    [{ resourceSubscriptions: ["mcp+one+file:///a"] }, { resourceSubscriptions: ["mcp+one+file:///a"] }],
    [{}, {}],
  ])("of %j is acknowledged first, with what was agreed", async (notifications, agreed) => {
    const reader = await listen(notifications, "of-client");
    await eventually(() => expect(reader.messages).toHaveLength(1));
    expect(reader.headers.get("content-type")).toBe("text/event-stream");
    expect(reader.messages[0]).toEqual({
      jsonrpc: "2.0",
      method: ACKNOWLEDGED,
      params: { notifications: agreed, _meta: { [SUBSCRIPTION_ID]: "of-client" } },
    });
  });

  test.each([
    undefined,
    null,
    7,
    { resourceSubscriptions: "x" },
    { resourceSubscriptions: [7] },
    { resourceSubscriptions: Array(1_001).fill("x") },
  ])("of %.60j is refused", async (notifications) => {
    const { last } = await post("subscriptions/listen", { notifications });
    expect(last.error.code).toBe(-32602);
  });

  test("ends when its client closes it: nothing of it stays", async () => {
    const { runner } = installation;
    const uri = "mcp+one+file:///a";
    const [first, second] = [
      await listen({ resourceSubscriptions: [uri] }),
      await listen({ resourceSubscriptions: [uri] }),
    ];
    const update = () => runner.update({ tenant: "acme", server: "one", uri: "file:///a" });
    await eventually(() => {
      update();
      for (const reader of [first, second]) expect(reader.messages.length).toBeGreaterThan(1);
    });
    first.cut();
    const heard = second.messages.length;
    await eventually(() => {
      update();
      expect(second.messages.length).toBeGreaterThan(heard);
    });
    expect(second.ended).toBe(false);
    expect((await post("tools/call", { name: "one__echo" })).status).toBe(200);
  });

  test("ends with its final answer when the gateway stops", async () => {
    const { replica, close } = await installation.startReplica();
    const reader = await streamModern(
      installation.url("/mcp", replica),
      "subscriptions/listen",
      { notifications: { toolsListChanged: true } },
      { id: 7 },
    );
    await eventually(() => expect(reader.messages).toHaveLength(1));
    const stoppedAt = Date.now();
    await close();
    await eventually(() => expect(reader.ended).toBe(true));
    expect(Date.now() - stoppedAt).toBeLessThan(3_000);
    expect(reader.messages.at(-1)).toEqual({
      jsonrpc: "2.0",
      id: 7,
      result: { resultType: "complete", _meta: { [SUBSCRIPTION_ID]: 7 } },
    });
  });
});

describe("requestState", () => {
  const LATER = Date.now() + 600_000;
  const state = (changes: object = {}) =>
    createSealers(installation.serviceKey).state.seal({
      tenant: "acme",
      principal: "dev",
      server: "one",
      method: "tools/call",
      name: "echo",
      expiresAt: LATER,
      state: 'the server\'s "own"',
      ...changes,
    });
  const retry = (requestState: unknown, more: { name?: string; token?: string; method?: string } = {}) =>
    post(
      more.method ?? "tools/call",
      { name: more.name ?? "one__echo", requestState, inputResponses: { a: { action: "accept" } } },
      more.token === undefined ? {} : { token: more.token },
    );

  test("reaches the server as it gave it, with the client's answers", async () => {
    expect((await retry(state())).status).toBe(200);
    expect(received().params).toMatchObject({
      name: "echo",
      requestState: 'the server\'s "own"',
      inputResponses: { a: { action: "accept" } },
    });
    expect(installation.runner.calls[0]!.envelope).not.toHaveProperty("parked");
  });

  test("of a call that waits in a runner goes to that runner, and says which call", async () => {
    const { runner } = installation;
    expect((await retry(state({ runner: runner.name, parked: "call-1" }))).status).toBe(200);
    expect(runner.bound).toHaveLength(1);
    expect(runner.bound[0]!.envelope.parked).toBe("call-1");
  });

  test.each<[string, () => unknown, Parameters<typeof retry>[1]]>([
    ["of another principal", () => state({ principal: "colleague" }), {}],
    ["brought by another principal", () => state(), { token: "colleague-token" }],
    ["of another tenant", () => state({ tenant: "rival" }), {}],
    ["of another server", () => state({ server: "two" }), {}],
    ["of another name", () => state(), { name: "one__safe" }],
    ["of another method", () => state({ name: "greet" }), { method: "prompts/get", name: "one__greet" }],
    ["that has expired", () => state({ expiresAt: Date.now() - 1 }), {}],
    ["that was tampered with", () => state().replace("tg1.e", "tg1.f"), {}],
    ["sealed for something else", () => createSealers(installation.serviceKey).task.seal({} as never), {}],
    ["sealed with another key", () => createSealers("another").state.seal({} as never), {}],
    ["that is the server's, in plain text", () => "the server's own", {}],
    ["that is empty", () => "", {}],
    ["that is no text", () => ({ state: 1 }), {}],
    ["that is null", () => null, {}],
  ])("%s is refused, and reaches nobody", async (_what, make, more) => {
    const { status, last } = await retry(make(), more);
    expect([status, last.error.code]).toEqual([200, -32602]);
    expect(last.error.message).toContain("requestState");
    expect(installation.runner.calls).toEqual([]);
  });
});
