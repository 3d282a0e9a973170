import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { readCpu } from "./cpu.ts";
import { openEchoLanes, openGatewayLanes } from "./gateway-calls.ts";
import { measureClosedLoop, measureOpenLoop, measureSerial } from "@tollgate/testkit";
import type { Results } from "./report.ts";
import { openStdioBaseline } from "./stdio-baseline.ts";
import type { MeasuredSystem } from "./system.ts";

export const IN_FLIGHT = 32;
export const OPEN_LOOP_PER_SECOND = 500;
const SERIAL_CALLS = 2_000;
const WARM_UP_CALLS = 1_500;

export async function measureFastify(durationMs: number): Promise<Results["fastify"]> {
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

export async function measureStdio(durationMs: number): Promise<Results["stdio"]> {
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

export async function measureGateway(system: MeasuredSystem, durationMs: number): Promise<Results["gateway"]> {
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
