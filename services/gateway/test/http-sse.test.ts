import { eventually, postMcp } from "@tollgate/testkit";
import { describe, expect, test } from "vitest";
import { useInstallation } from "./installation.ts";
import { cutStreamsAfterEach, modernFrame, readEvents } from "./mcp-connections.ts";

const installation = useInstallation({ replicas: 2 });
cutStreamsAfterEach();

const PARAMS = { protocolVersion: "2024-11-05", capabilities: {}, clientInfo: { name: "test", version: "1.0" } };

/** A client of HTTP+SSE: one stream, and POSTs to where it says. */
async function connect(options: { path?: string; token?: string; replica?: number } = {}) {
  const { path = "/mcp", token = "token", replica = 0 } = options;
  const reader = await readEvents(installation.url(`${path}/sse`, replica), {
    token,
    headers: { accept: "text/event-stream" },
  });
  const endpoint = await eventually(() => (expect(reader.events).toHaveLength(1), reader.events[0]!));
  const post = (message: object | string, more: { replica?: number; token?: string; endpoint?: string } = {}) =>
    postMcp(
      { url: installation.url(more.endpoint ?? endpoint.data, more.replica), token: more.token ?? token },
      typeof message === "string" ? message : JSON.stringify(message),
    );
  const answer = (id: unknown) =>
    eventually(() => {
      const found = reader.messages.find((each) => each.id === id);
      expect(found).toBeDefined();
      return found;
    });
  async function request(method: string, params: object = {}, more: { id?: string; replica?: number } = {}) {
    const id = more.id ?? `id-${Math.random()}`;
    expect(await post({ jsonrpc: "2.0", id, method, params }, more)).toMatchObject({ status: 202, text: "" });
    return answer(id);
  }
  return { reader, endpoint, post, request, answer, initialize: () => request("initialize", PARAMS) };
}
type Client = Awaited<ReturnType<typeof connect>>;

const sessionOf = ({ endpoint }: Client) => new URL(endpoint.data, "http://local").searchParams.get("session_id")!;

