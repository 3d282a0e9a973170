import type { Latency, Throughput } from "@tollgate/testkit";

export interface Results {
  readonly at: string;
  readonly machine: { readonly cores: number; readonly cpu: string; readonly node: string };
  readonly inFlight: number;
  readonly openLoopPerSecond: number;
  readonly fastify: { readonly serial: Latency; readonly loaded: Throughput };
  readonly stdio: { readonly serial: Latency; readonly loaded: Throughput };
  readonly gateway: {
    readonly serial: Latency;
    readonly openLoop: Latency;
    readonly loaded: Throughput;
    readonly cpuMsPerCall: Readonly<Record<string, number>>;
  };
  /** Calls of this run that metering has counted. */
  readonly metered: number;
}

export function renderTable(results: Results): string {
  const { fastify, stdio, gateway, inFlight, machine } = results;
  const rows = [
    ["", "serial p50", "serial p99", `${inFlight} in flight`, "p50", "p99"],
    ["bare Fastify echo", ...latency(fastify.serial), ...throughput(fastify.loaded)],
    ["direct stdio call", ...latency(stdio.serial), ...throughput(stdio.loaded)],
    ["this gateway", ...latency(gateway.serial), ...throughput(gateway.loaded)],
  ];
  const widths = rows[0]!.map((_cell, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const table = rows.map((row) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join("  "),
  );

  const cpu = Object.entries(gateway.cpuMsPerCall).toSorted(([, a], [, b]) => b - a);
  const total = cpu.reduce((sum, [, each]) => sum + each, 0);
  const added = gateway.serial.p50Ms - stdio.serial.p50Ms;
  return [
    `${machine.cores} cores (${machine.cpu}), Node ${machine.node}, audit and metering on, every reply checked`,
    "",
    ...table,
    "",
    `open loop at ${results.openLoopPerSecond} calls/s, from the intended start: p50 ${ms(gateway.openLoop.p50Ms)}, p99 ${ms(gateway.openLoop.p99Ms)}`,
    `serial p50 above direct stdio: ${ms(added)}; throughput against bare Fastify: ${((100 * gateway.loaded.perSecond) / fastify.loaded.perSecond).toFixed(0)} %`,
    `CPU-ms per call at ${inFlight} in flight: ${total.toFixed(3)} = ${cpu.map(([name, each]) => `${name} ${each.toFixed(3)}`).join(" + ")}`,
    `metered afterwards: ${results.metered} calls`,
    "",
  ].join("\n");
}

function latency({ p50Ms, p99Ms }: Latency): [string, string] {
  return [ms(p50Ms), ms(p99Ms)];
}

function throughput({ perSecond, p50Ms, p99Ms }: Throughput): [string, string, string] {
  return [`${Math.round(perSecond)}/s`, ms(p50Ms), ms(p99Ms)];
}

function ms(value: number): string {
  return `${value.toFixed(value < 10 ? 2 : 1)} ms`;
}
