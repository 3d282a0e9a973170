import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { connectBus, decodeFrames } from "@tollgate/bus";
import type { CallEnvelope } from "@tollgate/contracts";
import { eventually, type Line, line, must, testLog } from "@tollgate/testkit";
import { callerOf, pause } from "../clients.ts";
import type { Setting, Stage } from "../stage.ts";

// kill -9 of runners and of server processes at random while calls go on that may not run twice.

const TENANTS = ["north", "south"];
const IN_FLIGHT = 64;
const RUNNER_KILL_EVERY_MS = 5_000;
const PROCESS_KILL_EVERY_MS = 700;
const SETTLED_TIMEOUT_MS = 60_000;
const REFUSALS_SHOWN_MAX = 5;
const REFUSAL_SHOWN_MAX_CHARS = 120;
const EVENTS_PAGE = 1_000;

export const killsSetting: Setting = {
  groups: ["soak"],
  tenants: TENANTS,
  servers: [
    { id: "counter", group: "soak", more: "pool: { max: 8, calls_per_process: 16 }" },
    { id: "single", group: "soak", more: "pool: { mode: exclusive, min: 0, max: 8 }" },
  ],
};

export async function kills(stage: Stage, { calls }: { calls: number }): Promise<Line[]> {
  const watch = await watchTakenIn(stage);
  const chaos = await startKilling(stage);
  const ended = await makeCalls(stage, calls);
  const killed = await chaos.stop();

  const events = await eventually(
    async () => {
      const ids = await outcomes(stage);
      const missing = [...watch.ids].filter((id) => !ids.has(id));
      if (missing.length > 0) throw new Error(`${missing.length} of ${watch.ids.size} calls have no outcome`);
      return ids;
    },
    { timeoutMs: SETTLED_TIMEOUT_MS },
  ).catch((error: Error) => error);
  await watch.close();
  return [...judgeOutcomes(watch.ids, events), ...(await judgeCounts(stage, ended)), ...describe(ended, killed)];
}

/** The ids of what the gateway puts on the stream of calls, seen from outside: what was taken in. */
async function watchTakenIn({ natsUrl: url, busPrefix: prefix }: Stage) {
  const ids = new Set<string>();
  const closing = new AbortController();
  const bus = await connectBus({ url, name: "soak", prefix, log: testLog, signal: closing.signal });
  bus.connection.subscribe(bus.subjects.allCalls, {
    callback: (_error, message) => {
      for (const { envelope } of decodeFrames<CallEnvelope>(message.string())) ids.add(envelope.id);
    },
  });
  return {
    ids: ids as ReadonlySet<string>,
    close: async () => {
      closing.abort();
      await bus.drain();
    },
  };
}

interface Killed {
  readonly runners: number;
  readonly processes: number;
}

/** Two runners, of which one at a time is killed and started again, and processes of theirs. */
async function startKilling(stage: Stage): Promise<{ stop(): Promise<Killed> }> {
  const { system } = stage;
  let second = await system.startRunner();
  const stopping = new AbortController();
  const counts = { runners: 0, processes: 0 };

  async function repeat(everyMs: number, kill: () => Promise<void>): Promise<void> {
    while (!stopping.signal.aborted) {
      await pause(everyMs / 2 + Math.random() * everyMs);
      if (!stopping.signal.aborted) await kill();
    }
  }
  const runners = repeat(RUNNER_KILL_EVERY_MS, async () => {
    counts.runners += 1;
    if (counts.runners % 2 === 1) {
      await system.kill("runner");
      await system.start("runner");
    } else {
      await second.stop("SIGKILL");
      second = await system.startRunner();
    }
  });
  const processes = repeat(PROCESS_KILL_EVERY_MS, async () => {
    const pids = stage.serverProcesses();
    const pid = pids[Math.floor(Math.random() * pids.length)];
    if (pid === undefined) return;
    counts.processes += 1;
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has ended meanwhile.
    }
  });
  return {
    stop: async () => {
      stopping.abort();
      await Promise.all([runners, processes]);
      return counts;
    },
  };
}

