import { execFile, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, beforeAll, vi } from "vitest";
import { type Endpoint, type Reply, startEndpoint } from "./endpoint.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
export const bundle = join(root, "dist", "tollgate-bridge.mjs");
export const TOKEN = "secret-token-1";

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Bridge {
  readonly pid: number;
  /** The lines on standard output so far. */
  readonly lines: string[];
  readonly stderr: () => string;
  readonly exited: Promise<Exit>;
  send(...lines: string[]): void;
  sendBytes(bytes: Buffer): void;
  /** The line that answers this id (as spelled), once it is there. */
  answer(id: string | number | null): Promise<Record<string, any>>;
  endInput(): void;
  stopReading(): void;
  signal(name: NodeJS.Signals): void;
}

export interface Run {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

interface Bench {
  home: string;
  endpoint(reply: Reply, port?: number): Promise<Endpoint>;
  /** Starts the bundle with this endpoint's URL and the token, or with exactly the arguments of `run`. */
  start(endpoint: Endpoint | undefined, run?: Run): Bridge;
}

/** Builds the bundle, gives the test file a home of its own, and fails a test that leaves a bridge running. */
export function useBridge(): Bench {
  const endpoints: Endpoint[] = [];
  const running = new Map<number, Bridge>();
  const homes: string[] = [];
  const bench: Bench = {
    home: "",
    async endpoint(reply, port) {
      const endpoint = await startEndpoint(reply, port);
      endpoints.push(endpoint);
      return endpoint;
    },
    start(endpoint, run = {}) {
      const args = run.args ?? ["--url", endpoint?.url ?? "", "--token", TOKEN];
      // What is in this folder's own repository is no matter of these tests.
      const env = { HOME: bench.home, PATH: process.env["PATH"] ?? "", TOLLGATE_TOOL_SET: "off", ...run.env };
      const bridge = spawnBridge(args, { env, cwd: run.cwd });
      running.set(bridge.pid, bridge);
      void bridge.exited.then(() => running.delete(bridge.pid));
      return bridge;
    },
  };
  beforeAll(async () => {
    await promisify(execFile)(process.execPath, [join(root, "build.mjs")]);
    bench.home = await mkdtemp(join(tmpdir(), "bridge-home-"));
    homes.push(bench.home);
    return () => Promise.all(homes.map((home) => rm(home, { recursive: true, force: true })));
  });
  afterEach(async () => {
    for (const bridge of running.values()) bridge.endInput();
    const left = await vi
      .waitFor(
        () => {
          if (running.size > 0) throw new Error("still running");
          return [];
        },
        { timeout: 4_000 },
      )
      .catch(() => [...running.values()]);
    for (const bridge of left) bridge.signal("SIGKILL");
    await Promise.all(endpoints.splice(0).map((endpoint) => endpoint.close()));
    if (left.length > 0) throw new Error(`${left.length} bridge processes did not end when their input did`);
  });
  return bench;
}

interface Place {
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string | undefined;
}

function spawnBridge(args: readonly string[], place: Place): Bridge {
  const child = spawn(process.execPath, [bundle, ...args], { ...place, stdio: ["pipe", "pipe", "pipe"] });
  const lines: string[] = [];
  let rest = "";
  let errors = "";
  child.stdin.on("error", () => {});
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    const parts = (rest + text).split("\n");
    rest = parts.pop() ?? "";
    lines.push(...parts);
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
  return {
    pid: child.pid ?? 0,
    lines,
    stderr: () => errors,
    exited: new Promise((resolve) => child.on("close", (code, signal) => resolve({ code, signal }))),
    send: (...messages) => void child.stdin.write(messages.map((message) => `${message}\n`).join("")),
    sendBytes: (bytes) => void child.stdin.write(bytes),
    answer: (id) =>
      vi.waitFor(
        () => {
          const found = lines
            .map((line) => JSON.parse(line) as Record<string, any>)
            .find((line) => line["id"] === id && !("method" in line));
          if (!found) throw new Error(`no answer to ${id} among ${JSON.stringify(lines)}; ${errors}`);
          return found;
        },
        { timeout: 10_000, interval: 5 },
      ),
    endInput: () => void child.stdin.end(),
    stopReading: () => void child.stdout.destroy(),
    signal: (name) => void child.kill(name),
  };
}

const META =
  '"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}';

/** A modern request; `id` and `params` are raw JSON. */
export function modern(id: string | number, method: string, params = ""): string {
  return `{"jsonrpc":"2.0","id":${id},"method":"${method}","params":{${params}${params === "" ? "" : ","}${META}}}`;
}

export function legacy(id: string | number, method: string, params = "{}"): string {
  return `{"jsonrpc":"2.0","id":${id},"method":"${method}","params":${params}}`;
}

export const INITIALIZE = legacy(
  0,
  "initialize",
  '{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}',
);
export const INITIALIZED = '{"jsonrpc":"2.0","method":"notifications/initialized"}';
