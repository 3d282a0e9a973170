import { mkdtemp, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll } from "vitest";
import { findNatsServer } from "../src/index.ts";

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

export async function eventually(
  check: () => Promise<boolean> | boolean,
  timeoutMs = 10_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error("did not become true in time");
    await delay(20);
  }
}
