// Runs one of the driver programs beside this file as a process of its own, with everything that it starts.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { eventually } from "@tollgate/testkit";

const RUN_TIMEOUT_MS = 100_000;
const LEFT_OVER_TIMEOUT_MS = 10_000;
const MODULES = join(import.meta.dirname, "node_modules");

export const mcpRemoteProgram: string = join(MODULES, ".bin", "mcp-remote");

const DRIVERS = {
  "sdk-v1": "sdk-v1.mjs",
  "sdk-v2": "sdk-v2.mjs",
  "ai-sdk": "ai-sdk.mjs",
  "openai-agents": "openai-agents.mjs",
  inspector: "inspector.mjs",
} as const;

export type Driver = keyof typeof DRIVERS;

export interface Task {
  readonly era: "legacy" | "modern";
  readonly transport: "http" | "sse" | "ws" | "stdio";
  readonly url?: string;
  readonly token?: string;
  readonly command?: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** What names of tools and prompts, and uris, begin with. */
  readonly toolPrefix: string;
  readonly uriPrefix: string;
  readonly steps: readonly string[];
}

/** @throws Error when the clients are not installed. */
export function requireClients(): void {
  if (!existsSync(join(MODULES, "@modelcontextprotocol", "inspector")))
    throw new Error("the clients in test/clients are not installed: `node tools/bootstrap.mjs test` installs them");
}

/**
 * What came of each step.
 *
 * @throws Error when the program fails, takes longer than RUN_TIMEOUT_MS or leaves a process running.
 */
export async function runDriver(driver: Driver, task: Task, home: string): Promise<Record<string, unknown>> {
  const child = spawn(process.execPath, [join(import.meta.dirname, DRIVERS[driver])], {
    // A group of its own, with which all that the client starts is ended.
    detached: true,
    env: { PATH: process.env["PATH"] ?? "", HOME: home },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const group = child.pid!;
  try {
    child.stdin.end(JSON.stringify(task));
    const signal = AbortSignal.timeout(RUN_TIMEOUT_MS);
    const ended = once(child, "exit", { signal });
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
    if (child.exitCode !== 0) throw new Error(`${driver} ended with ${child.exitCode}:\n${stderr}`);
    await eventually(() => requireEnded(group), { timeoutMs: LEFT_OVER_TIMEOUT_MS });
    return JSON.parse(stdout) as Record<string, unknown>;
  } finally {
    endGroup(group);
  }
}

/** A zombie that nobody has collected yet is over, though its group can still be signalled. */
async function requireEnded(group: number): Promise<void> {
  const { stdout } = await promisify(execFile)("ps", ["-A", "-o", "pgid=,stat=,args="]);
  const left = stdout.split("\n").filter((line) => {
    const [pgid, stat = ""] = line.trim().split(/\s+/);
    return Number(pgid) === group && !stat.startsWith("Z");
  });
  if (left.length > 0) throw new Error(`processes were left running:\n${left.join("\n")}`);
}

function endGroup(group: number): void {
  try {
    process.kill(-group, "SIGKILL");
  } catch {
    // Nothing is left of it.
  }
}
