import { eventually, postMcp } from "@tollgate/testkit";
import fc from "fast-check";
import { afterEach, expect, test } from "vitest";
import { useInstallation } from "./installation.ts";
import { beginSession, cutStreamsAfterEach, modernFrame, postModern, readEvents } from "./mcp-connections.ts";
import { connectWebSocket } from "./websocket-client.ts";

const RUNS = 150;
const PROTOCOL_ERRORS = [-32700, -32600, -32601, -32602, -32003, -32020, -32021, -32022];

const installation = useInstallation({ settings: { requestTimeoutMs: 2_000 } });
cutStreamsAfterEach();

/** The gateway is the same one, and well. */
afterEach(async () => {
  expect((await fetch(installation.url("/healthz"))).status).toBe(200);
  expect((await postModern(installation.url(), "tools/call", { name: "one__echo" })).status).toBe(200);
});

const odd = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom<unknown>({ toString: 1 }, { valueOf: 1 }, [], {}, null, "", -0, 1e308, "one__echo", "file:///a"),
);
const members = (...names: string[]) => fc.dictionary(fc.constantFrom(...names), odd, { maxKeys: 5 });
const methods = fc.constantFrom(
  "initialize",
  "ping",
  "server/discover",
  "subscriptions/listen",
  "tools/call",
  "prompts/get",
  "resources/read",
  "resources/subscribe",
  "completion/complete",
  "logging/setLevel",
  "tasks/get",
  "tasks/cancel",
  "notifications/cancelled",
  "notifications/roots/list_changed",
  "__proto__",
  "toString",
);
const params = members(
  "name",
  "uri",
  "ref",
  "taskId",
  "cursor",
  "level",
  "arguments",
  "notifications",
  "requestState",
  "requestId",
  "_meta",
);
const ids = fc.oneof(fc.integer(), fc.string(), odd);

const deep = fc.integer({ min: 1, max: 5_000 });
const message = fc.oneof(
  fc.string({ unit: "binary", maxLength: 300 }),
  fc.jsonValue().map((each) => JSON.stringify(each)),
  deep.map((depth) => "[".repeat(depth)),
  deep.map((depth) => `${'{"params":'.repeat(depth)}1${"}".repeat(depth)}`),
  members("jsonrpc", "id", "method", "params", "result", "error").map((each) => JSON.stringify(each)),
  fc.record({ id: ids, result: odd }).map((each) => JSON.stringify({ jsonrpc: "2.0", ...each })),
  fc.record({ id: ids, method: methods, params }).map((each) => JSON.stringify({ jsonrpc: "2.0", ...each })),
  fc.record({ method: methods, params }).map((each) => JSON.stringify({ jsonrpc: "2.0", ...each })),
  fc
    .tuple(methods, params, fc.oneof(fc.integer(), fc.string()))
    .map(([method, given, id]) => JSON.stringify(modernFrame(method, { ...given, _meta: {} }, id))),
);

/** A protocol error, or nothing that is wrong. */
function expectSound(answer: any): void {
  expect(answer.jsonrpc).toBe("2.0");
  if (answer.error === undefined) return;
  expect(PROTOCOL_ERRORS).toContain(answer.error.code);
  expect(answer.error.message).not.toBe("");
}

test(`${RUNS} messages of anything over one WebSocket: protocol errors, and it lives`, async () => {
  const socket = await connectWebSocket(installation);
  let asked = 0;
  await fc.assert(
    fc.asyncProperty(message, async (text) => {
      const before = socket.messages.length;
      socket.send(text);
      // One that has an answer, whatever the other's was: the connection goes on.
      const id = `alive-${(asked += 1)}`;
      socket.send(modernFrame("server/discover", {}, id));
      await eventually(() => expect(socket.messages.some((each) => each.id === id)).toBe(true));
      for (const each of socket.messages.slice(before)) if (each.method === undefined) expectSound(each);
      expect(socket.closed).toBeUndefined();
    }),
    { numRuns: RUNS },
  );
  socket.close();
}, 60_000);

test(`${RUNS} messages of anything to one stream of HTTP+SSE: protocol errors, and it lives`, async () => {
  const reader = await readEvents(installation.url("/mcp/sse"));
  const endpoint = await eventually(() => (expect(reader.events).toHaveLength(1), reader.events[0]!.data));
  const post = (text: string) => postMcp({ url: installation.url(endpoint), token: "token" }, text);
  const initialize = { protocolVersion: "2024-11-05", capabilities: {}, clientInfo: { name: "n", version: "1" } };
  expect(
    (await post(JSON.stringify({ jsonrpc: "2.0", id: "i", method: "initialize", params: initialize }))).status,
  ).toBe(202);
  // 202 says that it was taken; the session is there when it is answered.
  await eventually(() => expect(reader.messages.some((each) => each.id === "i")).toBe(true));
  let asked = 0;
  await fc.assert(
    fc.asyncProperty(message, async (text) => {
      const { status, last } = await post(text);
      expect([202, 400]).toContain(status);
      if (status === 400) expectSound(last);
      const id = `alive-${(asked += 1)}`;
      expect((await post(JSON.stringify({ jsonrpc: "2.0", id, method: "ping" }))).status).toBe(202);
      await eventually(() => expect(reader.messages.some((each) => each.id === id)).toBe(true));
      expect(reader.ended).toBe(false);
    }),
    { numRuns: RUNS },
  );
  for (const each of reader.messages) if (each.method === undefined) expectSound(each);
}, 60_000);

test(`${RUNS} batches of anything: an answer for each that is one, or a protocol error`, async () => {
  const session = await beginSession(installation, { protocol: "2025-03-26" });
  const isJson = (text: string) => {
    try {
      JSON.parse(text);
      return true;
    } catch {
      return false;
    }
  };
  await fc.assert(
    fc.asyncProperty(fc.array(message.filter(isJson), { maxLength: 8 }), async (texts) => {
      const { status, messages } = await session.post(`[${texts.join(",")}]`);
      expect([200, 202, 400]).toContain(status);
      for (const each of messages.flat()) if (each.method === undefined) expectSound(each);
    }),
    { numRuns: RUNS },
  );
}, 60_000);

test(`${RUNS} ids of anything to resume from: never more than a stream`, async () => {
  const session = await beginSession(installation);
  const place = fc.oneof(
    fc.string({ unit: "grapheme-ascii", maxLength: 60 }),
    fc
      .tuple(fc.uuid({ version: 7 }), fc.oneof(fc.nat(), fc.string({ unit: "grapheme-ascii", maxLength: 5 })))
      .map((parts) => parts.join(".")),
    fc.bigInt().map((number) => `s.${number}`),
  );
  await fc.assert(
    fc.asyncProperty(place, async (lastEventId) => {
      const reader = await session.listen({ lastEventId: lastEventId.trim() });
      expect([200, 400]).toContain(reader.status);
      expect(reader.events).toEqual([]);
      reader.cut();
    }),
    { numRuns: RUNS },
  );
}, 60_000);
