import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { openLife } from "@tollgate/service";
import { eventually, legacyClient, modernClient, postMcp, testLog, useInfrastructure } from "@tollgate/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type AnsweringRunner, startRunner } from "./answering-runner.ts";
import { principal } from "./controlled-policy.ts";
import { refusalsOn, startSurroundings, type Surroundings } from "./running-gateway.ts";

const REQUEST_TIMEOUT_MS = 1_000;
const MIB = 1024 * 1024;
const META = {
  "io.modelcontextprotocol/protocolVersion": "2026-07-28",
  "io.modelcontextprotocol/clientCapabilities": {},
};

const infra = useInfrastructure();
const life = openLife(testLog);
const sockets: Socket[] = [];
let around: Surroundings;
let runner: AnsweringRunner;
let port: number;

beforeAll(async () => {
  around = await startSurroundings(infra, life);
  runner = await startRunner(infra, { group: "demo", life });
  const settings = { callsPerTenantMax: 2, requestTimeoutMs: REQUEST_TIMEOUT_MS, receiveTimeoutMs: 700 };
  port = (await around.startGateway(settings)).httpPort;
  await eventually(async () => expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(200));
});
afterAll(() => life.close());
beforeEach(() => {
  runner.calls.length = 0;
  runner.cancelled.length = 0;
  runner.onCall = (call) => runner.answer(call);
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

const at = (token = "token", path = "/mcp") => ({ url: `http://127.0.0.1:${port}${path}`, token });
const callOne = (token?: string, more: { signal?: AbortSignal } = {}) =>
  modernClient(at(token)).request("tools/call", { name: "one__echo" }, more);
const call = (n: number) => eventually(() => (expect(runner.calls.length).toBeGreaterThan(n), runner.calls[n]!));
const metric = async (name: string) =>
  Number(new RegExp(`^${name} (\\d+)$`, "m").exec(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text())?.[1]);

/** A connection of which the test writes, and reads or not, every byte. */
function openSocket(): { socket: Socket; received: () => string; closed: () => boolean } {
  const socket = connect(port, "127.0.0.1");
  sockets.push(socket);
  let received = "";
  let closed = false;
  socket.on("data", (chunk) => (received += chunk.toString("latin1")));
  socket.on("error", () => undefined);
  socket.on("close", () => (closed = true));
  return { socket, received: () => received, closed: () => closed };
}

/** As the kernel has it (proc(5), /proc/net/tcp): one who does not read is not told of the other side's end. */
function isHeldByGateway({ localPort }: Socket): boolean {
  const hex = (each = 0) => each.toString(16).toUpperCase().padStart(4, "0");
  const established = new RegExp(`:${hex(port)} [0-9A-F]+:${hex(localPort)} 01 `);
  return established.test(readFileSync("/proc/net/tcp", "utf8"));
}

function modernRequest(params: object, method = "tools/call"): string {
  const body = JSON.stringify({
    jsonrpc: "2.0",
    id: 1,
    method,
    params: { ...params, _meta: { ...META, progressToken: 1 } },
  });
  const head = [
    "POST /mcp HTTP/1.1",
    "host: gateway",
    "authorization: Bearer token",
    "content-type: application/json",
    "accept: application/json, text/event-stream",
    "mcp-protocol-version: 2026-07-28",
    `mcp-method: ${method}`,
    "mcp-name: one__echo",
    `content-length: ${Buffer.byteLength(body)}`,
  ];
  return `${head.join("\r\n")}\r\n\r\n${body}`;
}

describe("overload", () => {
  test("of one tenant is refused, with when to come back and an event; another's calls go on", async () => {
    runner.onCall = () => undefined;
    const held = [callOne(), callOne()];
    await call(1);
    const refused = await callOne();
    expect(refused.status).toBe(429);
    expect(refused.headers.get("retry-after")).toBe("1");
    expect(refused.last).toMatchObject({
      id: 1,
      error: {
        code: -32005,
        message: expect.stringContaining("tenant acme"),
        data: { code: "overloaded", retryable: true },
      },
    });
    expect(runner.calls).toHaveLength(2);
    await eventually(async () =>
      expect((await refusalsOn(runner)).filter(({ code }) => code === "overloaded")).toEqual([
        expect.objectContaining({
          tenant: "acme",
          principal: "dev",
          group: "demo",
          server: "one",
          tool: "echo",
          method: "tools/call",
          count: 1,
          decision: expect.objectContaining({ allow: true }),
        }),
      ]),
    );

    runner.onCall = (one) => runner.answer(one);
    expect((await callOne("rival-token")).last.result.content[0].text).toBe("done");
    for (const one of runner.calls.slice(0, 2)) runner.answer(one);
    for (const each of await Promise.all(held)) expect(each.last.result.content[0].text).toBe("done");
    expect((await callOne()).status).toBe(200);
  });

  test("of the stream is refused as well, and nothing is on it", async () => {
    const { bus } = runner;
    const { calls } = bus.subjects.streams;
    const { config } = await bus.jsm.streams.info(calls);
    // One call of a group without a runner, and the stream is full.
    const waiting = modernClient(at()).request("tools/call", { name: "lonely__echo" });
    await eventually(async () => expect((await bus.jsm.streams.info(calls)).state.messages).toBe(1));
    await bus.jsm.streams.update(calls, { ...config, max_msgs: 1 });
    const refused = await callOne("rival-token");
    expect(refused.status).toBe(429);
    expect(refused.headers.get("retry-after")).toBe("1");
    expect(refused.last.error).toMatchObject({ code: -32005, message: expect.stringContaining("stream is full") });
    await eventually(async () =>
      expect((await refusalsOn(runner)).at(-1)).toMatchObject({ tenant: "rival", code: "overloaded" }),
    );
    expect((await bus.jsm.streams.info(calls)).state.messages).toBe(1);

    await bus.jsm.streams.update(calls, config);
    expect((await callOne("rival-token")).status).toBe(200);
    await waiting;
    await bus.jsm.streams.purge(calls);
  });
});

test("a call for which there is no runner is answered soon after its time, and makes room", async () => {
  const startedAt = Date.now();
  const { status, last } = await modernClient(at()).request("tools/call", { name: "lonely__echo" });
  expect(Date.now() - startedAt).toBeLessThan(REQUEST_TIMEOUT_MS + 5_000);
  expect(status).toBe(200);
  expect(last).toMatchObject({
    id: 1,
    error: { code: -32007, data: { code: "deadline_exceeded", callId: expect.any(String) } },
  });
  expect((await callOne()).status).toBe(200);
});

describe("slow clients are cut off", () => {
  test.each([
    ["half a head", "POST /mcp HTTP/1.1\r\nhost: gateway\r\n"],
    ["a head, and nothing of the body", modernRequest({ name: "one__echo" }).split("{")[0]!],
    ["half a body", modernRequest({ name: "one__echo" }).slice(0, -20)],
  ])("that send %s", async (_name, text) => {
    const { socket, received, closed } = openSocket();
    socket.write(text);
    await eventually(() => expect(closed()).toBe(true));
    expect(received()).toMatch(/^HTTP\/1.1 408 /);
    expect(runner.calls).toEqual([]);
  });

  test("that do not read their answer", async () => {
    runner.onCall = (one) => runner.answer(one, { content: [{ type: "text", text: "x".repeat(7 * MIB) }] });
    const { socket } = openSocket();
    socket.pause();
    socket.write(modernRequest({ name: "one__echo" }));
    await call(0);
    expect(isHeldByGateway(socket)).toBe(true);
    // Twice the silence that is allowed: some of it was written meanwhile.
    await eventually(() => expect(isHeldByGateway(socket)).toBe(false), { timeoutMs: 25_000 });
  }, 40_000);

  test("that do not read their stream: it is not kept for them, and the call is cancelled", async () => {
    runner.onCall = () => undefined;
    const { socket } = openSocket();
    socket.pause();
    socket.write(modernRequest({ name: "one__echo" }));
    const one = await call(0);
    const progress = { jsonrpc: "2.0", method: "notifications/progress", params: { message: "x".repeat(MIB) } };
    let sent = 0;
    await eventually(() => {
      if (sent < 200) runner.send(one, progress, false);
      sent += 1;
      expect(runner.cancelled).toEqual([one.envelope.id]);
    });
    // What the kernel takes, and the bound on top of it.
    expect(sent).toBeLessThan(40);
    runner.answer(one);
    await eventually(async () => expect(await metric("tollgate_gateway_calls_under_way")).toBe(0));
    runner.onCall = (each) => runner.answer(each);
    expect((await callOne()).last.result.content[0].text).toBe("done");
  });
});

describe("clients that leave", () => {
  test("a modern one cancels its call", async () => {
    runner.onCall = () => undefined;
    const leaving = new AbortController();
    const left = callOne("token", { signal: leaving.signal }).catch((error: Error) => error.name);
    const one = await call(0);
    leaving.abort();
    expect(await left).toBe("AbortError");
    await eventually(() => expect(runner.cancelled).toEqual([one.envelope.id]));
    runner.answer(one);
  });

  test("a modern one that left while its call was being decided cancels it too", async () => {
    runner.onCall = () => undefined;
    around.policy.tokens.set("late-token", principal({ id: "late", tenant: "late", team: "" }));
    const { socket } = openSocket();
    // Decided by nobody yet, so that policy is asked; the client is gone when the answer comes.
    around.policy.allow = () => {
      socket.destroy();
      return true;
    };
    socket.write(modernRequest({ name: "one__echo" }).replace("Bearer token", "Bearer late-token"));
    const one = await call(0);
    around.policy.allow = () => true;
    await eventually(() => expect(runner.cancelled).toEqual([one.envelope.id]));
    runner.answer(one);
  });

  test("a legacy one does not", async () => {
    runner.onCall = () => undefined;
    const leaving = new AbortController();
    const client = await legacyClient(at("rival-token"));
    const left = client.request("tools/call", { name: "one__echo" }, { signal: leaving.signal }).catch(() => "left");
    const one = await call(0);
    leaving.abort();
    expect(await left).toBe("left");
    runner.answer(one);
    await eventually(async () => expect(await metric("tollgate_gateway_calls_under_way")).toBe(0));
    expect(runner.cancelled).toEqual([]);
  });
});

describe("a session's requests", () => {
  test("with an id that is under way are refused, also when both come at once; then the id is free", async () => {
    const client = await legacyClient(at());
    runner.onCall = () => undefined;
    const both = ["a", "b"].map(() => client.request("tools/call", { name: "one__echo" }, { id: "same" }));
    const one = await call(0);
    const refused = await Promise.race(both);
    expect(refused.last).toMatchObject({
      id: "same",
      error: { code: -32600, message: expect.stringContaining("under way") },
    });
    runner.answer(one);
    await Promise.all(both);
    expect(runner.calls).toHaveLength(1);
    // A number is another id than its text.
    runner.onCall = (each) => runner.answer(each);
    expect((await client.request("tools/call", { name: "one__echo" }, { id: "same" })).last.result).toBeDefined();
    await client.request("tools/call", { name: "one__nothing" }, { id: 5 });
    expect((await client.request("tools/call", { name: "one__echo" }, { id: 5 })).last.result).toBeDefined();
  });

  test("are cancelled by their own session only, and only under their own id", async () => {
    const [client, other] = [await legacyClient(at()), await legacyClient(at())];
    runner.onCall = () => undefined;
    const slow = client.request("tools/call", { name: "one__echo" }, { id: 7 });
    const one = await call(0);
    await other.notify("notifications/cancelled", { requestId: 7 });
    for (const requestId of ["7", 8, null, { toString: 1 }, undefined])
      await client.notify("notifications/cancelled", { requestId });
    expect(runner.cancelled).toEqual([]);
    await client.notify("notifications/cancelled", { requestId: 7 });
    await eventually(() => expect(runner.cancelled).toEqual([one.envelope.id]));
    runner.answer(one);
    await slow;
  });
});

describe("a call on the stream", () => {
  test("says who, what, by which decision, and until when", async () => {
    const meta = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" };
    await modernClient(at()).request("tools/call", { name: "one__safe", arguments: { a: 1 }, _meta: meta });
    const { envelope, frame } = runner.calls[0]!;
    expect(envelope).toMatchObject({
      gateway: expect.stringMatching(/^g-/),
      retrySafe: true,
      deadline: envelope.facts.acceptedAt + REQUEST_TIMEOUT_MS,
      facts: {
        principal: "dev",
        tenant: "acme",
        team: "platform",
        group: "demo",
        server: "one",
        tool: "safe",
        method: "tools/call",
        protocol: "2026-07-28",
        traceparent: meta.traceparent,
        decision: { allow: true, policies: ["all"], reason: "allowed" },
      },
    });
    expect(JSON.parse(frame).params).toMatchObject({ name: "safe", arguments: { a: 1 } });
    expect(JSON.stringify(envelope)).not.toContain("token");
  });

  test("is not there when policy forbids it; the refusal is an event", async () => {
    around.policy.allow = (_request, { tool }) => tool !== "safe";
    around.policy.change();
    await eventually(async () => {
      const { last } = await modernClient(at("rival-token")).request("tools/call", { name: "one__safe" });
      expect(last.error).toMatchObject({ code: -32003, message: "one__safe: denied by none" });
    });
    expect(runner.calls.filter(({ envelope }) => !envelope.facts.decision.allow)).toEqual([]);
    await eventually(async () =>
      expect((await refusalsOn(runner)).at(-1)).toMatchObject({ code: "denied", tenant: "rival", tool: "safe" }),
    );
    around.policy.allow = () => true;
    around.policy.change();
  });
});

test("a token without the permission, and one that nobody knows", async () => {
  const ping = '{"jsonrpc":"2.0","id":1,"method":"ping"}';
  expect(await postMcp(at("useless-token"), ping)).toMatchObject({ status: 403, last: { error: { code: -32003 } } });
  const unknown = await postMcp(at("nobody's"), ping);
  expect([unknown.status, unknown.headers.get("www-authenticate")]).toEqual([401, expect.stringContaining("Bearer")]);
  await eventually(async () =>
    expect((await refusalsOn(runner)).at(-1)).toMatchObject({ code: "unauthenticated", tenant: "unknown" }),
  );
});

test("while policy is silent nothing is let in: 503, and not ready", async () => {
  const client = await legacyClient(at());
  around.policy.renewing = false;
  await eventually(async () => {
    const ready = await fetch(`http://127.0.0.1:${port}/readyz`);
    expect([ready.status, await ready.json()]).toMatchObject([
      503,
      { reasons: { policy: "policy is not heard from" } },
    ]);
  });
  const before = runner.calls.length;
  const refused = [callOne(), callOne("rival-token"), client.request("tools/call", { name: "one__echo" })];
  for (const { status, last } of await Promise.all(refused))
    expect([status, last.error]).toMatchObject([503, { code: -32008, data: { code: "unavailable", retryable: true } }]);
  expect(runner.calls.length).toBe(before);
  around.policy.renewing = true;
  await eventually(async () => expect((await callOne()).status).toBe(200));
});
