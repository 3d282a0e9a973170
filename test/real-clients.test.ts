// Clients as their users run them: each by the routes and transports that it has, with a legacy and a modern server behind the
// gateway. What it shows has to be what the server answers; which steps are left out is what the client cannot do by itself.
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { eventually, useInfrastructure, useSystem } from "@tollgate/testkit";
import { beforeAll, describe, expect, test } from "vitest";
import { type Driver, mcpRemoteProgram, requireClients, runDriver, type Task } from "./clients/driver.ts";
import { expectedReport, type Lists, listsUnder } from "./clients/expected.ts";

requireClients();

const ROOT = join(import.meta.dirname, "..");
const BRIDGE = join(ROOT, "tools", "bridge", "dist", "tollgate-bridge.mjs");
const SERVER = join(ROOT, "tools", "conformance", "src", "server", "main.ts");
const RUN_TIMEOUT_MS = 120_000;

type Era = "legacy" | "modern";
const ERAS = ["legacy", "modern"] as const;
const REVISIONS = { legacy: "2025-11-25", modern: "2026-07-28" } as const;

const infra = useInfrastructure();
const system = useSystem(infra, {
  yaml: `
groups:
  - { id: demo, name: Demo }
mcp_servers:
  - { id: legacy, group: demo, type: node, command: ${SERVER}, args: ["--era", "legacy"] }
  - { id: modern, group: demo, type: node, command: ${SERVER}, args: ["--era", "modern"] }
policies:
  - { name: allow-all, effect: allow, principals: ["token:caller"], actions: ["*"], resources: ["*"] }
`,
});

const LISTS = ["tools", "prompts", "resources", "templates"];
const CALLS = ["call", "content", "failure", "refusal", "prompt", "resource", "template"];
const QUESTIONS = ["elicitation", "sampling", "roots"];
const SDK = ["revision", ...LISTS, ...CALLS, "completion", "progress", ...QUESTIONS, "logging", "updates", "cancel"];
/** It answers forms only, and has nowhere to show progress. It gives a call up by closing what it waits on: modern HTTP alone. */
const AI_SDK = ["revision", ...LISTS, ...CALLS, "completion", "elicitation"];
/** What agents use is tools and resources; it declares no capabilities. */
const OPENAI = ["tools", "resources", "templates", ...without(CALLS, "prompt"), "cancel"];
/** It shows results, knows a tool by its list before it calls it, and nobody is there to answer. */
const INSPECTOR = [...LISTS, ...without(CALLS, "refusal", "content", "template")];

type Way = keyof typeof WAYS;
type Place = Pick<Task, "transport" | "url" | "token" | "command" | "args" | "env">;

/** How a client comes to a route of the gateway. */
const WAYS = {
  http: (path: string): Place => ({ transport: "http", url: at(path), token: system.token }),
  sse: (path: string): Place => ({ transport: "sse", url: `${at(path)}/sse`, token: system.token }),
  websocket: (path: string): Place => ({ transport: "ws", url: socketAt(path), token: system.token }),
  bridge: (path: string) => bridge(at(path)),
  "bridge by WebSocket": (path: string) => bridge(socketAt(path)),
  "mcp-remote http-only": (path: string) => mcpRemote(at(path), "--transport", "http-only"),
  "mcp-remote sse-only": (path: string) => mcpRemote(`${at(path)}/sse`, "--transport", "sse-only"),
  "mcp-remote, modern": (path: string) => mcpRemote(at(path), "--transport", "http-only", "--protocol", "auto"),
} as const;

const at = (path: string) => `${system.gatewayUrl}${path}`;
const socketAt = (path: string) => `${at(path).replace("http", "ws")}/ws`;

function bridge(url: string): Place {
  const env = { TOLLGATE_URL: url, TOLLGATE_TOKEN: system.token };
  return { transport: "stdio", command: process.execPath, args: [BRIDGE], env };
}

function mcpRemote(url: string, ...options: string[]): Place {
  const header = ["--header", "Authorization:${AUTH_HEADER}"];
  const args = [mcpRemoteProgram, url, "--allow-http", ...header, ...options];
  return { transport: "stdio", command: process.execPath, args, env: { AUTH_HEADER: `Bearer ${system.token}` } };
}

interface Client {
  readonly driver: Driver;
  readonly era: Era;
  readonly way: Way;
  readonly steps: readonly string[];
  /** What reaches the gateway, where that is not what the client itself speaks. */
  readonly wire?: Era;
}

const client = (driver: Driver, era: Era, way: Way, steps: readonly string[], wire: Era = era): Client => ({
  driver,
  era,
  way,
  steps,
  wire,
});

