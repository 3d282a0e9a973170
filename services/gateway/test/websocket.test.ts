import { eventually } from "@tollgate/testkit";
import { afterEach, describe, expect, test } from "vitest";
import { principal } from "./controlled-policy.ts";
import { useInstallation } from "./installation.ts";
import { modernFrame } from "./mcp-connections.ts";
import { connectWebSocket, type SocketClient } from "./websocket-client.ts";

const BODY_MAX_BYTES = 100_000;
const SUBSCRIPTION_ID = "io.modelcontextprotocol/subscriptionId";

const installation = useInstallation({ replicas: 1, settings: { bodyMaxBytes: BODY_MAX_BYTES } });
const sockets: SocketClient[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.close();
});

async function connect(options: Parameters<typeof connectWebSocket>[1] = {}): Promise<SocketClient> {
  const socket = await connectWebSocket(installation, options);
  sockets.push(socket);
  return socket;
}
const modern = (
  socket: SocketClient,
  method: string,
  params: Record<string, unknown> = {},
  id: string | number = "m",
) => {
  socket.send(modernFrame(method, params, id));
  return eventually(() => {
    const found = socket.messages.find((each) => each.id === id);
    expect(found).toBeDefined();
    return found;
  });
};
const callOf = (at = 0) =>
  eventually(() => (expect(installation.runner.calls.length).toBeGreaterThan(at), installation.runner.calls[at]!));
const cancel = (requestId: unknown) => ({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId } });

describe("a connection", () => {
  test.each([
    ["without a token", { token: undefined }, /^401 Bearer$/],
    ["with a token that nobody knows", { token: "nobody's" }, /^401 Bearer error="invalid_token"/],
    ["with a token that may not", { token: "useless-token" }, /^403 Bearer error="insufficient_scope"/],
    ["from a page of another site", { headers: { origin: "https://evil.example" } }, "403"],
    ["to a group that there is not", { path: "/mcp/nowhere/ws" }, "404"],
    ["to no place at all", { path: "/ws" }, "404"],
    ["with another subprotocol", { protocols: ["graphql"] }, "400"],
  ])("%s is refused before it is one", async (_what, options, status) => {
    await expect(connect(options)).rejects.toThrow(status);
  });

  test("is agreed on the subprotocol, also beside others; without any it is taken too", async () => {
    expect((await connect({ protocols: ["other", "mcp"] })).protocol).toBe("mcp");
    expect((await connect({ protocols: [] })).protocol).toBe("");
  });

  test("serves the route at which it is", async () => {
    const socket = await connect({ path: "/mcp/demo/one/ws" });
    expect((await socket.initialize()).result.serverInfo).toEqual({ name: "one's own", version: "7" });
    expect((await socket.request("tools/call", { name: "echo" })).result.content[0].text).toBe("done");
  });
});

