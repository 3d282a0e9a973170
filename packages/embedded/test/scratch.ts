import { mkdtemp, readdir, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll } from "vitest";
import { findNatsServer } from "../src/index.ts";
import { commandLine } from "../src/process.ts";

/** The test kit's place too: kept between runs, so that only the first on a machine downloads. */
const cacheDir = join(homedir(), ".cache", "tollgate");

export function natsServer(): Promise<string> {
  return findNatsServer({ cacheDir, log: () => undefined });
}

const undo: (() => Promise<unknown>)[] = [];
afterAll(async () => {
  for (const each of undo.toReversed()) await each();
});

/** Ends a server when the test file is done, whatever became of its test. */
export function track<T extends { stop(): Promise<void> }>(server: T): T {
  undo.push(() => server.stop());
  return server;
}

export async function scratchDir(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "tollgate-embedded-"));
  undo.push(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

export async function eventually(check: () => Promise<boolean> | boolean, timeoutMs = 10_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error("did not become true in time");
    await delay(20);
  }
}

/** Every process whose command line names the folder; PostgreSQL's own children show their parent's until they rename. */
export async function processesOf(dir: string): Promise<number[]> {
  const pids = (await readdir("/proc").catch(() => [])).map(Number).filter((pid) => pid > 0);
  const lines = await Promise.all(pids.map(async (pid) => ({ pid, line: await commandLine(pid) })));
  return lines.filter(({ line }) => line?.includes(dir)).map(({ pid }) => pid);
}