const CLIENTS: readonly Client[] = [
  client("sdk-v1", "legacy", "http", SDK),
  client("sdk-v1", "legacy", "sse", SDK),
  client("sdk-v1", "legacy", "websocket", SDK),
  client("sdk-v1", "legacy", "bridge", SDK),
  client("sdk-v1", "legacy", "bridge by WebSocket", SDK),
  client("sdk-v1", "legacy", "mcp-remote http-only", SDK),
  client("sdk-v1", "legacy", "mcp-remote sse-only", SDK),
  // In that mode it sends the cancellation as a notification, which no modern server takes by HTTP, and leaves the call open.
  client("sdk-v1", "legacy", "mcp-remote, modern", without(SDK, "cancel"), "modern"),
  client("sdk-v2", "legacy", "http", SDK),
  client("sdk-v2", "legacy", "sse", SDK),
  client("sdk-v2", "legacy", "bridge", SDK),
  client("sdk-v2", "modern", "http", SDK),
  client("sdk-v2", "modern", "bridge", SDK),
  client("sdk-v2", "modern", "bridge by WebSocket", SDK),
  client("ai-sdk", "legacy", "http", AI_SDK),
  client("ai-sdk", "legacy", "sse", AI_SDK),
  client("ai-sdk", "legacy", "bridge", AI_SDK),
  client("ai-sdk", "modern", "http", [...AI_SDK, "cancel"]),
  client("ai-sdk", "modern", "bridge", AI_SDK),
  client("openai-agents", "legacy", "sse", OPENAI),
  client("openai-agents", "modern", "http", OPENAI),
  client("openai-agents", "modern", "bridge", OPENAI),
  client("inspector", "legacy", "http", INSPECTOR),
  client("inspector", "legacy", "bridge", INSPECTOR),
  client("inspector", "modern", "http", INSPECTOR),
  client("inspector", "modern", "bridge", INSPECTOR),
];

/** What the server lists to a client that comes to it directly. */
const reference: Partial<Record<Era, Lists>> = {};
/** How many calls of `greet` each server has had from clients of each revision: `legacy 2026-07-28`. */
const calls: Record<string, number> = {};
let home = "";

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "tollgate-clients-"));
  await promisify(execFile)(process.execPath, [join(ROOT, "tools", "bridge", "build.mjs")]);
  await eventually(async () => {
    const headers = { authorization: `Bearer ${system.adminToken}` };
    const { items } = (await (await fetch(at("/api/v1/servers"), { headers })).json()) as any;
    expect(items.map((each: any) => each.status)).toEqual(["ready", "ready"]);
  });
  return () => rm(home, { recursive: true, force: true });
});

describe.each(ERAS)("the %s server", (server) => {
  test("itself", async () => {
    const place = { transport: "stdio", command: process.execPath, args: [SERVER, "--era", server], env: {} } as const;
    const task = { ...place, era: server, toolPrefix: "", uriPrefix: "", steps: SDK };
    const report = await runDriver("sdk-v2", task, home);
    const lists = report as unknown as Lists;
    expect(report).toEqual(expectedReport(SDK, { revision: REVISIONS[server], lists, uriPrefix: "" }));
    reference[server] = {
      tools: lists.tools,
      prompts: lists.prompts,
      resources: lists.resources,
      templates: lists.templates,
    };
  });

  test.each(CLIENTS)(
    "$driver, $era, by $way",
    async ({ driver, era, way, steps, wire = era }) => {
      const task = { ...WAYS[way](`/mcp/demo/${server}`), era, toolPrefix: "", uriPrefix: "", steps };
      const report = await runDriver(driver, task, home);
      count(server, wire);
      const lists = reference[server]!;
      expect(report).toEqual(expectedReport(steps, { revision: REVISIONS[era], lists, uriPrefix: "" }));
    },
    RUN_TIMEOUT_MS,
  );
});

/** Where names and uris are rewritten. */
const REWRITTEN = new Set([...LISTS, "call", "prompt", "resource", "template", "completion", "elicitation", "updates"]);

describe.each(ERAS)("all servers, and of them the %s one", (server) => {
  test.each(CLIENTS)(
    "$driver, $era, by $way",
    async ({ driver, era, way, steps: can, wire = era }) => {
      // The inspector looks into the lists before it asks for anything: to print them again would take a process each.
      const isRewritten = (step: string) => REWRITTEN.has(step) && !(driver === "inspector" && LISTS.includes(step));
      const steps = can.filter(isRewritten);
      const [toolPrefix, uriPrefix] = [`${server}__`, `mcp+${server}+`];
      const report = await runDriver(driver, { ...WAYS[way]("/mcp"), era, toolPrefix, uriPrefix, steps }, home);
      count(server, wire);
      const lists = mergedLists();
      expect(report).toEqual(expectedReport(steps, { revision: REVISIONS[era], lists, uriPrefix }));
    },
    RUN_TIMEOUT_MS,
  );
});

test("each client's call is recorded once, with the revision that it speaks", async () => {
  const headers = { authorization: `Bearer ${system.adminToken}` };
  await eventually(async () => {
    const response = await fetch(at("/api/v1/audit/events?tool=greet&limit=200"), { headers });
    const recorded: Record<string, number> = {};
    for (const { server, protocol } of ((await response.json()) as any).items) {
      const key = `${server} ${protocol}`;
      recorded[key] = (recorded[key] ?? 0) + 1;
    }
    expect(recorded).toEqual(calls);
  });
});

function count(server: Era, wire: Era): void {
  const key = `${server} ${REVISIONS[wire]}`;
  calls[key] = (calls[key] ?? 0) + 1;
}

function mergedLists(): Lists {
  const each = ERAS.map((era) => listsUnder({ tool: [`${era}__`], uri: [`mcp+${era}+`] }, reference[era]!));
  const both = (name: keyof Lists) => each.flatMap((lists) => lists[name]).toSorted();
  return { tools: both("tools"), prompts: both("prompts"), resources: both("resources"), templates: both("templates") };
}

function without(steps: readonly string[], ...left: string[]): string[] {
  return steps.filter((step) => !left.includes(step));
}
