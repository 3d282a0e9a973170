import { writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { IN_FLIGHT, measureFastify, measureGateway, measureStdio, OPEN_LOOP_PER_SECOND } from "./measure.ts";
import { renderTable, type Results } from "./report.ts";
import { type MeasuredSystem, startSystem } from "./system.ts";

const DRAIN_TIMEOUT_MS = 30_000;

const { values } = parseArgs({
  options: {
    /** Seconds for each loop under load. */
    seconds: { type: "string", default: "8" },
    /** A running installation's state folder instead of one of its own. */
    state: { type: "string" },
    /** Also writes the results to this file. */
    json: { type: "string" },
  },
});
const durationMs = Number(values.seconds) * 1000;

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

const system = await startSystem(values.state);
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
  if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(results, null, 2)}\n`);
} finally {
  await system.stop();
}