describe("HTTP+SSE", () => {
  test("says first where messages go to, on every route", async () => {
    for (const path of ["/mcp", "/mcp/demo", "/mcp/demo/one"]) {
      const { endpoint, reader } = await connect({ path });
      expect(endpoint.event).toBe("endpoint");
      expect(endpoint.data).toMatch(new RegExp(`^${path}/messages\\?session_id=[A-Za-z0-9_-]{16,64}$`));
      expect(reader.headers.get("content-type")).toBe("text/event-stream");
    }
  });

  test.each([0, 1])("answers on the stream what was posted to replica %i", async (replica) => {
    const { runner } = installation;
    const client = await connect();
    expect((await client.initialize()).result.protocolVersion).toBe("2024-11-05");
    await client.post({ jsonrpc: "2.0", method: "notifications/initialized" }, { replica });
    expect((await client.request("ping", {}, { replica })).result).toEqual({});
    expect((await client.request("prompts/list", {}, { replica })).result.prompts).toHaveLength(3);
    expect((await client.request("nothing", {}, { replica })).error.code).toBe(-32601);
    const progress = { jsonrpc: "2.0", method: "notifications/progress", params: { progress: 1 } };
    runner.onCall = (call) => {
      runner.send(call, progress, { place: 1 });
      runner.answer(call, { done: true }, { place: 2 });
    };
    expect((await client.request("tools/call", { name: "one__echo" }, { replica })).result).toEqual({ done: true });
    expect(client.reader.messages).toContainEqual(progress);
    expect(runner.calls[0]!.envelope).toMatchObject({
      facts: { session: sessionOf(client), protocol: "2024-11-05" },
      client: { era: "legacy", info: PARAMS.clientInfo },
    });
    // The order of a stream is kept, and nothing comes twice.
    const ids = client.reader.messages.map((each) => each.id ?? each.method);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.indexOf("notifications/progress")).toBe(ids.length - 2);
  });

  test("brings what servers say outside of calls, and cancels by notification", async () => {
    const { runner } = installation;
    const client = await connect();
    await client.initialize();
    const notice = { jsonrpc: "2.0", method: "notifications/message", params: { level: "info", data: "said" } };
    await runner.say(sessionOf(client), notice);
    await eventually(() => expect(client.reader.messages).toContainEqual(notice));
    runner.onCall = () => undefined;
    await client.post({ jsonrpc: "2.0", id: "slow", method: "tools/call", params: { name: "one__echo" } });
    const call = await eventually(() => (expect(runner.calls).toHaveLength(1), runner.calls[0]!));
    await client.post(
      { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: "slow" } },
      { replica: 1 },
    );
    await eventually(() => expect(runner.cancelled).toEqual([call.envelope.id]));
    runner.answer(call);
  });

  test("has changes of lists only once the client has begun its session", async () => {
    const { runner } = installation;
    const client = await connect();
    await client.initialize();
    await client.request("resources/subscribe", { uri: "mcp+one+file:///a" });
    await eventually(() => {
      runner.update({ tenant: "acme", server: "one", uri: "file:///a" });
      expect(client.reader.messages.at(-1)).toMatchObject({ params: { uri: "mcp+one+file:///a" } });
    });
  });

  test("tells a message that is none, at once", async () => {
    const client = await connect();
    await client.initialize();
    for (const [text, code] of [
      ["{", -32700],
      ["7", -32600],
      ["[]", -32600],
      [JSON.stringify({ jsonrpc: "2.0", id: 1 }), -32600],
    ] as const)
      expect(await client.post(text)).toMatchObject({ status: 400, last: { error: { code } } });
    const listen = modernFrame("subscriptions/listen", { notifications: {} }, "listen");
    await client.post(listen);
    expect((await client.answer("listen")).error).toBeDefined();
  });

  test("takes nothing for a session that is not there: 400 without a name, 404 for nobody's", async () => {
    const client = await connect();
    const ping = { jsonrpc: "2.0", id: 1, method: "ping" };
    for (const endpoint of [
      "/mcp/messages",
      "/mcp/messages?session_id=",
      "/mcp/messages?session_id=a.b*c",
      "/mcp/messages?session_id=a&session_id=b",
    ])
      expect((await client.post(ping, { endpoint })).status).toBe(400);
    expect((await client.post(ping, { endpoint: "/mcp/messages?session_id=nobody-of-this-name" })).status).toBe(404);
    // Before initialize there is none either.
    expect((await client.post(ping)).status).toBe(404);
    await client.initialize();
    expect((await client.post(ping)).status).toBe(202);
    expect((await client.post(ping, { token: "nobody's" })).status).toBe(401);
  });

  test("is its owner's: another can neither use a session, nor begin one in its place", async () => {
    const client = await connect();
    const begin = { jsonrpc: "2.0", id: "stolen", method: "initialize", params: PARAMS };
    await client.initialize();
    const token = "colleague-token";
    expect((await client.post({ jsonrpc: "2.0", id: 1, method: "ping" }, { token })).status).toBe(404);
    await client.post(begin, { token });
    expect((await client.request("ping")).result).toEqual({});
    expect((await client.post({ jsonrpc: "2.0", id: 1, method: "ping" }, { token })).status).toBe(404);
    // A stream whose session somebody else has begun is no stream of his.
    const early = await connect();
    await early.post(begin, { token });
    await eventually(() => expect(early.reader.ended).toBe(true));
  });

  test("ends its session when the stream ends, and the stream when the session does", async () => {
    const client = await connect();
    await client.initialize();
    client.reader.cut();
    const ping = { jsonrpc: "2.0", id: 1, method: "ping" };
    for (const replica of [0, 1])
      await eventually(async () => expect((await client.post(ping, { replica })).status).toBe(404));
    const other = await connect();
    await other.initialize();
    const ended = await fetch(installation.url("/mcp", 1), {
      method: "DELETE",
      headers: { authorization: "Bearer token", "mcp-session-id": sessionOf(other) },
    });
    expect(ended.status).toBe(200);
    await eventually(() => expect(other.reader.ended).toBe(true));
  });

  test("asks for a token, and for a route that there is", async () => {
    expect((await readEvents(installation.url("/mcp/sse"), { token: "nobody's" })).status).toBe(401);
    expect((await readEvents(installation.url("/mcp/sse"), { token: "useless-token" })).status).toBe(403);
    expect((await readEvents(installation.url("/mcp/nowhere/sse"))).status).toBe(404);
  });
});
