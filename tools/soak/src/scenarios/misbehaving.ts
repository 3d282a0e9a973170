import { eventually, type Line, line, must, processesMarked } from "@tollgate/testkit";
import { type Answer, callerOf, pause } from "../clients.ts";
import type { Setting, Stage } from "../stage.ts";
import { judgeVictims, measureVictims, ROUNDS, type Victims } from "../victims.ts";

// Each tool that a server can harm its machine with, called again and again by one tenant, while another tenant calls
// a server beside it and its own process of the same server.

const ATTACKER = "north";
const VICTIM = "south";
const VICTIM_CALLS_PER_SECOND = 80;
const ATTACK_PAUSE_MS = 500;
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

const LIMITS = `limits: { memory_mb: 256, cpu: 0.5, processes: 40, output_mb: 1, call_timeout: ${CALL_TIMEOUT_SECONDS} }, health_check_interval: 1`;

const serverOf = (tool: string): string => tool.replaceAll("_", "-");

export const misbehavingSetting: Setting = {
  groups: ["soak"],
  tenants: [ATTACKER, VICTIM],
  servers: [
    { id: "good", group: "soak" },
    // One for each, since a server whose processes end again and again is not called for a while.
    ...TOOLS.map(({ tool }) => ({ id: serverOf(tool), group: "soak", more: LIMITS })),
  ],
};

export async function misbehaving(stage: Stage, { phaseMs }: { phaseMs: number }): Promise<Line[]> {
  const call = callerOf(stage, VICTIM);
  // Both the server beside the bad one and the bad one's other process.
  const measure = (tool: string) =>
    measureVictims(call, {
      tools: ["good__echo", `${serverOf(tool)}__echo`],
      perSecond: VICTIM_CALLS_PER_SECOND,
      durationMs: phaseMs,
    });
  const lines: Line[] = [];
  for (const bad of TOOLS) {
    await measure(bad.tool);
    const without: Victims[] = [];
    const during: Victims[] = [];
    const answers: Answer[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      without.push(await measure(bad.tool));
      const attack = startAttack(stage, bad);
      during.push(await measure(bad.tool));
      answers.push(...(await attack.stop()));
    }
    lines.push(...judgeVictims(bad.tool, without, during), judgeAnswers(bad, answers), await countLeft(bad.tool));
  }
  return lines;
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
      const answer = await call(`${serverOf(tool)}__${tool}`, args);
      // What its server's pauses refuse says nothing of the tool.
      if (answer.code !== "unavailable") answers.push(answer);
      await pause(ATTACK_PAUSE_MS);
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

function judgeAnswers({ tool, told }: (typeof TOOLS)[number], answers: readonly Answer[]): Line {
  const wrong = told === undefined ? answers.filter(({ ok }) => !ok) : answers.filter(({ text }) => !told.test(text));
  const [shown] = wrong.length > 0 ? wrong : answers;
  return must(
    `${tool}: its caller is told`,
    `${answers.length} × ${shown?.text.slice(0, 120) ?? "nothing"}`,
    told === undefined ? "an answer" : String(told),
    answers.length > 0 && wrong.length === 0,
  );
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
