import { fork } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { readCpu } from "./cpu.ts";
import { openEchoLanes, openGatewayLanes } from "./gateway-calls.ts";
import { measureClosedLoop, measureOpenLoop, measureSerial } from "./load.ts";
import { renderTable, type Results } from "./report.ts";
import { openStdioBaseline } from "./stdio-baseline.ts";
import { type MeasuredSystem, startSystem } from "./system.ts";

const IN_FLIGHT = 32;
const OPEN_LOOP_PER_SECOND = 500;
const SERIAL_CALLS = 2_000;
const WARM_UP_CALLS = 1_500;
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

async function measureFastify(): Promise<Results["fastify"]> {
  const child = fork(join(import.meta.dirname, "fastify-baseline.ts"), { stdio: "inherit" });
  const [{ port }] = (await once(child, "message")) as [{ port: number }];
  const { lanes, close } = await openEchoLanes(port, IN_FLIGHT);
  await measureSerial(lanes[0]!, WARM_UP_CALLS);
  const serial = await measureSerial(lanes[0]!, SERIAL_CALLS);
  const loaded = await measureClosedLoop(lanes, durationMs / 2);
  close();
  child.disconnect();
  return { serial, loaded };
}

async function measureStdio(): Promise<Results["stdio"]> {
  const { call, close } = await openStdioBaseline();
  await measureSerial(call, WARM_UP_CALLS);
  const serial = await measureSerial(call, SERIAL_CALLS);
  const loaded = await measureClosedLoop(
    Array.from({ length: IN_FLIGHT }, () => call),
    durationMs / 2,
  );
  close();
  return { serial, loaded };
}

async function measureGateway(system: MeasuredSystem): Promise<Results["gateway"]> {
  const { lanes, close } = await openGatewayLanes(system, IN_FLIGHT);
  await measureSerial(lanes[0]!, WARM_UP_CALLS);
  const serial = await measureSerial(lanes[0]!, SERIAL_CALLS);
  await measureClosedLoop(lanes, 2_000);
  const openLoop = await measureOpenLoop(lanes, { perSecond: OPEN_LOOP_PER_SECOND, durationMs });

  const roots = { ...system.pids, "load generator": process.pid };
  const before = readCpu(roots);
  const loaded = await measureClosedLoop(lanes, durationMs);
  const after = readCpu(roots);
  const cpuMsPerCall = Object.fromEntries(
    Object.keys(roots).map((name) => [name, (after[name]! - before[name]!) / loaded.calls]),
  );
  close();
  return { serial, openLoop, loaded, cpuMsPerCall };
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

const system = await startSystem(values.state);
try {
  const meteredBefore = await countRecorded(system, 0);
  const stdio = await measureStdio();
  const fastify = await measureFastify();
  const gateway = await measureGateway(system);
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
