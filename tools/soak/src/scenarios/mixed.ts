import { type Line, line, mib, must, percent, type ProcessEntry, readProcesses } from "@tollgate/testkit";
import { type CallTool, callerOf, openSession, pause } from "../clients.ts";
import type { Setting, Stage } from "../stage.ts";

// 50 processes of 5 servers for 3 tenants, with calls of every kind: what stays as it is when nothing ends?

const TENANTS = ["north", "south", "west"];
const SAMPLE_MS = 5_000;
const SAMPLES_MIN = 9;
const PROCESSES = 50;
/** Time that is not measured: pools fill up, and Node compiles what is called often. */
const WARM_UP_SHARE = 1 / 3;
const PROCESSES_DRIFT_MAX = 0.05;
const MEMORY_DRIFT_MAX = 0.05;
/** Sessions of each tenant: with a process each they are the bound server's ten. */
const SESSIONS = [4, 3, 3];
const SESSION_CALLS = 200;

export const mixedSetting: Setting = {
  groups: ["soak"],
  tenants: TENANTS,
  servers: [
    { id: "many", group: "soak", more: "pool: { min: 1, max: 10, max_per_tenant: 4, calls_per_process: 2 }" },
    { id: "ready", group: "soak", more: "pool: { min: 10, max: 10 }" },
    { id: "alone", group: "soak", more: "pool: { mode: exclusive, min: 0, max: 10, max_per_tenant: 4 }" },
    { id: "bound", group: "soak", more: "pool: { mode: session, min: 0, max: 10, max_per_tenant: 4 }" },
    { id: "common", group: "soak", more: "pool: { shared: true, min: 1, max: 10, calls_per_process: 2 }" },
  ],
};

interface Sample {
  readonly processes: number;
  /** Processes that have ended and that nobody has collected. */
  readonly zombies: readonly number[];
  readonly bytes: number;
}

export async function mixed(stage: Stage, { durationMs }: { durationMs: number }): Promise<Line[]> {
  const until = Date.now() + durationMs;
  const counts = { answered: 0, failed: new Map<string, number>() };
  const note = (ok: boolean, text: string): void => {
    if (ok) counts.answered += 1;
    else counts.failed.set(text, (counts.failed.get(text) ?? 0) + 1);
  };
  const loads = TENANTS.flatMap((tenant, i) => [
    ...Object.values(CALLERS).flatMap(({ clients, tools }) =>
      Array.from({ length: clients }, () => keepCalling(callerOf(stage, tenant), { until, note, tools })),
    ),
    ...Array.from({ length: SESSIONS[i]! }, () => keepSessions(stage, tenant, { until, note })),
  ]);
  const samples = await takeSamples(stage, { until, everyMs: Math.min(SAMPLE_MS, durationMs / SAMPLES_MIN) });
  const byServer = await processesByServer(stage);
  await Promise.all(loads);
  const refused = [...counts.failed].map(([text, times]) => `${times} × ${text}`).join("; ");
  return [
    line("calls answered", String(counts.answered)),
    must("calls not answered", refused === "" ? "0" : refused, "0", counts.failed.size === 0),
    line("processes at the end of the load", byServer),
    ...judge(samples),
  ];
}

/** As the management API says. */
async function processesByServer(stage: Stage): Promise<string> {
  const counts = mixedSetting.servers.map(async ({ id }) => {
    const { runners } = await stage.api<{ runners: { pool: { processes: number } }[] }>(`/api/v1/servers/${id}/health`);
    return `${id} ${runners.reduce((sum, { pool }) => sum + pool.processes, 0)}`;
  });
  return (await Promise.all(counts)).join(", ");
}

type Tools = readonly (readonly [tool: string, args: () => Record<string, unknown>])[];

const between = (low: number, high: number): number => low + Math.floor(Math.random() * (high - low));
const sleep = () => ({ ms: between(100, 500) });

/** Each tenant's clients of a server, a few more than its processes have places, so that they all have work. */
const CALLERS: Readonly<Record<string, { readonly clients: number; readonly tools: Tools }>> = {
  many: {
    clients: 9,
    tools: [
      ["many__sleep", sleep],
      ["many__sleep", sleep],
      ["many__echo", () => ({ message: "x".repeat(between(1, 2_000)) })],
      ["many__progress", () => ({ steps: 20 })],
    ],
  },
  ready: {
    clients: 3,
    tools: [
      ["ready__sleep", sleep],
      ["ready__count", () => ({ n: 1, ms: between(10, 100) })],
    ],
  },
  alone: { clients: 5, tools: [["alone__sleep", sleep]] },
  common: {
    clients: 8,
    tools: [
      ["common__sleep", sleep],
      ["common__sleep", sleep],
      ["common__flood", () => ({ bytes: between(10_000, 50_000) })],
    ],
  },
};

