import { eventually } from "@tollgate/testkit";
import { type Kind, KINDS, streamOf, type Victim } from "./kinds.ts";
import type { Load, Request } from "./load.ts";
import { type Stage, TENANTS, TOOL } from "./stage.ts";

/** Tenants of the other callers, whom no trial touches. */
const BACKGROUND_TENANTS = 20;
const BACKGROUND_STREAMS = 20;
/** The first tokens are the other callers'. */
const FIRST_VICTIM = TENANTS * 50;
/** So many calls have to be let in before, and sent afterwards. */
const CALLS_EACH = 24;
const FLOWING_TIMEOUT_MS = 60_000;
const RECORDED_TIMEOUT_MS = 60_000;

interface Trial {
  readonly kind: string;
  readonly principal: string;
  /** How long the request took that takes back. */
  readonly tookMs: number;
  /** When it had returned, Unix milliseconds. */
  readonly returnedAt: number;
  /**
   * When it began to be given back, for later trials: a call whose client had left by then may have waited in a gateway
   * until it was allowed again.
   */
  readonly undoneFrom: number;
  readonly letIn: number;
  /** Calls that were sent afterwards and let in all the same. */
  readonly sentAfterAndLetIn: number;
}

export interface Result extends Trial {
  /** Calls that were let in after the request had returned, by the audit. */
  readonly admittedAfter: number;
}

/** Everybody else: the rate comes from them, and they must not notice anything. */
export async function openBackground(stage: Stage, load: Load): Promise<string[]> {
  const names: string[] = [];
  for (let n = 0; n < BACKGROUND_STREAMS; n += 1) {
    const { token } = stage.caller(TENANTS * n + TENANTS - 1 - (n % BACKGROUND_TENANTS));
    names.push(`background-${n}`);
    await load.open({ name: `background-${n}`, tool: TOOL, token, urls: stage.urls, lanesPerUrl: 1 });
  }
  return names;
}

/** Those of the kinds that this gateway offers. */
async function kindsOf({ api }: Stage): Promise<readonly Kind[]> {
  const { paths } = await api<{ paths: object }>("GET", "/openapi.json");
  return KINDS.filter(({ path }) => Object.hasOwn(paths, path));
}

async function playTrial(stage: Stage, load: Load, kind: Kind, n: number): Promise<Trial> {
  const victims = TENANTS - BACKGROUND_TENANTS;
  const caller = stage.caller(FIRST_VICTIM + TENANTS * Math.floor(n / victims) + (n % victims));
  const victim: Victim = { ...caller, n, principal: caller.name };
  await kind.prepare?.(stage, victim);
  await load.open(streamOf(stage, victim));
  await untilMade(load, victim.name, (made) => {
    if (made.filter(isLetIn).length < CALLS_EACH) throw new Error(`${kind.name}: not let in: ${describe(made)}`);
  });
  const before = performance.now();
  await kind.takeBack(stage, victim);
  const tookMs = performance.now() - before;
  const returnedAt = Date.now();
  await untilMade(load, victim.name, (made) => {
    const after = made.filter(({ sentAt }) => sentAt > returnedAt).length;
    if (after < CALLS_EACH) throw new Error(`${kind.name}: only ${after} calls were sent afterwards`);
  });
  const made = await load.close(victim.name);
  const undoneFrom = kind.undo === undefined ? Infinity : Date.now();
  await kind.undo?.(stage, victim);
  return {
    kind: kind.name,
    principal: victim.principal,
    tookMs,
    returnedAt,
    undoneFrom,
    letIn: made.filter(isLetIn).length,
    sentAfterAndLetIn: made.filter((each) => isLetIn(each) && each.sentAt > returnedAt).length,
  };
}

/** Until the check does not throw any more. */
const untilMade = (load: Load, name: string, check: (made: readonly Request[]) => void): Promise<void> =>
  eventually(async () => check(await load.look(name)), { timeoutMs: FLOWING_TIMEOUT_MS });

const isLetIn = (request: Request): boolean => request.isLetIn;

function describe(made: readonly Request[]): string {
  const refusal = made.findLast((each) => !isLetIn(each))?.refusal;
  return refusal ?? `${made.length} calls, the slowest in ${Math.max(...made.map(({ tookMs }) => tookMs))} ms`;
}

/** When each call of a principal was let in, by the audit, once it has as many as there must be. */
async function acceptedTimes(stage: Stage, { principal, letIn }: Trial): Promise<number[]> {
  return eventually(
    async () => {
      const times: number[] = [];
      for (let cursor: string | null = ""; cursor !== null;) {
        const query = `kind=call&principal=${encodeURIComponent(principal)}&limit=1000&cursor=${encodeURIComponent(cursor)}`;
        const page: { items: { acceptedAt: number }[]; nextCursor: string | null } = await stage.api(
          "GET",
          `/audit/events?${query}`,
        );
        times.push(...page.items.map(({ acceptedAt }) => acceptedAt));
        cursor = page.nextCursor;
      }
      if (times.length < letIn) throw new Error(`${principal}: ${times.length} of ${letIn} calls are recorded`);
      return times;
    },
    { timeoutMs: RECORDED_TIMEOUT_MS },
  );
}

/** The kinds by turns; what was let in is counted in the end. */
export async function playTrials(stage: Stage, load: Load, trials: number): Promise<Result[]> {
  const kinds = await kindsOf(stage);
  const played: Trial[] = [];
  for (let n = 0; n < trials; n += 1) played.push(await playTrial(stage, load, kinds[n % kinds.length]!, n));
  const results: Result[] = [];
  for (const trial of played) {
    const { returnedAt, undoneFrom } = trial;
    const times = await acceptedTimes(stage, trial);
    const after = times.filter((time) => time > returnedAt && time < undoneFrom);
    results.push({ ...trial, admittedAfter: after.length });
  }
  return results;
}
