import { writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { IN_FLIGHT, measureFastify, measureGateway, measureStdio, OPEN_LOOP_PER_SECOND } from "./measure.ts";
import { renderTable, type Results } from "./report.ts";
import { type MeasuredSystem, startSystem } from "./system.ts";

const DRAIN_TIMEOUT_MS = 30_000;

/** What a call costs, and what of it is the gateway's. */
export async function measureCalls(options: {
  durationMs: number;
  /** Of a running installation. */
  stateDir: string | undefined;
  jsonFile: string | undefined;
}): Promise<number> {
  const { durationMs, stateDir, jsonFile } = options;
  const system = await startSystem(stateDir);
  try {
    const meteredBefore = await countRecorded(system, 0);
    const stdio = await measureStdio(durationMs);
    const fastify = await measureFastify(durationMs);
    const gateway = await measureGateway(system, durationMs);
    const metered = (await countRecorded(system, meteredBefore + gateway.loaded.calls)) - meteredBefore;
    const results: Results = {
      at: new Date().toISOString(),
      machine: { cores: cpus().length, cpu: cpus()[0]?.model ?? "", node: process.version },
      inFlight: IN_FLIGHT,
      openLoopPerSecond: OPEN_LOOP_PER_SECOND,
      fastify,
      stdio,
      gateway,
      metered,
    };
    process.stdout.write(renderTable(results));
    if (jsonFile !== undefined) await writeFile(jsonFile, `${JSON.stringify(results, null, 2)}\n`);
    return 0;
  } finally {
    await system.stop();
  }
}

/** Audit and metering were on: every call that was answered is recorded and billed. */
async function countRecorded(system: MeasuredSystem, answered: number): Promise<number> {
  const until = Date.now() + DRAIN_TIMEOUT_MS;
  for (;;) {
    const response = await fetch(`${system.gatewayUrl}/metering/usage`, {
      headers: { authorization: `Bearer ${system.adminToken}` },
    });
    const { total } = (await response.json()) as { total: { calls: number } };
    if (total.calls >= answered || Date.now() > until) return total.calls;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
