import { eventually, type Latency, measureOpenLoop, processesMarked } from "@tollgate/testkit";
import { type Answer, callerOf, expectOk, pause } from "../clients.ts";
import { type Line, line, ms, must } from "../report.ts";
import type { Setting, Stage } from "../stage.ts";

// Each tool that a server can harm its machine with, called again and again by one tenant, while another tenant calls
// a server beside it and its own process of the same server.

const ATTACKER = "north";
const VICTIM = "south";
const VICTIM_CALLS_PER_SECOND = 80;
const VICTIM_LANES = 32;
const P99_RATIO_MAX = 2;
const GONE_TIMEOUT_MS = 15_000;
const CALL_TIMEOUT_SECONDS = 3;

/** What the caller of each has to be told; undefined where the tool itself answers. */
const TOOLS: readonly { readonly tool: string; readonly args?: Record<string, unknown>; readonly told?: RegExp }[] = [
  { tool: "leak", args: { mib: 400 }, told: /limits\.memory/ },
  { tool: "fork", told: /limits\.processes/ },
  { tool: "flood_lines", told: /limits\.output/ },
  { tool: "garbage_flood", told: /JSON-RPC/ },
  { tool: "hang", told: /limits\.call_timeout/ },
  { tool: "exhaust_cpu", told: /limits\.call_timeout/ },
  { tool: "ignore_term" },
  { tool: "daemon" },
];

export const misbehavingSetting: Setting = {
  groups: ["soak"],
  tenants: [ATTACKER, VICTIM],
  servers: [
    { id: "good", group: "soak" },
    {
      id: "bad",
      group: "soak",
      more: `limits: { memory_mb: 256, cpu: 0.5, processes: 40, output_mb: 1, call_timeout: ${CALL_TIMEOUT_SECONDS} }, health_check_interval: 1`,
    },
  ],
};

export async function misbehaving(stage: Stage, { phaseMs }: { phaseMs: number }): Promise<Line[]> {
  const lines: Line[] = [];
  const quiet: number[] = [];
  await measureVictims(stage, phaseMs / 2);
  for (const bad of TOOLS) {
    const without = await measureVictims(stage, phaseMs);
    quiet.push(without.p99Ms);
    const attack = startAttack(stage, bad);
    const during = await measureVictims(stage, phaseMs);
    const answers = await attack.stop();
    lines.push(...judge(bad, { without, during, answers }), await countLeft(bad.tool));
  }
  return [
    ...lines,
    line("p99 of others without any, least and most", `${ms(Math.min(...quiet))}, ${ms(Math.max(...quiet))}`),
  ];
}

interface Victims extends Latency {
  readonly failed: readonly string[];
}

/** Both the server beside the bad one and the bad one's other process are called, by turns. */
async function measureVictims(stage: Stage, durationMs: number): Promise<Victims> {
  const call = callerOf(stage, VICTIM);
  const failed: string[] = [];
  const lane = async (n: number): Promise<void> => {
    const tool = n % 2 === 0 ? "good__echo" : "bad__echo";
    await expectOk(call(tool, { message: "m" })).catch((error: Error) => failed.push(error.message));
  };
  const lanes = Array.from({ length: VICTIM_LANES }, () => lane);
  const latency = await measureOpenLoop(lanes, { perSecond: VICTIM_CALLS_PER_SECOND, durationMs });
  return { ...latency, failed };
}

function startAttack(
  stage: Stage,
  { tool, args = {} }: { tool: string; args?: Record<string, unknown> },
): { stop(): Promise<Answer[]> } {
  const call = callerOf(stage, ATTACKER);
  const stopping = new AbortController();
  const attacking = (async () => {
    const answers: Answer[] = [];
    while (!stopping.signal.aborted) {
      const answer = await call(`bad__${tool}`, args);
      // What its server's pauses refuse says nothing of the tool.
      if (answer.code !== "unavailable") answers.push(answer);
      await pause(200);
    }
    return answers;
  })();
  return {
    stop: () => {
      stopping.abort();
      return attacking;
    },
  };
}

function judge(
  { tool, told }: (typeof TOOLS)[number],
  { without, during, answers }: { without: Victims; during: Victims; answers: readonly Answer[] },
): Line[] {
  const ratio = during.p99Ms / without.p99Ms;
  const wrong = told === undefined ? answers.filter(({ ok }) => !ok) : answers.filter(({ text }) => !told.test(text));
  const [shown] = wrong.length > 0 ? wrong : answers;
  return [
    must(
      `${tool}: p99 of others without → with it`,
      `${ms(without.p99Ms)} → ${ms(during.p99Ms)} (× ${ratio.toFixed(2)})`,
      `× ≤ ${P99_RATIO_MAX}`,
      ratio <= P99_RATIO_MAX,
    ),
    must(
      `${tool}: others' calls that failed`,
      during.failed.length === 0 ? `0 of ${during.calls}` : `${during.failed.length}: ${during.failed[0]!}`,
      "0",
      during.failed.length === 0,
    ),
    must(
      `${tool}: its caller is told`,
      `${answers.length} × ${shown?.text.slice(0, 120) ?? "nothing"}`,
      told === undefined ? "an answer" : String(told),
      answers.length > 0 && wrong.length === 0,
    ),
  ];
}

/** Of the processes that the tool has started; a daemon stays as long as its server does, so that is ended first. */
async function countLeft(tool: string): Promise<Line> {
  const what = `${tool}: processes that it started and left`;
  if (tool === "daemon") return line(what, `${processesMarked("FIXTURE_CHILD", "1").length}, until the stop`);
  const left = await eventually(
    () => {
      const pids = processesMarked("FIXTURE_CHILD", "1");
      if (pids.length > 0) throw new Error(String(pids.length));
      return 0;
    },
    { timeoutMs: GONE_TIMEOUT_MS },
  ).catch((error: Error) => Number(error.message));
  return must(what, String(left), "0", left === 0);
}
