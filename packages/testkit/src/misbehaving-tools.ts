import { type ChildProcess, spawn } from "node:child_process";
import { type Message, pause, text } from "./fixture-protocol.ts";

// What a server can do to the machine that it runs on. Each stops by itself at a bound that a runner is expected to be
// well below, so that a test that fails leaves the machine as it was.

const LASTS_MAX_MS = 60_000;
const MEMORY_MAX_BYTES = 1024 * 1024 * 1024;
const PROCESSES_MAX = 500;
const OUTPUT_MAX_BYTES = 1024 * 1024 * 1024;
const MIB = 1024 * 1024;
const STEP_MS = 50;

/** In the environment of every process that a tool has started: how a test finds those that are left. */
const CHILD_MARK = { ...process.env, FIXTURE_CHILD: "1" };

export const MISBEHAVING_TOOLS = [
  { name: "leak", description: "Takes `mib` more MiB of memory each second and does not answer." },
  { name: "fork", description: "Starts processes without end, some in groups of their own, and does not answer." },
  { name: "daemon", description: "Answers with the pid of a process in a session of its own that would survive it." },
  { name: "flood_lines", description: "Writes notifications without end and does not answer." },
  { name: "garbage_flood", description: "Writes lines that are no JSON-RPC without end and does not answer." },
  { name: "hang", description: "Blocks its process and does not answer." },
  { name: "ignore_term", description: "Answers, and from then on ends neither by SIGTERM nor with its input." },
  { name: "exhaust_cpu", description: "Works for `ms`; answers with the share of a processor that it got." },
];

export const MISBEHAVE: Record<string, (message: Message, args: Record<string, any>) => unknown> = {
  async leak(_message, args) {
    const perStep = Math.ceil((Number(args["mib"] ?? 128) * MIB * STEP_MS) / 1000);
    const taken: Buffer[] = [];
    // Filled: memory that nobody has written to is none.
    for (let bytes = 0; bytes + perStep <= MEMORY_MAX_BYTES; bytes += perStep) {
      taken.push(Buffer.alloc(perStep, 1));
      await pause(STEP_MS);
    }
    await pause(LASTS_MAX_MS);
    return taken.length;
  },
  async fork() {
    for (let started = 0; started < PROCESSES_MAX; started++) {
      startChild({ detached: started % 10 === 0 });
      await pause(started % 5 === 0 ? 10 : 0);
    }
    await pause(LASTS_MAX_MS);
  },
  daemon({ id }) {
    text(id, String(startChild({ detached: true }).pid));
  },
  flood_lines: () =>
    writeWithoutEnd(
      `${JSON.stringify({ jsonrpc: "2.0", method: "notifications/message", params: { level: "info", data: "x".repeat(1_000) } })}\n`,
    ),
  garbage_flood: () => writeWithoutEnd("this is no JSON-RPC\n"),
  hang() {
    for (const until = Date.now() + LASTS_MAX_MS; Date.now() < until;);
  },
  ignore_term({ id }) {
    process.on("SIGTERM", () => undefined);
    setTimeout(() => process.exit(), LASTS_MAX_MS);
    text(id, "ignoring");
  },
  async exhaust_cpu({ id }, args) {
    const [began, usedBefore] = [performance.now(), process.cpuUsage()];
    const until = began + Math.min(Number(args["ms"] ?? LASTS_MAX_MS), LASTS_MAX_MS);
    while (performance.now() < until) {
      for (const slice = performance.now() + STEP_MS; performance.now() < slice;);
      await pause(0);
    }
    const { user, system } = process.cpuUsage(usedBefore);
    text(id, String((user + system) / 1_000 / (performance.now() - began)));
  },
};

function startChild({ detached }: { detached: boolean }): ChildProcess {
  const child = spawn("sleep", [String(LASTS_MAX_MS / 1_000)], { stdio: "ignore", detached, env: CHILD_MARK });
  // At its limit the server is told that there is no process to be had, and goes on trying.
  child.on("error", () => undefined);
  child.unref();
  return child;
}

async function writeWithoutEnd(line: string): Promise<void> {
  const lines = line.repeat(Math.ceil(16_384 / line.length));
  const until = Date.now() + LASTS_MAX_MS;
  for (let bytes = 0; bytes < OUTPUT_MAX_BYTES && Date.now() < until; bytes += lines.length) {
    if (!process.stdout.write(lines)) await new Promise((resolve) => process.stdout.once("drain", resolve));
    else await pause(0);
  }
}