describe("a legacy client", () => {
  test("has a session that is the connection", async () => {
    const { runner } = installation;
    const socket = await connect();
    expect((await socket.request("ping")).error).toBeDefined();
    expect((await socket.initialize({ sampling: {} })).result.protocolVersion).toBe("2025-11-25");
    const progress = { jsonrpc: "2.0", method: "notifications/progress", params: { progress: 1 } };
    runner.onCall = (call) => {
      runner.send(call, progress, { place: 1 });
      runner.answer(call, { done: true }, { place: 2 });
    };
    expect((await socket.request("tools/call", { name: "one__echo" }, 7)).result).toEqual({ done: true });
    expect(socket.messages.slice(-2)[0]).toEqual(progress);
    const { facts, client } = runner.calls[0]!.envelope;
    expect(client.capabilities).toEqual({ sampling: {} });
    const notice = { jsonrpc: "2.0", method: "notifications/message", params: { level: "info", data: "said" } };
    await eventually(async () => {
      await runner.say(facts.session!, notice);
      expect(socket.messages).toContainEqual(notice);
    });
  });

  test("answers a server's question on the connection", async () => {
    const { runner } = installation;
    const socket = await connect();
    await socket.initialize();
    const id = `tollgate-${runner.name}-1`;
    const question = { jsonrpc: "2.0", id, method: "roots/list" };
    runner.onCall = (call) => runner.send(call, question, { place: 1, asks: true });
    socket.send({ jsonrpc: "2.0", id: "asking", method: "tools/call", params: { name: "one__echo" } });
    await eventually(() => expect(socket.messages).toContainEqual(question));
    const answer = { jsonrpc: "2.0", id, result: { roots: [] } };
    socket.send(answer);
    await eventually(() => expect(runner.answers.map(({ frame }) => frame)).toEqual([JSON.stringify(answer)]));
    expect(runner.answers[0]!.envelope.session).toBe(runner.calls[0]!.envelope.facts.session);
    runner.answer(runner.calls[0]!);
  });

  test("cancels by notification; going away does not cancel, and ends the session", async () => {
    const { runner } = installation;
    runner.onCall = () => undefined;
    const socket = await connect();
    await socket.initialize();
    for (const id of ["first", "second"])
      socket.send({ jsonrpc: "2.0", id, method: "tools/call", params: { name: "one__echo" } });
    await callOf(1);
    const first = runner.calls.find(({ frame }) => frame.includes('"first"'))!;
    socket.send(cancel("first"));
    await eventually(() => expect(runner.cancelled).toEqual([first.envelope.id]));
    const session = first.envelope.facts.session!;
    const pingOverHttp = () =>
      fetch(installation.url(), {
        method: "POST",
        headers: {
          authorization: "Bearer token",
          "mcp-session-id": session,
          "content-type": "application/json",
          accept: "application/json, text/event-stream",
        },
        body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "ping" }),
      });
    expect((await pingOverHttp()).status).toBe(200);
    socket.close();
    await eventually(async () => expect((await pingOverHttp()).status).toBe(404));
    expect(runner.cancelled).toHaveLength(1);
    for (const call of runner.calls) runner.answer(call);
  });

  test("that goes away while its session begins leaves none behind", async () => {
    const ids = new Set<string>();
    const kv = `KV_${installation.runner.bus.subjects.sessionsBucket}`;
    const count = async () => {
      const { state } = await installation.runner.bus.jsm.streams.info(kv, { subjects_filter: ">" });
      const subjects = Object.keys(state.subjects ?? {});
      let live = 0;
      for (const subject of subjects) {
        const last = await installation.runner.bus.jsm.streams.getMessage(kv, { last_by_subj: subject });
        if (last?.header.get("KV-Operation") === "") live += 1;
      }
      return live;
    };
    const before = await count();
    for (let at = 0; at < 10; at++) {
      const socket = await connect();
      ids.add(String(at));
      socket.send({
        jsonrpc: "2.0",
        id: 1,
        method: "initialize",
        params: { protocolVersion: "2025-11-25", capabilities: {} },
      });
      socket.close();
    }
    await eventually(async () => expect(await count()).toBeLessThanOrEqual(before));
  });
});

