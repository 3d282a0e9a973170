import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { SERVER_PROGRAM } from "../src/fixture-process.ts";

const ANSWER_TIMEOUT_MS = 10_000;
const MODERN = "2026-07-28";

export interface StdioClient {
  /** Resolves with the whole answer, be it a result or an error. */
  readonly request: (method: string, params?: Record<string, unknown>, id?: string | number) => Promise<any>;
  readonly call: (tool: string, args?: Record<string, unknown>, more?: Record<string, unknown>) => Promise<any>;
  readonly notify: (method: string, params?: Record<string, unknown>) => void;
  /** Every notification and request of the server's, in order. */
  readonly received: any[];
  /** What this client answers the server's requests with, by their method. */
  readonly answers: Map<string, (params: any) => object>;
  /** What the server has written to its standard error. */
  readonly errors: () => string;
  readonly stop: () => Promise<void>;
}

/** Speaks raw JSON-RPC lines, so that no library makes anything nicer than it is. */
export function startStdio(...words: string[]): StdioClient {
  const child = spawn(process.execPath, [SERVER_PROGRAM, ...words], { stdio: ["pipe", "pipe", "pipe"] });
  const waiting = new Map<unknown, (answer: any) => void>();
  const received: any[] = [];
  const answers = new Map<string, (params: any) => object>();
  let errors = "";
  let nextId = 1;
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  const send = (message: object) => child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);

  createInterface({ input: child.stdout }).on("line", (line) => {
    const message = JSON.parse(line);
    if (message.method === undefined) return waiting.get(message.id)?.(message);
    received.push(message);
    const answer = answers.get(message.method);
    if (message.id !== undefined && answer !== undefined) send({ id: message.id, result: answer(message.params) });
  });

  const request: StdioClient["request"] = (method, params = {}, id = nextId++) => {
    const answered = Promise.withResolvers<any>();
    const timer = setTimeout(() => answered.reject(new Error(`no answer to ${method}`)), ANSWER_TIMEOUT_MS);
    waiting.set(id, answered.resolve);
    send({ id, method, params });
    return answered.promise.finally(() => clearTimeout(timer));
  };
  return {
    request,
    call: (name, args = {}, more = {}) => request("tools/call", { name, arguments: args, ...more }),
    notify: (method, params = {}) => void send({ method, params }),
    received,
    answers,
    errors: () => errors,
    stop: async () => {
      child.stdin.end();
      if (child.exitCode === null) await once(child, "exit");
    },
  };
}

export async function startLegacyStdio(
  options: { args?: string[]; revision?: string; capabilities?: object } = {},
): Promise<StdioClient & { readonly initialized: any }> {
  const { args = [], revision = "2025-11-25", capabilities = {} } = options;
  const client = startStdio("--era", "legacy", ...args);
  const clientInfo = { name: "test", version: "1.0" };
  const initialized = await client.request("initialize", { protocolVersion: revision, capabilities, clientInfo });
  client.notify("notifications/initialized");
  return { ...client, initialized };
}

/** Puts what every modern request carries into its parameters. */
export function startModernStdio(capabilities: object = {}, ...args: string[]): StdioClient {
  const client = startStdio("--era", "modern", ...args);
  const envelope = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": capabilities,
  };
  const request: StdioClient["request"] = (method, params = {}, id) =>
    client.request(method, { ...params, _meta: { ...envelope, ...(params["_meta"] as object) } }, id);
  return {
    ...client,
    request,
    call: (name, args_ = {}, more = {}) => request("tools/call", { name, arguments: args_, ...more }),
  };
}
