import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";

const MAIN = join(import.meta.dirname, "../src/main.ts");

export interface Ended {
  readonly code: number | null;
  readonly output: string;
}

/**
 * Runs the launcher's command line. All that it starts gets the state's folder as its TMPDIR, so that it can be found.
 * npm's INIT_CWD stays out: it would make the paths of a test relative to somewhere else.
 */
export function startLauncher(words: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const state = words.indexOf("--state");
  const child = spawn(process.execPath, [MAIN, ...words], {
    env: {
      PATH: process.env["PATH"],
      HOME: process.env["HOME"],
      ...(state < 0 ? {} : { TMPDIR: words[state + 1] }),
      ...env,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  return { child, ...watch(child) };
}

function watch(child: ChildProcess) {
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding("utf8").on("data", (text: string) => (output += text));
  const ended = new Promise<Ended>((resolve) => child.once("close", (code) => resolve({ code, output })));
  return { ended, output: () => output };
}

export function runLauncher(words: readonly string[], env?: NodeJS.ProcessEnv): Promise<Ended> {
  return startLauncher(words, env).ended;
}

export interface Connect {
  readonly gatewayUrl: string;
  readonly mcpUrl: string;
  readonly token: string;
  readonly adminToken: string;
  readonly natsUrl: string;
  readonly databaseUrl: string;
}

interface Run {
  readonly launcher: { readonly pid: number };
  readonly processes: Readonly<Record<string, { readonly pid: number }>>;
}

/** A state folder of its own; whatever still runs on it at the end of the test file is ended. */
export function useState() {
  const dir = mkdtempSync(join(tmpdir(), "tollgate-launcher-"));
  const read = (name: string): unknown => JSON.parse(readFileSync(join(dir, name), "utf8"));
  afterAll(async () => {
    await runLauncher(["stop", "--state", dir]);
    rmSync(dir, { recursive: true, force: true });
  }, 30_000);
  return {
    dir,
    file: (name: string) => join(dir, name),
    has: (name: string) => existsSync(join(dir, name)),
    connect: () => read("connect.json") as Connect,
    run: () => read("run.json") as Run,
    /** Everything that runs on this state: the launcher, its services, the databases, and the MCP servers. */
    processes: () => processesOf(dir),
  };
}

/** By their command line, environment or folder: none can hide by leaving its group or its parent. */
function processesOf(dir: string): string[] {
  const belongs = (pid: string) =>
    ["cmdline", "environ"].some((file) => textOf(`/proc/${pid}/${file}`).includes(dir)) ||
    linkOf(`/proc/${pid}/cwd`).startsWith(dir);
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid && belongs(name))
    .map((pid) => `${pid} ${textOf(`/proc/${pid}/cmdline`).replaceAll("\0", " ").slice(0, 120)}`);
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
