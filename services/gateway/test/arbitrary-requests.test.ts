import { request } from "node:http";
import { openLife } from "@tollgate/service";
import { eventually, legacyClient, modernClient, testLog, useInfrastructure } from "@tollgate/testkit";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { startRunner } from "./answering-runner.ts";
import { startSurroundings } from "./running-gateway.ts";

const RUNS = 200;
const VERSION = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES = "io.modelcontextprotocol/clientCapabilities";
const CLIENT = "io.modelcontextprotocol/clientInfo";

const infra = useInfrastructure();
const life = openLife(testLog);
let port: number;
let session: string;
let sentCount = 0;

beforeAll(async () => {
  const around = await startSurroundings(infra, life);
  await startRunner(infra, { group: "demo", life });
  // Whoever fails too often from one address is answered slowly: each request is from another.
  port = (await around.startGateway({ requestTimeoutMs: 2_000, trustedProxies: "127.0.0.0/8" as never })).httpPort;
  await eventually(async () => expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(200));
  session = (await legacyClient({ url: `http://127.0.0.1:${port}/mcp`, token: "token" })).session;
});
afterAll(() => life.close());
afterEach(async () => {
  expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
  const client = modernClient({ url: `http://127.0.0.1:${port}/mcp`, token: "token" });
  expect((await client.request("tools/call", { name: "one__echo" })).last.result.content[0].text).toBe("done");
});

interface Sent {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string;
}

/** With node:http, which sends what fetch would not: any header, and a body with every method. */
function send({ method, path, headers, body }: Sent): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: "127.0.0.1", port, agent: false, method, path }, (response) => {
      response.resume().on("end", () => resolve(response.statusCode!));
    });
    for (const [name, value] of Object.entries(headers)) if (value !== undefined) sent.setHeader(name, value);
    sent.setHeader("content-length", Buffer.byteLength(body));
    sent.setHeader("x-forwarded-for", `10.0.${Math.floor(sentCount / 250)}.${sentCount % 250}`);
    sentCount += 1;
    sent.on("error", reject);
    sent.end(body);
  });
}

/** Sends them all, and returns how many were answered with which status. */
async function sendAll(requests: fc.Arbitrary<Sent>): Promise<Map<number, number>> {
  const statuses = new Map<number, number>();
  await fc.assert(
    fc.asyncProperty(requests, async (each) => {
      const status = await send(each);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      expect(status).toBeLessThan(500);
    }),
    { numRuns: RUNS },
  );
  return statuses;
}

/** Values that code which does not look first trips over. */
const odd = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom<unknown>({ toString: 1 }, { valueOf: 1 }, [], {}, null, "", -0, 1e308),
);
const methods = [
  "initialize",
  "ping",
  "tools/list",
  "tools/call",
  "prompts/get",
  "resources/read",
  "resources/subscribe",
  "completion/complete",
  "logging/setLevel",
  "tasks/get",
  "server/discover",
  "notifications/cancelled",
];
const members = (...names: string[]) => fc.dictionary(fc.constantFrom(...names), odd, { maxKeys: 4 });

const text = fc
  .array(fc.integer({ min: 0x20, max: 0xff }), { maxLength: 60 })
  .map((codes) => String.fromCharCode(...codes.filter((code) => code !== 0x7f)));
const header = (...usual: string[]) => fc.option(fc.oneof(fc.constantFrom(...usual), text), { nil: undefined });
const deep = fc.integer({ min: 1, max: 20_000 });

const anything: fc.Arbitrary<Sent> = fc.record({
  method: fc.constantFrom("POST", "POST", "POST", "GET", "DELETE", "PUT", "OPTIONS"),
  path: fc.constantFrom(
    "/mcp",
    "/mcp",
    "/mcp/demo",
    "/mcp/demo/one",
    "/mcp/__proto__",
    "/mcp/%ff",
    "/mcp//",
    "/mcp/a/b/c",
  ),
  headers: fc.record({
    authorization: fc.oneof(fc.constant("Bearer token"), fc.constant("Bearer token"), text),
    accept: header("application/json, text/event-stream", "*/*"),
    "content-type": header("application/json", "text/plain"),
    "mcp-protocol-version": header("2026-07-28", "2025-11-25"),
    "mcp-method": header(...methods),
    "mcp-name": header("one__echo", "=?base64?/w==?="),
    "mcp-session-id": header("none"),
    origin: header("http://localhost"),
  }),
  body: fc.oneof(
    members("jsonrpc", "id", "method", "params", "result", "error").map((each) => JSON.stringify(each)),
    fc.jsonValue().map((each) => JSON.stringify(each)),
    fc.string({ unit: "binary", maxLength: 500 }),
    deep.map((depth) => "[".repeat(depth)),
    deep.map((depth) => `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`),
  ),
});

/** Right in what is checked first, so that what is odd gets far. */
const params = fc
  .tuple(
    members("name", "uri", "ref", "taskId", "level", "arguments", "cursor", "requestId", "requestState", "clientInfo"),
    members("progressToken", "traceparent", CLIENT, "__proto__"),
    fc.constantFrom({}, { name: "one__echo" }, { name: "one__echo", arguments: { a: 1 } }, { name: "one__" }),
    fc.constantFrom({}, { clientInfo: { name: "n", version: { toString: 1 } } }, { requestId: { toString: 1 } }),
  )
  .map(([given, _meta, ...usual]) => Object.assign(given, ...usual, { _meta }) as { name?: unknown; _meta: object });
const usualHeaders = {
  authorization: "Bearer token",
  accept: "application/json, text/event-stream",
  "content-type": "application/json",
};
const frame = (id: unknown, method: string, given: object) =>
  JSON.stringify({ jsonrpc: "2.0", ...(method.startsWith("notifications/") ? {} : { id }), method, params: given });
const id = fc.oneof(fc.integer(), fc.string(), fc.double({ noNaN: true, noDefaultInfinity: true }));

const modern = fc
  .tuple(fc.constantFrom(...methods), params, id, odd)
  .map(([method, given, requestId, version]): Sent => {
    const client = { [CLIENT]: { name: "n", version } };
    const whole = { ...given, _meta: { ...client, ...given._meta, [VERSION]: "2026-07-28", [CAPABILITIES]: {} } };
    const named = typeof given.name === "string" ? { "mcp-name": base64(given.name) } : { "mcp-name": "x" };
    const headers = { ...usualHeaders, "mcp-protocol-version": "2026-07-28", "mcp-method": method, ...named };
    return { method: "POST", path: "/mcp", headers, body: frame(requestId, method, whole) };
  });
const legacy = fc.tuple(fc.constantFrom(...methods), params, id).map(([method, given, requestId]): Sent => ({
  method: "POST",
  path: "/mcp",
  headers: { ...usualHeaders, "mcp-session-id": session },
  body: frame(requestId, method, given),
}));

function base64(name: string): string {
  return `=?base64?${Buffer.from(name).toString("base64")}?=`;
}

test(`${RUNS} requests of anything: none is an internal error, none ends the gateway`, async () => {
  expect((await sendAll(anything)).size).toBeGreaterThan(3);
}, 60_000);

test.each([
  ["modern", modern],
  ["legacy", legacy],
])(
  `${RUNS} %s requests that are nearly right: neither`,
  async (_era, requests) => {
    const statuses = await sendAll(requests);
    // They got past the door.
    expect(statuses.get(200)).toBeGreaterThan(RUNS / 4);
  },
  60_000,
);
