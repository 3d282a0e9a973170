import { eventually, postMcp } from "@tollgate/testkit";
import { beforeAll, describe, expect, test } from "vitest";
import { principal } from "./controlled-policy.ts";
import { useInstallation } from "./installation.ts";
import { beginSession, type ClientSession, cutStreamsAfterEach, readEvents } from "./mcp-connections.ts";
import { connectWebSocket } from "./websocket-client.ts";

const installation = useInstallation({ replicas: 2 });
cutStreamsAfterEach();

beforeAll(() => {
  installation.around.policy.tokens.set("admin", principal({ id: "admin", permissions: ["admin"] }));
});

async function api(method: string, path: string, replica = 0) {
  const url = installation.url(`/api/v1${path}`, replica);
  const response = await fetch(url, { method, headers: { authorization: "Bearer admin" } });
  return { status: response.status, answer: (await response.json()) as any };
}
const end = (id: string, replica = 0) => api("DELETE", `/sessions/${id}`, replica);
const call = (session: ClientSession, replica: number) =>
  session.request("tools/call", { name: "one__echo" }, { replica });

describe("a session that somebody else has ended", () => {
  test("lets nothing in from when the request has returned, on any gateway, under load", async () => {
    for (let trial = 0; trial < 10; trial++) {
      const session = await beginSession(installation);
      let ended = Infinity;
      const load = new AbortController();
      const late: number[] = [];
      const answered: number[] = [];
      // What a gateway lets in is on the stream at once, with the time at which it was let in.
      installation.runner.onCall = (each) => {
        if (each.envelope.facts.session === session.id && each.envelope.facts.acceptedAt > ended)
          late.push(each.envelope.facts.acceptedAt - ended);
        installation.runner.answer(each);
      };
      const callers = Array.from({ length: 8 }, async (_, i) => {
        while (!load.signal.aborted) answered.push((await call(session, i % 2)).status);
      });
      await eventually(() => expect(answered.length).toBeGreaterThan(20));
      expect((await end(session.id, trial % 2)).status).toBe(200);
      ended = Date.now();
      expect((await call(session, 0)).status).toBe(404);
      expect((await call(session, 1)).status).toBe(404);
      load.abort();
      await Promise.all(callers);
      expect(late).toEqual([]);
      expect(new Set(answered.filter((status) => status !== 200))).toEqual(
        new Set(answered.includes(404) ? [404] : []),
      );
    }
  });

  test("is unknown to everything that a client may do with it", async () => {
    const session = await beginSession(installation);
    await end(session.id);
    for (const replica of [0, 1]) {
      expect((await session.request("tools/list", {}, { replica })).status).toBe(404);
      expect((await session.request("ping", {}, { replica })).status).toBe(404);
      expect((await session.listen({ replica })).status).toBe(404);
      expect(await session.end(replica)).toBe(404);
    }
    expect((await end(session.id)).status).toBe(404);
  });

  test("is ended although the store still has it", async () => {
    const session = await beginSession(installation);
    const { policy } = installation.around;
    policy.endedSessions.unshift(session.id);
    await policy.changeTaken();
    for (const replica of [0, 1]) {
      expect((await call(session, replica)).status).toBe(404);
      expect((await session.request("ping", {}, { replica })).status).toBe(404);
      expect((await session.listen({ replica })).status).toBe(404);
    }
  });

  test("lets no call in that was being decided when it ended", async () => {
    const { policy } = installation.around;
    const session = await beginSession(installation);
    await policy.changeTaken();
    let release = () => undefined as void;
    const held = new Promise<void>((resolve) => (release = resolve));
    policy.beforeDecide = () => held;
    const asked = policy.asked.decide;
    const answer = call(session, 1);
    await eventually(() => expect(policy.asked.decide).toBeGreaterThan(asked));
    policy.endedSessions.unshift(session.id);
    await policy.changeTaken();
    release();
    policy.beforeDecide = () => undefined;
    expect((await answer).status).toBe(404);
    expect(installation.runner.calls).toEqual([]);
  });

  test("has its streams closed, on whichever gateway they are, and others go on", async () => {
    const session = await beginSession(installation);
    const other = await beginSession(installation);
    const readers = await Promise.all([session.listen({ replica: 0 }), session.listen({ replica: 1 })]);
    const others = await other.listen({ replica: 1 });
    await end(session.id);
    await eventually(() => expect(readers.map(({ ended }) => ended)).toEqual([true, true]));
    await installation.runner.say(other.id, { jsonrpc: "2.0", method: "notifications/message", params: {} });
    await eventually(() => expect(others.messages).toHaveLength(1));
  });

  test("over WebSocket is the connection", async () => {
    const socket = await connectWebSocket(installation, { replica: 1 });
    await socket.initialize();
    const { items } = (await api("GET", "/sessions")).answer;
    const before = new Set(items.map(({ id }: { id: string }) => id));
    const second = await connectWebSocket(installation, { replica: 1 });
    await second.initialize();
    const found = (await api("GET", "/sessions?limit=500")).answer.items.find(({ id }: any) => !before.has(id));
    await end(found.id);
    await eventually(() => expect(second.closed).toBe(4401));
    expect(socket.closed).toBeUndefined();
    socket.close();
  });

  test("of HTTP+SSE cannot be begun anew in the same place", async () => {
    const reader = await readEvents(installation.url("/mcp/sse"));
    const endpoint = await eventually(() => (expect(reader.events).toHaveLength(1), reader.events[0]!.data));
    const params = { protocolVersion: "2024-11-05", capabilities: {}, clientInfo: { name: "t", version: "1" } };
    const initialize = () =>
      postMcp(
        { url: installation.url(endpoint), token: "token" },
        JSON.stringify({ jsonrpc: "2.0", id: 1, method: "initialize", params }),
      );
    await initialize();
    await eventually(() => expect(reader.messages).toHaveLength(1));
    await end(new URL(endpoint, "http://local").searchParams.get("session_id")!);
    await eventually(() => expect(reader.ended).toBe(true));
    // It is answered on the stream, which is gone; nothing has begun.
    await initialize();
    const { items } = (await api("GET", "/sessions?limit=500")).answer;
    expect(items.map(({ id }: any) => id)).not.toContain(endpoint.split("session_id=")[1]);
  });
});

