import { eventually } from "@tollgate/testkit";
import { describe, expect, test } from "vitest";
import { useInstallation } from "./installation.ts";
import { beginSession, type ClientSession } from "./mcp-connections.ts";

const installation = useInstallation();
const ONE = "/mcp/demo/one";
const PLAIN = "/mcp/plain";

const begin = (path?: string, more: Parameters<typeof beginSession>[1] = {}) =>
  beginSession(installation, { ...more, ...(path === undefined ? {} : { path }) });
const received = (at = 0) => {
  const { envelope, frame } = installation.runner.calls[at]!;
  return { envelope, ...(JSON.parse(frame) as { method: string; params: any }) };
};

async function listed(session: ClientSession, method: string, member: string, key: string): Promise<unknown[]> {
  const { last } = await session.request(method);
  return (last.result[member] as Record<string, unknown>[]).map((each) => each[key]);
}

describe("initialize", () => {
  test("at a server's route shows that server", async () => {
    const { result } = (await begin(ONE)).opened.last;
    expect(result).toEqual({
      protocolVersion: "2025-11-25",
      serverInfo: { name: "one's own", version: "7" },
      instructions: "Greet before you echo.",
      capabilities: {
        tools: { listChanged: true },
        prompts: { listChanged: true },
        resources: { subscribe: true, listChanged: true },
        completions: {},
        logging: {},
        tasks: { cancel: {} },
        experimental: { own: { kept: true } },
      },
    });
  });

  test("at a route of several shows the gateway, with what any of them can and what each has to say", async () => {
    const { result } = (await begin()).opened.last;
    expect(result.serverInfo).toMatchObject({ name: "tollgate" });
    expect(result.instructions).toBe("# one\nGreet before you echo.\n\n# two\nTwo is second.");
    expect(result.capabilities).toMatchObject({ resources: { subscribe: true }, prompts: {}, completions: {} });
  });

  test("at a route that has tools only says so", async () => {
    const { result } = (await begin(PLAIN)).opened.last;
    expect(result.capabilities).toEqual({ tools: { listChanged: true } });
    expect(result).not.toHaveProperty("instructions");
  });

  test.each([
    ["2024-11-05", "2024-11-05"],
    ["2025-03-26", "2025-03-26"],
    ["2025-06-18", "2025-06-18"],
    ["1999-01-01", "2025-11-25"],
  ])("that asks for %s is answered with %s", async (protocol, answered) => {
    expect((await begin(ONE, { protocol })).opened.last.result.protocolVersion).toBe(answered);
  });
});

describe("lists", () => {
  test("say at a server's route what the server says, byte for byte", async () => {
    const session = await begin(ONE);
    expect(await listed(session, "prompts/list", "prompts", "name")).toEqual(["greet", "hidden"]);
    const { text } = await session.request("resources/list");
    expect(text).toContain('{"uri":"file:///a","name":"the resource file:///a","extra":{"kept":1.5}}');
    expect(await listed(session, "resources/templates/list", "resourceTemplates", "uriTemplate")).toEqual([
      "file:///{path}",
    ]);
  });

  test("say at a route of several whose each is", async () => {
    const session = await begin("/mcp/demo");
    expect(await listed(session, "prompts/list", "prompts", "name")).toEqual([
      "one__greet",
      "one__hidden",
      "two__greet",
    ]);
    expect(await listed(session, "resources/list", "resources", "uri")).toEqual([
      "mcp+one+file:///a",
      "ui://mcp+one+app/view",
      "mcp+one+file:///secret",
      "mcp+two+file:///a",
    ]);
    expect(await listed(session, "resources/templates/list", "resourceTemplates", "uriTemplate")).toEqual([
      "mcp+one+file:///{path}",
    ]);
  });

  test("hold what policy lets the caller see", async () => {
    const { policy } = installation.around;
    const asked = new Set<string>();
    policy.allow = ({ action }, { tool }) => {
      asked.add(action);
      return tool !== "hidden" && tool !== "file:///secret" && tool !== "safe";
    };
    policy.change();
    const session = await begin(ONE);
    await eventually(async () =>
      expect(await listed(session, "tools/list", "tools", "name")).toEqual(["echo", "placed"]),
    );
    expect(await listed(session, "prompts/list", "prompts", "name")).toEqual(["greet"]);
    expect(await listed(session, "resources/list", "resources", "uri")).toEqual(["file:///a", "ui://app/view"]);
    expect([...asked].toSorted()).toEqual(["prompts/list", "resources/list", "tools/list"]);
    policy.allow = () => true;
    policy.change();
  });

  test.each(["prompts/list", "resources/list", "resources/templates/list"])(
    "%s is no method where no server has any",
    async (method) => {
      const session = await begin(PLAIN);
      expect(await session.request(method)).toMatchObject({ status: 200, last: { error: { code: -32601 } } });
      expect(await listed(session, "tools/list", "tools", "name")).toEqual(["plain__echo"]);
    },
  );
});