interface Ended {
  readonly byCode: Map<string, number>;
  /** What those were told that were answered neither with a result nor with "unknown"; by what was said, without figures. */
  readonly refusals: Map<string, number>;
  /** Of the counting tool: what its caller was told had run, and what may have run. */
  readonly counted: Set<string>;
  readonly unknown: Set<string>;
}

/** One in two may not run twice. */
async function makeCalls(stage: Stage, calls: number): Promise<Ended> {
  const ended: Ended = { byCode: new Map(), refusals: new Map(), counted: new Set(), unknown: new Set() };
  const callers = TENANTS.map((tenant) => callerOf(stage, tenant));
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let n = next++; n < calls; n = next++) {
      const call = callers[n % callers.length]!;
      const server = n % 5 === 0 ? "single" : "counter";
      const counts = n % 4 < 2;
      const answer = counts
        ? await call(`${server}__count`, { n: `n${n}`, ms: 5 })
        : await call(`${server}__echo`, { message: `m${n}` });
      const code = answer.ok ? "ok" : answer.code;
      ended.byCode.set(code, (ended.byCode.get(code) ?? 0) + 1);
      if (counts && answer.ok) ended.counted.add(`n${n}`);
      if (counts && code === "outcome_unknown") ended.unknown.add(`n${n}`);
      if (!answer.ok && code !== "outcome_unknown") {
        const said = answer.text.replaceAll(/\d+/g, "…").slice(0, REFUSAL_SHOWN_MAX_CHARS);
        ended.refusals.set(said, (ended.refusals.get(said) ?? 0) + 1);
      }
      // A server that has just been killed comes back in a moment; what it refuses meanwhile is no call to it.
      if (code === "unavailable" || code === "overloaded") await pause(100);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
  return ended;
}

/** How many outcome events each call has. */
async function outcomes(stage: Stage): Promise<Map<string, number>> {
  const times = new Map<string, number>();
  for (let cursor = ""; ;) {
    const { items, nextCursor } = await stage.api<{ items: { id: string }[]; nextCursor: string | null }>(
      `/api/v1/audit/events?kind=call&limit=${EVENTS_PAGE}&cursor=${encodeURIComponent(cursor)}`,
    );
    for (const { id } of items) times.set(id, (times.get(id) ?? 0) + 1);
    if (nextCursor === null) return times;
    cursor = nextCursor;
  }
}

function judgeOutcomes(taken: ReadonlySet<string>, events: Map<string, number> | Error): Line[] {
  const what = `calls taken in that have one outcome`;
  if (events instanceof Error) return [must(what, events.message, `all ${taken.size}`, false)];
  const once = [...taken].filter((id) => events.get(id) === 1).length;
  const strange = [...events.keys()].filter((id) => !taken.has(id)).length;
  return [
    must(what, String(once), `all ${taken.size}`, once === taken.size),
    must("outcomes of calls that nobody made", String(strange), "0", strange === 0),
  ];
}

async function judgeCounts(stage: Stage, { counted, unknown }: Ended): Promise<Line[]> {
  const lines = (await readFile(join(stage.dir, "count"), "utf8")).trim().split("\n");
  const ran = new Set(lines.map((each) => JSON.parse(each) as string));
  const twice = lines.length - ran.size;
  const missing = [...counted].filter((n) => !ran.has(n)).length;
  const surely = [...ran].filter((n) => !counted.has(n) && !unknown.has(n)).length;
  return [
    must("calls that may not run twice and did", String(twice), "0", twice === 0),
    must("calls answered that did not run", String(missing), "0", missing === 0),
    must("calls that ran though the answer says they did not", String(surely), "0", surely === 0),
  ];
}

function describe({ byCode, refusals }: Ended, { runners, processes }: Killed): Line[] {
  const codes = [...byCode].map(([code, times]) => `${code} ${times}`).join(", ");
  const told = [...refusals].toSorted(([, a], [, b]) => b - a).slice(0, REFUSALS_SHOWN_MAX);
  return [
    line("killed", `${runners} runners, ${processes} server processes`),
    line("answers", codes),
    ...told.map(([text, times]) => line("  refused", `${times} × ${text}`)),
  ];
}