describe("a modern client", () => {
  test("calls, and lists, and is told of its revision's errors, without headers", async () => {
    const socket = await connect();
    expect((await modern(socket, "server/discover", {}, 1)).result.supportedVersions).toEqual(["2026-07-28"]);
    expect((await modern(socket, "tools/call", { name: "one__echo" }, 2)).result.content[0].text).toBe("done");
    expect((await modern(socket, "nothing", {}, 3)).error.code).toBe(-32601);
    expect((await modern(socket, "prompts/list", {}, 4)).result.resultType).toBe("complete");
    expect(installation.runner.calls[0]!.envelope.facts.protocol).toBe("2026-07-28");
  });

  test("cancels by notification, and by going away", async () => {
    const { runner } = installation;
    runner.onCall = () => undefined;
    const socket = await connect();
    for (const id of [1, "1"]) socket.send(modernFrame("tools/call", { name: "one__echo", arguments: { id } }, id));
    await callOf(1);
    const [number, text] = [1, "1"].map(
      (id) => runner.calls.find(({ frame }) => JSON.parse(frame).params.arguments.id === id)!.envelope.id,
    );
    socket.send(cancel("1"));
    await eventually(() => expect(runner.cancelled).toEqual([text]));
    socket.close();
    await eventually(() => expect(runner.cancelled).toEqual([text, number]));
    for (const call of runner.calls) runner.answer(call);
  });

  test.each(["a notification", "going away"])("cancels by %s while its call is being decided", async (how) => {
    const { runner, around } = installation;
    runner.onCall = () => undefined;
    around.policy.tokens.set(`hasty-${how}`.replaceAll(" ", "-"), principal({ id: `hasty ${how}` }));
    const socket = await connect({ token: `hasty-${how}`.replaceAll(" ", "-") });
    around.policy.beforeDecide = async () => {
      if (how === "going away") {
        socket.close();
        await eventually(() => expect(socket.closed).toBeDefined());
        return;
      }
      socket.send(cancel("early"));
      await modern(socket, "server/discover", {}, "after");
    };
    socket.send(modernFrame("tools/call", { name: "one__echo" }, "early"));
    const call = await callOf();
    around.policy.beforeDecide = () => undefined;
    await eventually(() => expect(runner.cancelled).toEqual([call.envelope.id]));
    runner.answer(call);
  });

  test("listens, is told which of its subscriptions it is, and ends one by cancelling it", async () => {
    const { runner } = installation;
    const socket = await connect();
    const notifications = { resourceSubscriptions: ["mcp+one+file:///a"] };
    for (const id of ["x", "y"]) socket.send(modernFrame("subscriptions/listen", { notifications }, id));
    await eventually(() => expect(socket.messages).toHaveLength(2));
    expect(socket.messages.map(({ method }) => method)).toEqual(
      Array(2).fill("notifications/subscriptions/acknowledged"),
    );
    const heardBy = (id: string) =>
      socket.messages.filter(
        ({ method, params }) => method === "notifications/resources/updated" && params._meta[SUBSCRIPTION_ID] === id,
      ).length;
    const update = () => runner.update({ tenant: "acme", server: "one", uri: "file:///a" });
    await eventually(() => {
      update();
      expect(Math.min(heardBy("x"), heardBy("y"))).toBeGreaterThan(0);
    });
    socket.send(cancel("x"));
    await modern(socket, "server/discover", {}, "after");
    const [x, y] = [heardBy("x"), heardBy("y")];
    await eventually(() => {
      update();
      expect(heardBy("y")).toBeGreaterThan(y);
    });
    expect(heardBy("x")).toBe(x);
  });
});

describe("messages that are none", () => {
  test("get protocol errors, and the connection lives", async () => {
    const socket = await connect();
    const bad: [string, number][] = [
      ["", -32700],
      ["{", -32700],
      ["null", -32600],
      ["7", -32600],
      ["[]", -32600],
      [JSON.stringify([{ jsonrpc: "2.0", id: 1, method: "ping" }]), -32600],
      [JSON.stringify({ jsonrpc: "2.0", id: {}, method: "ping" }), -32600],
      [JSON.stringify({ jsonrpc: "2.0", id: 1, method: "ping", params: 7 }), -32602],
    ];
    for (const [at, [text, code]] of bad.entries()) {
      socket.send(text);
      await eventually(() => expect(socket.messages).toHaveLength(at + 1));
      expect(socket.messages[at].error.code).toBe(code);
    }
    expect((await socket.initialize()).result).toBeDefined();
  });

  test("close it when they are bytes, or more than a message may be", async () => {
    const binary = await connect();
    binary.send(Buffer.from([1, 2, 3]));
    await eventually(() => expect(binary.closed).toBe(1003));
    const large = await connect();
    large.send(JSON.stringify({ jsonrpc: "2.0", method: "x".repeat(BODY_MAX_BYTES) }));
    await eventually(() => expect(large.closed).toBe(1009));
    expect((await (await connect()).initialize()).result).toBeDefined();
  });
});

test("when the gateway stops, listeners get their final answer, and everybody is told why", async () => {
  const { replica, close } = await installation.startReplica();
  const [listening, session] = [await connect({ replica }), await connect({ replica })];
  await session.initialize();
  await modern(listening, "server/discover", {}, 1);
  listening.send(modernFrame("subscriptions/listen", { notifications: { toolsListChanged: true } }, "l"));
  await eventually(() => expect(listening.messages).toHaveLength(2));
  await close();
  await eventually(() => expect([listening.closed, session.closed]).toEqual([1001, 1001]));
  expect(listening.messages.at(-1)).toMatchObject({ id: "l", result: { resultType: "complete" } });
});
