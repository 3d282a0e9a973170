import { once } from "node:events";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { afterEach, expect, test } from "vitest";
import { WebSocket } from "ws";
import { type FixtureProcess, startFixture } from "../src/fixture-process.ts";
import { initialize, openSession, post } from "./http-client.ts";

const running: FixtureProcess[] = [];
async function start(...args: string[]): Promise<string> {
  const fixture = await startFixture(...args);
  running.push(fixture);
  return fixture.url;
}
afterEach(async () => {
  await Promise.all(running.splice(0).map((each) => each.stop()));
});

/** Each event of a stream, as its fields. */
async function* eventsOf(response: Response): AsyncGenerator<any> {
  let event: Record<string, string> = {};
  for await (const line of createInterface({ input: Readable.fromWeb(response.body as never) })) {
    const [, field, value] = /^(\w+): ?(.*)$/.exec(line) ?? [];
    if (field !== undefined) event[field] = value!;
    else if (line === "") {
      yield event;
      event = {};
    }
  }
}

test("an HTTP session begins with initialize, ends with DELETE and is then unknown", async () => {
  const url = await start("--era", "legacy", "--transport", "http");
  expect((await post(url, { id: 2, method: "ping" })).status).toBe(400);
  const client = await openSession(url);
  expect(client.opened.result.protocolVersion).toBe("2025-11-25");
  expect((await client.request("ping")).last.result).toEqual({});
  expect((await fetch(url, { method: "DELETE", headers: client.headers })).status).toBe(200);
  expect((await client.request("ping")).status).toBe(404);
});

test("a call whose stream was closed is answered on another, to whoever names the last event", async () => {
  const url = await start("--era", "legacy", "--transport", "http");
  const session = await openSession(url);
  const headers = { ...session.headers, accept: "application/json, text/event-stream" };
  const body = JSON.stringify({ jsonrpc: "2.0", id: "r", method: "tools/call", params: { name: "test_reconnection" } });
  const posted = await fetch(url, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body,
  });
  const events = await eventsOf(posted).next();
  expect(events.value).toEqual({ id: expect.any(String), retry: "200", data: "" });

  const resumed = await fetch(url, { headers: { ...headers, "last-event-id": events.value["id"] } });
  const { value } = await eventsOf(resumed).next();
  expect(JSON.parse(value["data"])).toMatchObject({ id: "r", result: { content: [{ type: "text" }] } });
});

test("a web page elsewhere does not reach it", async () => {
  const url = await start("--era", "both", "--transport", "http");
  const refused = await post(url, initialize, { origin: "http://evil.example.com" });
  expect(refused.status).toBe(403);
  const taken = await post(url, initialize, { origin: "http://localhost:1" });
  expect(taken.status).toBe(200);
});

test("HTTP+SSE tells where to post, and answers on the stream", async () => {
  const url = await start("--era", "legacy", "--transport", "sse", "--revision", "2024-11-05");
  const leave = new AbortController();
  const events = eventsOf(await fetch(url, { signal: leave.signal }));
  const { value: first } = await events.next();
  expect(first).toEqual({ event: "endpoint", data: expect.stringMatching(/^\/messages\?sessionId=/) });
  const posted = await fetch(new URL(first["data"], url), {
    method: "POST",
    body: JSON.stringify({ jsonrpc: "2.0", ...initialize }),
  });
  expect(posted.status).toBe(202);
  const { value: answer } = await events.next();
  expect(JSON.parse(answer["data"])).toMatchObject({ id: 0, result: { protocolVersion: "2024-11-05" } });
  leave.abort();
});

test("WebSocket serves either era, under the subprotocol mcp", async () => {
  const url = await start("--era", "both", "--transport", "ws");
  const ask = async (message: object): Promise<any> => {
    const socket = new WebSocket(url, "mcp");
    await once(socket, "open");
    socket.send(JSON.stringify({ jsonrpc: "2.0", ...message }));
    const [data] = (await once(socket, "message")) as [Buffer];
    socket.close();
    return JSON.parse(data.toString());
  };
  expect((await ask(initialize)).result.protocolVersion).toBe("2025-11-25");
  const _meta = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
  };
  const discovered = await ask({ id: "d", method: "server/discover", params: { _meta } });
  expect(discovered.result.supportedVersions).toEqual(["2026-07-28"]);
});
