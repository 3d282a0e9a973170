import { eventually, postMcp } from "@tollgate/testkit";
import { beforeEach, describe, expect, test } from "vitest";
import { useInstallation } from "./installation.ts";
import { beginSession, type ClientSession, cutStreamsAfterEach, modernFrame } from "./mcp-connections.ts";

const PROTOCOL = "2025-03-26";

const installation = useInstallation();
cutStreamsAfterEach();
let session: ClientSession;
beforeEach(async () => {
  session = await beginSession(installation, { protocol: PROTOCOL });
});

const request = (id: unknown, method: string, params: object = {}) => ({ jsonrpc: "2.0", id, method, params });
const call = (id: unknown, name = "one__echo") => request(id, "tools/call", { name });
const notice = { jsonrpc: "2.0", method: "notifications/roots/list_changed" };
const byId = (answers: any[]) => new Map(answers.map((each) => [each.id, each]));

describe("a batch", () => {
  test("is answered with one list, in which every request has its answer", async () => {
    const { status, headers, last } = await session.post([
      call("a"),
      request(2, "ping"),
      notice,
      request("3", "tools/list"),
      call(4, "one__safe"),
    ]);
    expect([status, headers.get("content-type")]).toEqual([200, expect.stringContaining("application/json")]);
    const answers = byId(last);
    expect([...answers.keys()].map(String).toSorted()).toEqual(["2", "3", "4", "a"]);
    expect(answers.get("a").result.content[0].text).toBe("done");
    expect(answers.get(2).result).toEqual({});
    expect(answers.get("3").result.tools).toHaveLength(5);
    expect(answers.get(4).result).toBeDefined();
  });

  test("is one list as well when it holds one request", async () => {
    expect((await session.post([request(1, "ping")])).last).toEqual([{ jsonrpc: "2.0", id: 1, result: {} }]);
  });

  test("gives what is wrong with one of its members to that one", async () => {
    const { status, last } = await session.post([
      call("good"),
      call("unknown", "one__nothing"),
      request("method", "nothing/here"),
      { jsonrpc: "1.0", id: "version", method: "ping" },
      { jsonrpc: "2.0", id: null, method: "ping" },
      7,
      [],
      call("good"),
    ]);
    expect(status).toBe(200);
    const answers = byId(last);
    expect(last).toHaveLength(8);
    expect(answers.get("unknown").error.code).toBe(-32602);
    expect(answers.get("method").error.code).toBe(-32601);
    expect(answers.get("version").error.code).toBe(-32600);
    expect(last.filter(({ id }: { id: unknown }) => id === null)).toHaveLength(3);
    const good = last.filter(({ id }: { id: unknown }) => id === "good");
    expect(good.map(({ error }: any) => error?.code)).toEqual(expect.arrayContaining([undefined, -32600]));
  });

  test("becomes a stream when a server says more than its answer", async () => {
    const { runner } = installation;
    const progress = { jsonrpc: "2.0", method: "notifications/progress", params: { progress: 1 } };
    runner.onCall = () => undefined;
    const answering = session.post([request(1, "ping"), call(2), call(3)]);
    const calls = await eventually(() => (expect(runner.calls).toHaveLength(2), [...runner.calls]));
    runner.answer(calls[0]!, { first: true });
    runner.send(calls[1]!, progress, { place: 1 });
    runner.answer(calls[1]!, { second: true }, { place: 2 });
    const { headers, messages } = await answering;
    expect(headers.get("content-type")).toBe("text/event-stream");
    expect(messages).toContainEqual(progress);
    expect(messages.filter(({ id }) => id !== undefined)).toHaveLength(3);
    expect(messages.flatMap(({ result }) => (result === undefined ? [] : [result]))).toEqual(
      expect.arrayContaining([{}, { first: true }, { second: true }]),
    );
  });

  test("of nothing that waits for an answer is accepted", async () => {
    expect(await session.post([notice, { jsonrpc: "2.0", id: 9, result: {} }])).toMatchObject({
      status: 202,
      text: "",
    });
  });

  test("holds no request that opens a stream: it is told so, and the others are answered", async () => {
    const discover = modernFrame("server/discover", {}, "discover");
    const listen = modernFrame("subscriptions/listen", { notifications: {} }, "listen");
    const headers = {
      "mcp-session-id": session.id,
      "mcp-protocol-version": "2026-07-28",
      "mcp-method": "subscriptions/listen",
    };
    const at = { url: installation.url(), token: "token" };
    const answers = byId((await postMcp(at, JSON.stringify([listen, discover]), { headers })).last);
    expect(answers.get("listen").error).toMatchObject({ code: -32600, message: expect.stringContaining("stream") });
    expect(answers.get("discover")).toBeDefined();
  });

  test.each([0, 101])("of %i messages is refused", async (length) => {
    const { status, last } = await session.post(Array.from({ length }, (_, id) => request(id, "ping")));
    expect([status, last.error.code]).toEqual([400, -32600]);
  });

  test("of as many as there may be is answered", async () => {
    const { last } = await session.post(Array.from({ length: 100 }, (_, id) => call(id)));
    expect(new Set(last.map(({ id }: { id: number }) => id)).size).toBe(100);
  });

  test.each(["2024-11-05", "2025-06-18", "2025-11-25"])("is refused in a session of %s", async (protocol) => {
    const other = await beginSession(installation, { protocol });
    expect(await other.post([request(1, "ping")])).toMatchObject({ status: 400, last: { error: { code: -32600 } } });
  });

  test("is refused without a session, and in one that is not the sender's", async () => {
    const colleague = await beginSession(installation, { protocol: PROTOCOL, token: "colleague-token" });
    const send = async (headers: Record<string, string>) => {
      const response = await fetch(installation.url(), {
        method: "POST",
        headers: { authorization: "Bearer token", "content-type": "application/json", accept: "*/*", ...headers },
        body: JSON.stringify([request(1, "ping")]),
      });
      return response.status;
    };
    expect(await send({})).toBe(400);
    expect(await send({ "mcp-session-id": colleague.id })).toBe(400);
    expect(await send({ "mcp-session-id": session.id })).toBe(200);
  });
});
