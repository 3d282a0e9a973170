import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { NodeStreamableHTTPServerTransport, toNodeHandler } from "@modelcontextprotocol/node";
import { createMcpHandler, McpServer } from "@modelcontextprotocol/server";
import { publishAnswer } from "@tollgate/bus";
import { runnerOfQuestion } from "@tollgate/contracts";
import { eventually } from "@tollgate/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { assignment } from "./assigning-registry.ts";
import { useRunner } from "./runner-fixture.ts";
import type { CallOptions } from "./traffic.ts";

/** Every request's headers and message, as the server got them. */
const requests: { headers: IncomingMessage["headers"]; message: any }[] = [];
const servers: { close: () => Promise<void> }[] = [];
const urls: Record<string, string> = {};

async function listen(
  handle: (request: IncomingMessage, response: ServerResponse, message: any) => unknown,
): Promise<string> {
  async function receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString();
    const message = body === "" ? undefined : JSON.parse(body);
    requests.push({ headers: request.headers, message });
    await handle(request, response, message);
  }
  const server = createServer((request, response) => void receive(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = () => (
    server.closeAllConnections(),
    new Promise<void>((resolve) => void server.close(() => resolve()))
  );
  servers.push({ close });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`;
}

function mcpServer(): McpServer {
  const server = new McpServer({ name: "sdk", version: "1" }, { capabilities: { logging: {} } });
  const inputSchema = z.object({ region: z.string().meta({ "x-mcp-header": "Region" }).optional() });
  server.registerTool("echo", { inputSchema }, async ({ region }) => ({
    content: [{ type: "text" as const, text: `"${region}"` }],
  }));
  const wrong = z.object({ region: z.string().meta({ "x-mcp-header": "My Region" }) });
  server.registerTool("wrong", { inputSchema: wrong }, async () => ({ content: [] }));
  server.registerTool("roots", {}, async (context: any) => {
    const { roots } = await context.mcpReq.send({ method: "roots/list" });
    return { content: [{ type: "text" as const, text: JSON.stringify(roots) }] };
  });
  return server;
}

let changed = false;

/** Legacy: one transport, and so one server, for each session. */
const sessions = new Map<string, NodeStreamableHTTPServerTransport>();
async function handleLegacy(request: IncomingMessage, response: ServerResponse, message: any): Promise<void> {
  const id = request.headers["mcp-session-id"] as string | undefined;
  const known = id === undefined ? undefined : sessions.get(id);
  if (known) return known.handleRequest(request, response, message);
  if (message?.method !== "initialize") {
    response.writeHead(id === undefined ? 400 : 404).end();
    return;
  }
  const transport = new NodeStreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    onsessioninitialized: (session) => void sessions.set(session, transport),
  });
  await mcpServer().connect(transport);
  await transport.handleRequest(request, response, message);
}

beforeAll(async () => {
  urls["legacy"] = await listen(handleLegacy);
  const modern = toNodeHandler(createMcpHandler(() => mcpServer()));
  urls["modern"] = await listen((request, response, message) => modern(request as any, response, message));
  // What it is, it changes while it runs.
  urls["changing"] = await listen((request, response, message) =>
    changed ? handleLegacy(request, response, message) : modern(request as any, response, message),
  );
});
afterAll(() => Promise.all(servers.map((server) => server.close())));

const remote = (serverId: string) =>
  assignment({
    serverId,
    type: "remote",
    command: "",
    url: urls[serverId]!,
    transport: "streamable-http",
    headers: { "x-key": "secret" },
  });
const { traffic, ask, call, registry } = useRunner(() => [remote("legacy"), remote("modern"), remote("changing")]);
const bound = (session: string, options: CallOptions = {}): CallOptions => ({
  server: "legacy",
  session,
  client: { capabilities: { roots: {} } },
  ...options,
});

describe("a remote server", () => {
  test.each([
    ["legacy", "2025-11-25"],
    ["modern", "2026-07-28"],
  ])("of the %s era is learned and called", async (server, protocol) => {
    const report = registry().reports.find(({ serverId }) => serverId === server);
    expect(report).toMatchObject({ status: "ready", era: server, protocol });
    expect(await call("echo", { server, args: { region: "eu" } })).toBe("eu");
    for (const { headers } of requests) expect(headers["x-key"]).toBe("secret");
  });

  test("that is modern sees arguments in headers where it asks for that", async () => {
    await call("echo", { server: "modern", args: { region: "süd" } });
    const { headers } = requests.findLast(({ message }) => message?.method === "tools/call")!;
    expect(headers).toMatchObject({ "mcp-method": "tools/call", "mcp-name": "echo" });
    expect(headers["mcp-param-region"]).toBe(`=?base64?${Buffer.from("süd").toString("base64")}?=`);
  });

  test("that is modern loses tools whose marks for headers are wrong, and no others", async () => {
    const toolsOf = (server: string) => {
      const { toolDefinitions = [] } = registry().reports.find(({ serverId }) => serverId === server) ?? {};
      return toolDefinitions.map((each) => JSON.parse(each).name);
    };
    expect(toolsOf("modern")).toEqual(["echo", "roots"]);
    expect(toolsOf("legacy")).toEqual(["echo", "wrong", "roots"]);
  });

  test("asks a session's client on the call's own stream", async () => {
    const id = await traffic.send("roots", bound("s-1"));
    const [question] = await eventually(() => {
      expect(traffic.replies(id)).toHaveLength(1);
      return traffic.replies(id);
    });
    const frame = JSON.stringify({ jsonrpc: "2.0", id: question.id, result: { roots: [{ uri: "file:///a" }] } });
    publishAnswer(traffic.bus, runnerOfQuestion(question.id)!, { envelope: { session: "s-1" }, frame });
    const { result } = await traffic.answer(id);
    expect(JSON.parse(result.content[0].text)).toEqual([{ uri: "file:///a" }]);
  });

  test("never sees a client's session id", async () => {
    await call("echo", bound("s-secret"));
    expect(JSON.stringify(requests)).not.toContain("s-secret");
  });

  test("whose sessions have expired gets new ones, and the call again that it has not taken", async () => {
    expect(await call("echo", bound("s-2", { args: { region: "before" } }))).toBe("before");
    sessions.clear();
    // Neither may run twice, and neither has run.
    expect(await call("echo", bound("s-2", { args: { region: "own" } }))).toBe("own");
    expect(await call("echo", { server: "legacy", args: { region: "shared" } })).toBe("shared");
  });

  test("that was replaced by one of the other era is asked again which it is", async () => {
    expect(await call("echo", { server: "changing", args: { region: "modern" } })).toBe("modern");
    changed = true;
    await eventually(async () =>
      expect(await call("echo", { server: "changing", args: { region: "legacy" } })).toBe("legacy"),
    );
    expect(requests.at(-1)!.headers["mcp-session-id"]).toBeDefined();
  });

  test("that is gone is unavailable, and says why", async () => {
    await servers[1]!.close();
    await eventually(async () =>
      expect(await ask("echo", { server: "modern" })).toMatchObject({ error: { data: { code: "unavailable" } } }),
    );
  });
});
