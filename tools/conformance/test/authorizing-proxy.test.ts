import { once } from "node:events";
import { createServer, type IncomingMessage, request } from "node:http";
import type { AddressInfo } from "node:net";
import { eventually } from "@tollgate/testkit";
import { afterEach, expect, test } from "vitest";
import { startAuthorizingProxy } from "../src/authorizing-proxy.ts";

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop();
});

async function proxied(handle: Parameters<typeof createServer>[1]): Promise<string> {
  const server = createServer(handle);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  stops.push(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  });
  const { url, stop } = await startAuthorizingProxy(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, "t");
  stops.push(stop);
  return url;
}

async function get(url: string, headers: Record<string, string>): Promise<IncomingMessage> {
  const sent = request(url, { headers }).end();
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  return response;
}

test("adds a token, and nothing else, to who has none", async () => {
  const seen: string[][] = [];
  const url = await proxied((received, response) => {
    seen.push(received.rawHeaders);
    response.writeHead(403, "Not So", { "X-Kept": "1" }).end(received.url);
  });
  const response = await get(`${url}/mcp/a?b`, { Host: "evil.example.com", "X-Mixed": "Case" });
  expect([response.statusCode, response.statusMessage, response.headers["x-kept"]]).toEqual([403, "Not So", "1"]);
  expect((await response.toArray()).join("")).toBe("/mcp/a?b");
  const expected = "Host evil.example.com X-Mixed Case Connection keep-alive authorization";
  expect(seen[0]).toEqual([...expected.split(" "), "Bearer t"]);
  await (await get(url, { Authorization: "Bearer own" })).toArray();
  expect(seen[1]).toContain("Bearer own");
  expect(seen[1]).not.toContain("Bearer t");
});

test("passes events on as they come, and a client's leaving as well", async () => {
  let left = false;
  const url = await proxied((_received, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n");
    response.on("close", () => (left = true));
  });
  const response = await get(url, {});
  const [chunk] = (await once(response, "data")) as [Buffer];
  expect(chunk.toString()).toBe("data: 1\n\n");
  expect(left).toBe(false);
  response.destroy();
  await eventually(() => expect(left).toBe(true));
});
