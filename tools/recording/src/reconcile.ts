import { setTimeout as pause } from "node:timers/promises";
import { connectBus } from "@tollgate/bus";
import { type Line, must, testLog } from "@tollgate/testkit";
import pg from "pg";
import type { Load } from "./load.ts";
import type { Stage } from "./stage.ts";
import { readCalls } from "./stream.ts";

const CAUGHT_UP_TIMEOUT_MS = 120_000;
const LOOK_INTERVAL_MS = 1_000;
const SHOWN_MAX_CHARS = 200;

/** Whether calls = outcomes = rows = metered calls, none twice, and whether the chains verify. */
export async function reconcile(stage: Stage, load: Load): Promise<Line[]> {
  const streamed = await readStream(stage);
  const rows = await untilStored(stage, streamed.size);
  const ran = await stage.executions();
  const traces = new Map<string, number>();
  for (const { trace } of streamed.values()) traces.set(trace, (traces.get(trace) ?? 0) + 1);
  const answered = [...load.calls].filter(([, known]) => known === "answered").map(([trace]) => trace);
  const lost = answered.filter((trace) => !traces.has(trace)).length;
  const unheard = [...load.calls].filter(([trace, known]) => known === "refused" && traces.has(trace)).length;
  const twice = [...traces].filter(([trace, count]) => load.calls.has(trace) && count > 1).length;
  const ids = new Set(streamed.keys());
  const equal = (found: ReadonlySet<string>) => found.size === ids.size && [...ids].every((id) => found.has(id));
  return [
    must("calls that were answered", `${answered.length} of ${load.calls.size}`, "> 0", answered.length > 0),
    must("answered, and no outcome", String(lost), "0", lost === 0),
    must("calls with two outcomes", String(twice), "0", twice === 0),
    must(
      "outcomes on the stream",
      `${ids.size} (${unheard} of calls whose callers heard of a refusal)`,
      "those answered, and these",
      [...traces.keys()].filter((trace) => load.calls.has(trace)).length === answered.length + unheard - lost,
    ),
    must("rows in the audit", String(rows.audit.length), String(ids.size), equal(new Set(rows.audit))),
    must("rows twice", String(rows.audit.length - new Set(rows.audit).size), "0", isOnce(rows.audit)),
    must("metered calls", String(rows.metered.length), String(ids.size), equal(new Set(rows.metered))),
    must("metered twice", String(rows.metered.length - new Set(rows.metered).size), "0", isOnce(rows.metered)),
    must("executions, and twice", `${ran.length}, ${ran.length - new Set(ran).size}`, "none twice", isOnce(ran)),
    await verifyChains(stage),
  ];
}

const isOnce = (items: readonly string[]): boolean => new Set(items).size === items.length;

/** Every outcome on the stream, the first of each call. */
async function readStream({ infra }: Stage): ReturnType<typeof readCalls> {
  const { natsUrl: url, busPrefix: prefix } = infra;
  const bus = await connectBus({ url, name: "recording", prefix, log: testLog, signal: AbortSignal.timeout(600_000) });
  try {
    return await readCalls(bus);
  } finally {
    await bus.drain();
  }
}

/** Waits until both tables hold as many calls as the stream, or the time is over. */
async function untilStored({ infra }: Stage, wanted: number): Promise<{ audit: string[]; metered: string[] }> {
  const client = new pg.Client({ connectionString: infra.adminUrl });
  await client.connect();
  try {
    const until = Date.now() + CAUGHT_UP_TIMEOUT_MS;
    for (;;) {
      const audit = await idsOf(client, "SELECT id::text FROM audit.events WHERE kind = 'call'");
      const metered = await idsOf(client, "SELECT call_id::text AS id FROM metering.calls");
      if ((audit.length >= wanted && metered.length >= wanted) || Date.now() > until) return { audit, metered };
      await pause(LOOK_INTERVAL_MS);
    }
  } finally {
    await client.end();
  }
}

async function idsOf(client: pg.Client, sql: string): Promise<string[]> {
  return (await client.query<{ id: string }>(sql)).rows.map(({ id }) => id);
}

async function verifyChains(stage: Stage): Promise<Line> {
  const what = "events whose chain verifies";
  const response = await stage.api("POST", "/audit/verify");
  const text = (await response.text()).trimEnd();
  if (!response.ok) return must(what, `${response.status} ${text.slice(0, SHOWN_MAX_CHARS)}`, "all", false);
  const { eventsVerified, findings } = JSON.parse(text.split("\n").at(-1)!) as {
    eventsVerified: number;
    findings: unknown[];
  };
  return must(
    what,
    `${eventsVerified}, ${findings.length} findings`,
    "all",
    findings.length === 0 && eventsVerified > 0,
  );
}