describe("the list of sessions", () => {
  test("says whose they are, with what client and since when", async () => {
    const begun = Date.now();
    const session = await beginSession(installation, { token: "colleague-token", protocol: "2025-06-18" });
    const { status, answer } = await api("GET", "/sessions?principal=colleague&tenant=acme");
    expect(status).toBe(200);
    const found = answer.items.find(({ id }: any) => id === session.id);
    expect(found).toMatchObject({
      tenant: "acme",
      principal: "colleague",
      client: "test/1.0",
      protocol: "2025-06-18",
      since: expect.any(String),
    });
    expect(Date.parse(found.since)).toBeGreaterThanOrEqual(begun);
    expect(answer.items.every(({ principal: whose }: any) => whose === "colleague")).toBe(true);
  });

  test("comes in pages, each session once", async () => {
    const sessions = await Promise.all(Array.from({ length: 5 }, () => beginSession(installation)));
    const seen: string[] = [];
    let cursor: string | null = "";
    while (cursor !== null) {
      const { answer } = await api("GET", `/sessions?limit=2&cursor=${cursor}`);
      expect(answer.items.length).toBeLessThanOrEqual(2);
      seen.push(...answer.items.map(({ id }: { id: string }) => id));
      cursor = answer.nextCursor;
    }
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen).toEqual(expect.arrayContaining(sessions.map(({ id }) => id)));
  });

  test.each([
    "/sessions?limit=0",
    "/sessions?limit=501",
    "/sessions?cursor=a.b",
    `/sessions?tenant=${"x".repeat(201)}`,
  ])("%s is refused", async (path) => expect((await api("GET", path)).status).toBe(400));

  test.each(["a.b", "%20"])("the session %s cannot be ended", async (id) => {
    expect((await end(id)).status).toBe(400);
  });
});
