/**
 * A stdio MCP server for tests, with a tool for each way a server can behave. It speaks raw JSON-RPC, so that it can
 * also misbehave. Run it with `node fixture-server.ts`; environment:
 * - FIXTURE_ERA: `legacy` (default) or `modern`
 * - FIXTURE_COUNT_FILE: `count` appends one line to it per execution: what really ran, whatever was answered
 * - FIXTURE_START: `exit` (ends at once), `hang` (never answers)
 */
import { spawn } from "node:child_process";
import { appendFileSync } from "node:fs";
import { createInterface } from "node:readline";

interface Message {
  readonly id?: string | number;
  readonly method?: string;
  readonly params?: {
    readonly name?: string;
    readonly arguments?: Record<string, unknown>;
    readonly _meta?: Record<string, unknown>;
    readonly requestId?: unknown;
  };
}

const env = process.env;
const modern = env["FIXTURE_ERA"] === "modern";
const serverInfo = { name: "fixture", version: "1.0.0" };
const cancelled = new Set<unknown>();

const READ_ONLY = { readOnlyHint: true, idempotentHint: true };
const TOOLS = [
  { name: "echo", annotations: READ_ONLY, "x-unknown": { kept: 1 } },
  { name: "count", description: "Appends a line to the count file, then waits `ms`; may not run twice." },
  { name: "sleep", annotations: READ_ONLY, description: "Answers after `ms`; stops early when cancelled." },
  { name: "progress", annotations: READ_ONLY, description: "Reports progress `steps` times." },
  { name: "fail", description: "Answers with isError." },
  { name: "error", description: "Answers with a JSON-RPC error." },
  { name: "crash", description: "Ends the process without an answer." },
  { name: "garbage", description: "Writes lines that are no JSON-RPC, then answers." },
  { name: "flood", description: "Writes one line of `bytes`." },
  { name: "env", annotations: READ_ONLY, description: "Its environment, its pid and that of a child it has started." },
].map((tool) => ({ inputSchema: { type: "object" }, ...tool }));

function send(message: object): void {
  process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
}

function reply(id: Message["id"], result: object): void {
  send({ id, result: modern ? { ...result, resultType: "complete" } : result });
}

function text(id: Message["id"], value: string, more: object = {}): void {
  reply(id, { content: [{ type: "text", text: value }], ...more });
}

const pause = (ms: unknown) => new Promise((resolve) => setTimeout(resolve, Number(ms ?? 0)));

async function callTool({ id, params }: Message): Promise<void> {
  const args = params?.arguments ?? {};
  switch (params?.name) {
    case "echo":
      return text(id, String(args["message"]), { arguments: args, _meta: { received: params._meta } });
    case "count":
      appendFileSync(env["FIXTURE_COUNT_FILE"] ?? "/dev/null", `${JSON.stringify(args["n"])}\n`);
      await pause(args["ms"]);
      return text(id, "counted");
    case "sleep":
      for (let left = Number(args["ms"]); left > 0 && !cancelled.has(id); left -= 20) await pause(Math.min(20, left));
      if (cancelled.delete(id)) process.stderr.write(`cancelled ${String(id)}\n`);
      return text(id, "slept");
    case "progress": {
      const progressToken = params._meta?.["progressToken"];
      for (let step = 1; step <= Number(args["steps"]); step++) {
        if (progressToken !== undefined)
          send({ method: "notifications/progress", params: { progressToken, progress: step, total: args["steps"] } });
        await pause(5);
      }
      return text(id, "done");
    }
    case "fail":
      return text(id, "it did not work", { isError: true });
    case "error":
      return send({ id, error: { code: -32050, message: "own error", data: { kept: true } } });
    case "crash":
      return process.exit(3);
    case "garbage":
      process.stdout.write('not json\n{"jsonrpc":"1.0"}\n[1,2]\n{"jsonrpc":"2.0","id":999999,"result":{}}\n');
      return text(id, "after the garbage");
    case "flood":
      return text(id, "x".repeat(Number(args["bytes"])));
    case "env": {
      const child = spawn("sleep", ["300"], { stdio: "ignore" });
      return text(id, JSON.stringify({ env, pid: process.pid, child: child.pid }));
    }
    default:
      return send({ id, error: { code: -32602, message: `unknown tool ${String(params?.name)}` } });
  }
}

async function handle(message: Message): Promise<void> {
  const { id, method, params } = message;
  if (method === "notifications/cancelled") return void cancelled.add(params?.requestId);
  if (id === undefined) return;
  if (modern && params?._meta?.["io.modelcontextprotocol/protocolVersion"] !== "2026-07-28")
    return send({
      id,
      error: { code: method === "initialize" ? -32601 : -32602, message: "the _meta envelope is missing" },
    });
  switch (method) {
    case "server/discover":
      if (!modern) break;
      return reply(id, {
        supportedVersions: ["2026-07-28"],
        capabilities: { tools: {} },
        ttlMs: 0,
        cacheScope: "private",
        _meta: { "io.modelcontextprotocol/serverInfo": serverInfo },
      });
    case "initialize":
      return reply(id, { protocolVersion: "2025-11-25", capabilities: { tools: {} }, serverInfo });
    case "tools/list":
      return reply(id, { tools: TOOLS, ...(modern ? { ttlMs: 0, cacheScope: "private" } : {}) });
    case "tools/call":
      return callTool(message);
    default:
  }
  send({ id, error: { code: -32601, message: "Method not found" } });
}

if (env["FIXTURE_START"] === "exit") {
  process.stderr.write("fixture: cannot open its database\n");
  process.exit(4);
}
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  if (env["FIXTURE_START"] !== "hang") void handle(JSON.parse(line) as Message);
});
