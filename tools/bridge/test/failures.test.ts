import { createServer } from "node:net";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { INITIALIZE, legacy, modern, TOKEN, useBridge } from "./bridge.ts";
import { json, openStream, resultFor } from "./endpoint.ts";

const bench = useBridge();

/** A port where nothing listens. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test("answers every request when the gateway is down, with its id in its type", async () => {
  const port = await freePort();
  const bridge = bench.start(undefined, { args: ["--url", `http://127.0.0.1:${port}/mcp`, "--token", TOKEN] });
  bridge.send(
    INITIALIZE,
    legacy('"x"', "tools/list"),
    modern(12, "tools/call", '"name":"a"'),
    modern("12345678901234567890", "ping"),
  );
  for (const id of [0, "x", 12]) {
    const { error } = await bridge.answer(id);
    expect(error).toMatchObject({ code: -32008, data: { code: "unavailable", retryable: true } });
    expect(error.message).toContain(`cannot reach the gateway at http://127.0.0.1:${port}`);
  }
  await vi.waitFor(() => expect(bridge.lines).toHaveLength(4));
  expect(bridge.lines.some((line) => line.includes('"id":12345678901234567890,'))).toBe(true);
});

test("knows of every kind of URL that a call has not reached the gateway", async () => {
  const port = await freePort();
  for (const scheme of ["https", "ws", "wss"]) {
    const bridge = bench.start(undefined, { args: ["--url", `${scheme}://127.0.0.1:${port}/mcp`, "--token", TOKEN] });
    bridge.send(modern(1, "tools/call", '"name":"a"'));
    const { error } = await bridge.answer(1);
    expect(error).toMatchObject({ code: -32008, data: { code: "unavailable", retryable: true } });
    expect(error.message).toContain(`cannot reach the gateway at ${scheme}://127.0.0.1:${port}`);
  }
});

test("waits for a gateway that comes up, tools/call included: nothing had been sent", async () => {
  await useFile("logging: { level: info }");
  const port = await freePort();
  const bridge = bench.start(undefined, { args: ["--url", `http://127.0.0.1:${port}/mcp`, "--token", TOKEN] });
  bridge.send(modern(1, "tools/call", '"name":"a"'));
  await vi.waitFor(() => expect(bridge.stderr()).toContain("attempt 2 in"));
  const endpoint = await bench.endpoint((received, response) => json(response, resultFor(received)), port);
  expect((await bridge.answer(1))["result"]).toEqual({});
  expect(endpoint.received).toHaveLength(1);
  await rm(join(bench.home, ".mcp-bridge"), { recursive: true });
});

test("never sends a tool call twice when the connection breaks before its answer", async () => {
  const endpoint = await bench.endpoint((_received, response) => void response.socket?.destroy());
  const bridge = bench.start(endpoint);
  bridge.send(modern(1, "tools/call", '"name":"a"'));
  expect((await bridge.answer(1))["error"]).toMatchObject({
    code: -32009,
    data: { code: "outcome_unknown", retryable: false },
  });
  expect(endpoint.received).toHaveLength(1);
});

test("a stream that ends without an answer is no silence either", async () => {
  const endpoint = await bench.endpoint((_received, response) => {
    openStream(response)('{"jsonrpc":"2.0","method":"notifications/message","params":{}}');
    response.end();
  });
  const bridge = bench.start(endpoint);
  bridge.send(modern(1, "tools/call", '"name":"a"'), modern(2, "resources/read", '"uri":"a"'));
  expect((await bridge.answer(1))["error"].code).toBe(-32009);
  expect((await bridge.answer(2))["error"].code).toBe(-32008);
  expect(endpoint.received).toHaveLength(2);
});

test("sends again what is safe to send again", async () => {
  let times = 0;
  const endpoint = await bench.endpoint((received, response) => {
    if (++times <= 2) return void response.socket?.destroy();
    json(response, resultFor(received));
  });
  const bridge = bench.start(endpoint);
  bridge.send(modern(1, "tools/list"));
  expect((await bridge.answer(1))["result"]).toEqual({});
  expect(endpoint.received).toHaveLength(3);
});

test("keeps to Retry-After, and to the gateway's word that a call was not taken in", async () => {
  const seen = new Map<unknown, number>();
  const busy = (id: number, retryable: boolean) =>
    `{"jsonrpc":"2.0","id":${id},"error":{"code":-32005,"message":"busy","data":{"retryable":${retryable}}}}`;
  const endpoint = await bench.endpoint((received, response) => {
    const id = received.message["id"] as number;
    const times = (seen.get(id) ?? 0) + 1;
    seen.set(id, times);
    if (id === 1 && times === 1) return json(response, "{}", 503, { "retry-after": "1" });
    if (id === 2 && times === 1) return json(response, busy(2, true), 429);
    if (id === 3) return json(response, busy(3, false), 429);
    json(response, resultFor(received));
  });
  const bridge = bench.start(endpoint);
  const started = Date.now();
  bridge.send(...[1, 2, 3].map((id) => modern(id, "tools/call", '"name":"a"')));
  expect((await bridge.answer(3))["error"]).toEqual({ code: -32005, message: "busy", data: { retryable: false } });
  expect((await bridge.answer(2))["result"]).toEqual({});
  expect((await bridge.answer(1))["result"]).toEqual({});
  expect(Date.now() - started).toBeGreaterThanOrEqual(1_000);
  expect([...seen.values()]).toEqual([2, 2, 1]);
});

test("forwards the gateway's own errors, and explains the others", async () => {
  const own = '{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no such method","data":{"x":1.0}}}';
  const endpoint = await bench.endpoint((received, response) => {
    const id = received.message["id"];
    if (id === 1) return json(response, own, 404);
    if (id === 2) return json(response, '{"error":"invalid_token","error_description":"the token has expired"}', 401);
    if (id === 3) return json(response, '{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"too odd"}}', 400);
    if (id === 4) return void response.writeHead(200, { "content-type": "text/html" }).end("<html>");
    if (id === 5) return void response.writeHead(302, { location: "https://elsewhere.example/" }).end();
    if (id === 6) return json(response, '{"jsonrpc":"2.0","id":999,"result":{}}');
    response.writeHead(id === 7 ? 404 : 500).end();
  });
  const bridge = bench.start(endpoint);
  bridge.send(...[1, 2, 3, 4, 5, 6, 7, 8].map((id) => modern(id, "tools/call", '"name":"a"')));
  await bridge.answer(1);
  expect(bridge.lines).toContain(own);
  expect((await bridge.answer(2))["error"]).toMatchObject({
    code: -32001,
    message: 'the gateway refused the token (401): the token has expired; run "tollgate-bridge doctor"',
  });
  expect((await bridge.answer(3))["error"]).toEqual({ code: -32600, message: "too odd" });
  expect((await bridge.answer(4))["error"].code).toBe(-32009);
  expect((await bridge.answer(5))["error"].message).toContain("https://elsewhere.example/");
  expect((await bridge.answer(6))["error"].code).toBe(-32009);
  expect((await bridge.answer(7))["error"].message).toContain("check the URL's path");
  expect((await bridge.answer(8))["error"]).toMatchObject({ code: -32008, data: { retryable: false } });
  expect(endpoint.received).toHaveLength(8);
  expect(bridge.stderr()).not.toContain(TOKEN);
});

test("gives up on a gateway that falls silent, but not on a subscription", async () => {
  await useFile("connection: { timeout_seconds: 1 }");
  const endpoint = await bench.endpoint((received, response) => {
    if (received.message["method"] === "ping") openStream(response);
    if (received.message["method"] === "subscriptions/listen") {
      const send = openStream(response);
      setTimeout(() => send('{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}'), 2_000);
    }
  });
  const bridge = bench.start(endpoint);
  bridge.send(modern(1, "ping"), modern(2, "tools/call", '"name":"a"'), modern('"listen:0"', "subscriptions/listen"));
  expect((await bridge.answer(1))["error"].code).toBe(-32007);
  expect((await bridge.answer(2))["error"].code).toBe(-32009);
  await vi.waitFor(() => expect(bridge.lines).toHaveLength(3), { timeout: 5_000 });
  expect(bridge.lines[2]).toContain("list_changed");
  await rm(join(bench.home, ".mcp-bridge"), { recursive: true });
}, 15_000);

test("serves the kept list of tools when the gateway is gone, marked, and only if told to keep it", async () => {
  await useFile("connection: { retry_attempts: 0 }\n  cache: { enabled: true, directory: ~/kept }");
  const result = '{"tools":[{"name":"a","x":1.0}],"_meta":{"k":12345678901234567890}}';
  const endpoint = await bench.endpoint((received, response) => json(response, resultFor(received, result)));
  const bridge = bench.start(endpoint);
  bridge.send(modern(1, "tools/list"));
  await bridge.answer(1);
  await vi.waitFor(async () =>
    expect(await readdir(join(bench.home, "kept"))).toEqual([expect.stringMatching(/json$/)]),
  );
  await endpoint.close();
  bridge.send(modern('"two"', "tools/list"), modern(3, "tools/list", '"cursor":"next"'));
  await bridge.answer("two");
  expect(bridge.lines).toContain(
    '{"jsonrpc":"2.0","id":"two","result":{"tools":[{"name":"a","x":1.0}],"_meta":{"k":12345678901234567890,"tollgate/cached":true}}}',
  );
  expect((await bridge.answer(3))["error"].code).toBe(-32008);
  await rm(join(bench.home, ".mcp-bridge"), { recursive: true });
});

async function useFile(settings: string): Promise<void> {
  await mkdir(join(bench.home, ".mcp-bridge"), { recursive: true });
  await writeFile(join(bench.home, ".mcp-bridge", "config.yaml"), `bridge:\n  ${settings}\n`);
}