interface Load {
  readonly until: number;
  readonly note: (ok: boolean, text: string) => void;
}

async function keepCalling(call: CallTool, { until, note, tools }: Load & { tools: Tools }): Promise<void> {
  for (let n = between(0, tools.length); Date.now() < until; n++) {
    const [tool, args] = tools[n % tools.length]!;
    await oneCall(call, tool, args(), note);
  }
}

/** One session after the other, so that bound processes come and go. */
async function keepSessions(stage: Stage, tenant: string, { until, note }: Load): Promise<void> {
  while (Date.now() < until) {
    const { call, end } = await openSession(stage, tenant);
    for (let n = 0; n < SESSION_CALLS && Date.now() < until; n++) {
      await oneCall(call, "bound__tally", {}, note);
      await pause(between(50, 250));
    }
    await end();
  }
}

async function oneCall(call: CallTool, tool: string, args: Record<string, unknown>, note: Load["note"]): Promise<void> {
  try {
    const { ok, text, code } = await call(tool, args);
    note(ok, `${tool}: ${code} ${text.slice(0, 200)}`);
  } catch (error) {
    note(false, `${tool}: ${(error as Error).message}`);
  }
}

async function takeSamples(stage: Stage, options: { until: number; everyMs: number }): Promise<Sample[]> {
  const samples: Sample[] = [];
  // None after the load: sessions take their processes with them.
  while (Date.now() + options.everyMs < options.until) {
    await pause(options.everyMs);
    const runner = stage.system.pid("runner");
    const tree = descendants(readProcesses(), runner);
    samples.push({
      processes: stage.serverProcesses().length,
      zombies: tree.filter(({ state }) => state === "Z").map(({ pid }) => pid),
      bytes: tree.reduce((sum, { residentBytes }) => sum + residentBytes, 0),
    });
  }
  return samples;
}

/** The process itself included. */
function descendants(processes: readonly ProcessEntry[], root: number): ProcessEntry[] {
  const byPid = new Map(processes.map((each) => [each.pid, each]));
  const belongs = (each: ProcessEntry): boolean => {
    for (let at: ProcessEntry | undefined = each; at && at.pid > 1; at = byPid.get(at.parent))
      if (at.pid === root) return true;
    return false;
  };
  return processes.filter(belongs);
}

function judge(samples: readonly Sample[]): Line[] {
  const measured = samples.slice(Math.floor(samples.length * WARM_UP_SHARE));
  const half = Math.floor(measured.length / 2);
  const drift = (of: (sample: Sample) => number): { middle: number; last: number; share: number } => {
    const mean = (some: readonly Sample[]) => some.reduce((sum, each) => sum + of(each), 0) / some.length;
    const [middle, last] = [mean(measured.slice(0, half)), mean(measured.slice(half))];
    return { middle, last, share: last / middle - 1 };
  };
  const processes = drift((sample) => sample.processes);
  const memory = drift((sample) => sample.bytes);
  const most = Math.max(...samples.map((sample) => sample.processes));
  // Seen twice: one that has ended this very moment is about to be collected.
  const zombies = samples
    .slice(1)
    .flatMap((sample, i) => sample.zombies.filter((pid) => samples[i]!.zombies.includes(pid)));
  const within = (share: number, max: number) => Math.abs(share) <= max;
  return [
    must("server processes, most", String(most), String(PROCESSES), most === PROCESSES),
    must(
      "server processes, middle → last third",
      `${processes.middle.toFixed(1)} → ${processes.last.toFixed(1)} (${percent(processes.share)})`,
      `within ${percent(PROCESSES_DRIFT_MAX)}`,
      within(processes.share, PROCESSES_DRIFT_MAX),
    ),
    must(
      "memory of runner and servers, middle → last third",
      `${mib(memory.middle)} → ${mib(memory.last)} (${percent(memory.share)})`,
      `grown by ≤ ${percent(MEMORY_DRIFT_MAX)}`,
      memory.share <= MEMORY_DRIFT_MAX,
    ),
    must("zombies", String(new Set(zombies).size), "0", zombies.length === 0),
  ];
}