describe("requests for a server", () => {
  test.each([
    ["prompts/get", { name: "greet", arguments: { a: "1" } }, { name: "one__greet", arguments: { a: "1" } }, "greet"],
    ["resources/read", { uri: "file:///a" }, { uri: "mcp+one+file:///a" }, "file:///a"],
    ["resources/read", { uri: "ui://app/view" }, { uri: "ui://mcp+one+app/view" }, "ui://app/view"],
    ["resources/subscribe", { uri: "file:///a" }, { uri: "mcp+one+file:///a" }, "file:///a"],
    ["resources/unsubscribe", { uri: "file:///a" }, { uri: "mcp+one+file:///a" }, "file:///a"],
    [
      "completion/complete",
      { ref: { type: "ref/prompt", name: "greet" }, argument: { name: "a", value: "v" } },
      { ref: { type: "ref/prompt", name: "one__greet" }, argument: { name: "a", value: "v" } },
      "greet",
    ],
    [
      "completion/complete",
      { ref: { type: "ref/resource", uri: "file:///{path}" }, argument: { name: "path", value: "v" } },
      { ref: { type: "ref/resource", uri: "mcp+one+file:///{path}" }, argument: { name: "path", value: "v" } },
      "file:///{path}",
    ],
  ])("%s reach it with its own names, from every route: %j", async (method, own, prefixed, name) => {
    const { runner } = installation;
    runner.onCall = (call) => runner.answer(call, { given: [1.5] });
    for (const [path, params] of [
      [ONE, own],
      ["/mcp/demo", prefixed],
      ["/mcp", prefixed],
    ] as const) {
      runner.calls.length = 0;
      const session = await begin(path);
      const { last } = await session.request(method, params, { id: "of-client" });
      expect(last).toEqual({ jsonrpc: "2.0", id: "of-client", result: { given: [1.5] } });
      const { envelope, method: sent, params: got } = received();
      expect([sent, got]).toEqual([method, own]);
      expect(envelope).toMatchObject({
        prefixed: path !== ONE,
        retrySafe: true,
        facts: { group: "demo", server: "one", tool: name, method, session: session.id, protocol: "2025-11-25" },
        client: { era: "legacy", info: { name: "test", version: "1.0" } },
      });
    }
  });

  test.each([
    ["prompts/get", { name: "greet" }, "prompts/get", "greet"],
    ["resources/read", { uri: "file:///a" }, "resources/read", "file:///a"],
    ["resources/subscribe", { uri: "file:///a" }, "resources/read", "file:///a"],
    ["completion/complete", { ref: { type: "ref/prompt", name: "greet" } }, "prompts/get", "greet"],
    ["completion/complete", { ref: { type: "ref/resource", uri: "file:///a" } }, "resources/read", "file:///a"],
  ])("%s %j are decided as %s on %s", async (method, params, action, name) => {
    const { policy } = installation.around;
    policy.allow = (request, { tool }) => !(request.action === action && tool === name);
    policy.change();
    const session = await begin(ONE);
    await eventually(async () =>
      expect((await session.request(method, params)).last.error).toMatchObject({
        code: -32003,
        message: `${name}: denied by none`,
      }),
    );
    policy.allow = () => true;
    policy.change();
    await eventually(async () => expect((await session.request(method, params)).last.result).toBeDefined());
  });

  test.each([
    ["prompts/get", { name: "greet" }],
    ["prompts/get", { name: "three__greet" }],
    ["prompts/get", {}],
    ["resources/read", { uri: "file:///a" }],
    ["resources/read", { uri: "mcp+three+file:///a" }],
    ["completion/complete", { ref: { type: "ref/tool", name: "one__greet" } }],
    ["completion/complete", { ref: null }],
  ])("%s %j are for nobody at a route of several", async (method, params) => {
    const { last } = await (await begin()).request(method, params);
    expect(last.error.code).toBe(-32602);
    expect(installation.runner.calls).toEqual([]);
  });
});

describe("what a client has said of itself", () => {
  test("its log level reaches the servers from the next call on, set at any time", async () => {
    const session = await begin();
    await session.request("tools/call", { name: "one__echo" });
    expect(received().envelope.client).not.toHaveProperty("logLevel");
    expect((await session.request("logging/setLevel", { level: "warning" })).last.result).toEqual({});
    await session.request("tools/call", { name: "one__echo" });
    expect(received(1).envelope.client.logLevel).toBe("warning");
  });

  test.each([["loud"], [7], [undefined], ["Debug"]])("a log level of %j is refused", async (level) => {
    const session = await begin();
    expect((await session.request("logging/setLevel", { level })).last.error).toMatchObject({ code: -32602 });
  });

  test("its capabilities and its workspace, to what a workspace may be", async () => {
    const capabilities = { sampling: {}, elicitation: { url: {} }, roots: { listChanged: true } };
    const session = await begin(ONE, {
      capabilities,
      headers: { "tollgate-workspace": `%C3%A4/${"w".repeat(2_000)}` },
    });
    await session.request("tools/call", { name: "echo" });
    expect(received().envelope.client).toEqual({
      era: "legacy",
      capabilities,
      info: { name: "test", version: "1.0" },
      workspace: `ä/${"w".repeat(1_022)}`,
    });
  });
});
