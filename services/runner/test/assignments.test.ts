import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { registryV1 } from "@tollgate/contracts";
import { shareOf } from "@tollgate/fair-queue";
import { eventually, fixtureServer, testLog } from "@tollgate/testkit";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { configSchema } from "../src/config.ts";
import { createPools, type Pools } from "../src/handlers/assignments.ts";
import { createCommandResolver } from "../src/launch/command.ts";
import type { Lease } from "../src/pool/pool.ts";
import { assignment } from "./assigning-registry.ts";
import { useContainment } from "./containment-fixture.ts";
import { isRunning } from "./processes.ts";
import { useTempDir } from "./temp-dir.ts";
import { NO_NEWS, SETTINGS } from "./test-config.ts";

const dir = useTempDir();
const containment = await useContainment(dir);
let pools: Pools;
let reports: Pick<registryV1.ReportServerRequest, "specHash" | "status">[];
beforeEach(() => {
  reports = [];
  const config = configSchema.parse(SETTINGS);
  pools = createPools({
    config: { ...config, baseEnv: process.env },
    resolveCommand: createCommandResolver({ installDir: dir, baseEnv: process.env }),
    containment,
    report: async ({ specHash, status }) => void reports.push({ specHash, status }),
    listenerOf: () => ({ onNotice: () => undefined, onQuestion: () => undefined }),
    newsOf: () => NO_NEWS,
    updatesOf: () => () => undefined,
    log: testLog,
  });
});
afterEach(() => pools.close());

const READY = (specHash: string) => ({ specHash, status: "ready" });
const reported = (...expected: object[]) => eventually(() => expect(reports).toEqual(expected));

function acquire(): Promise<Lease> {
  const facts = { tenant: "acme", principal: "p", protocol: "2025-11-25", method: "tools/call", tool: "echo" };
  const client = { era: "legacy", capabilities: {} } as const;
  return pools.get("fixture")!.acquire({ facts, client, apart: false, share: shareOf("acme") });
}
async function pidNow(): Promise<number> {
  const lease = await acquire();
  lease.release();
  return lease.connection.pid;
}

/** The fixture server, after a while. */
function slow(ms: number): string {
  const script = join(dir, `slow-${ms}.ts`);
  const wait = `await new Promise((resolve) => setTimeout(resolve, ${ms}));\n`;
  writeFileSync(script, `${wait}await import(${JSON.stringify(fixtureServer)});\n`);
  return script;
}

describe("a changed server", () => {
  test("starts before the old one ends, which has the calls meanwhile and finishes its own", async () => {
    pools.apply([assignment({ specHash: "old" })]);
    await reported(READY("old"));
    const lease = await acquire();
    pools.apply([assignment({ specHash: "new", command: slow(800) })]);
    expect(await pidNow()).toBe(lease.connection.pid);
    await reported(READY("old"), READY("new"));
    expect(await pidNow()).not.toBe(lease.connection.pid);
    expect(isRunning(lease.connection.pid)).toBe(true);
    lease.release();
    await eventually(() => expect(isRunning(lease.connection.pid)).toBe(false));
  });

  test("that does not start replaces it when its time to start is over", async () => {
    pools.apply([assignment({ specHash: "old" })]);
    await reported(READY("old"));
    const pid = await pidNow();
    const env = { FIXTURE_START: "exit" };
    pools.apply([assignment({ specHash: "new", env, startupTimeoutMs: 1_000 })]);
    await eventually(() => expect(reports).toContainEqual({ specHash: "new", status: "unavailable" }));
    await eventually(() => expect(isRunning(pid)).toBe(false));
    await expect(acquire()).rejects.toMatchObject({ code: "unavailable" });
  });

  test("that is changed back goes on as it was, and is reported anew", async () => {
    pools.apply([assignment({ specHash: "old" })]);
    await reported(READY("old"));
    const pid = await pidNow();
    pools.apply([assignment({ specHash: "new", command: slow(5_000) })]);
    pools.apply([assignment({ specHash: "old" })]);
    await reported(READY("old"), READY("old"));
    expect(await pidNow()).toBe(pid);
    await eventually(() => expect(pools.processes).toBe(1));
  });
});

test("another generation restarts a server that has not changed", async () => {
  pools.apply([assignment({ generation: 3n })]);
  await eventually(() => expect(reports).toHaveLength(1));
  const pid = await pidNow();
  pools.apply([assignment({ generation: 3n })]);
  expect(await pidNow()).toBe(pid);
  pools.apply([assignment({ generation: 4n })]);
  await eventually(() => expect(isRunning(pid)).toBe(false));
  expect(pools.get("fixture")!.health()).toMatchObject({ generation: 4, starts: 2, restarts: 0 });
  expect(reports.every(({ status }) => status === "ready")).toBe(true);
});

test("a server that is assigned no more ends", async () => {
  pools.apply([assignment()]);
  const lease = await acquire();
  pools.apply([]);
  expect(pools.get("fixture")).toBeUndefined();
  lease.release();
  await eventually(() => expect(isRunning(lease.connection.pid)).toBe(false));
  await eventually(() => expect(pools.processes).toBe(0));
});
