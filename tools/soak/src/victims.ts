import { type Line, measureOpenLoop, ms, must } from "@tollgate/testkit";
import { type CallTool, expectOk } from "./clients.ts";

const LANES = 32;
const P99_RATIO_MAX = 2;
/** Of both phases, by turns; the middle one counts, so that a moment in which the machine did something else does not. */
export const ROUNDS = 3;

/** What another tenant's calls were like for a while. */
export interface Victims {
  readonly p99Ms: number;
  readonly calls: number;
  readonly failed: readonly string[];
}

/** Calls at a fixed rate, of the tools by turns. */
export async function measureVictims(
  call: CallTool,
  options: { tools: readonly string[]; perSecond: number; durationMs: number },
): Promise<Victims> {
  const { tools, perSecond, durationMs } = options;
  const failed: string[] = [];
  const lane = async (n: number): Promise<void> => {
    await expectOk(call(tools[n % tools.length]!, { message: "m" })).catch((error: Error) =>
      failed.push(error.message),
    );
  };
  const lanes = Array.from({ length: LANES }, () => lane);
  const { p99Ms, calls } = await measureOpenLoop(lanes, { perSecond, durationMs });
  return { p99Ms, calls, failed };
}

/** Each with as many rounds: without what is done to them, and with it. */
export function judgeVictims(name: string, without: readonly Victims[], during: readonly Victims[]): Line[] {
  const [before, after] = [middle(without), middle(during)];
  const ratio = after / before;
  const failed = during.flatMap((each) => each.failed);
  const calls = during.reduce((sum, each) => sum + each.calls, 0);
  return [
    must(
      `${name}: p99 of others without → with it`,
      `${ms(before)} → ${ms(after)} (× ${ratio.toFixed(2)})`,
      `× ≤ ${P99_RATIO_MAX}`,
      ratio <= P99_RATIO_MAX,
    ),
    must(
      `${name}: others' calls that failed`,
      failed.length === 0 ? `0 of ${calls}` : `${failed.length}: ${failed[0]!}`,
      "0",
      failed.length === 0,
    ),
  ];
}

function middle(rounds: readonly Victims[]): number {
  return rounds.map(({ p99Ms }) => p99Ms).toSorted((a, b) => a - b)[Math.floor(rounds.length / 2)]!;
}
