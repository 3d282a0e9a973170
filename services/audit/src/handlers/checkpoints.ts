import { setTimeout as delay } from "node:timers/promises";
import { INSTALLATION_TENANT, newCallId } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import {
  type Chain,
  chainName,
  CHECKPOINT_EVENTS_MAX,
  checkpointHash,
  genesisHash,
  HASH_BYTES,
  merkleRoot,
  nextHash,
  signCheckpoint,
} from "@tollgate/evidence";
import { enqueueEvents, type Leadership, type Log, type Metrics, type Pool } from "@tollgate/service";
import { entryOf, type RegisterEntry, signRegister } from "../domain/register.ts";
import {
  type ChainState,
  insertCheckpoint,
  type Leaves,
  readChains,
  readLeaves,
  replaceRegister,
} from "../store/checkpoints.ts";
import { type Ground, problemOf, readGround } from "./ground.ts";
import type { Signing } from "./signing.ts";

/** How often it looks for whole segments. */
const TURN_MS = 1_000;
/** Segments of one chain in one turn, so that the others get theirs. */
const SEGMENTS_MAX = 32;

interface CheckpointOptions {
  readonly pool: Pool;
  readonly leadership: Leadership;
  readonly signing: Signing;
  /** How often segments that are not full are signed as well. */
  readonly tailsMs: number;
  readonly metrics: Metrics;
  readonly log: Log;
}

/**
 * Signs what was recorded: whole segments within a second or two, what is left of each chain every `tailsMs`. Nothing is
 * signed that does not follow from what was signed before; a chain of which that is gone is named in an alert.
 */
export function keepCheckpoints(options: CheckpointOptions): void {
  const { leadership, tailsMs, metrics } = options;
  const made = metrics.counter("tollgate_audit_checkpoints_total", "Checkpoints signed");
  const gauge = metrics.gauge("tollgate_audit_broken_chains", "Chains that cannot be signed: they were changed");

  leadership.run("checkpoints", async (signal, begun) => {
    // The first turn signs all: who led before may have gone without.
    let tailsAt = 0;
    const broken = new Set<string>();
    while (!signal.aborted) {
      const withTails = Date.now() >= tailsAt;
      if (withTails) tailsAt = Date.now() + tailsMs;
      const turn = await takeTurn(options, withTails, signal);
      made.inc(turn.segments);
      // Other turns do not look at all of them.
      if (withTails) for (const name of broken) if (!turn.problems.has(name)) broken.delete(name);
      for (const [name, problem] of turn.problems) {
        if (!broken.has(name)) await alert(options, name, problem);
        broken.add(name);
      }
      gauge.set(broken.size);
      begun();
      if (!turn.isMore) await delay(Math.min(TURN_MS, tailsMs), undefined, { signal }).catch(() => undefined);
    }
  });
}

async function takeTurn(
  { pool, signing }: CheckpointOptions,
  withTails: boolean,
  signal: AbortSignal,
): Promise<{ segments: number; isMore: boolean; problems: Map<string, string> }> {
  const chains = await readChains(pool, { uncoveredMin: withTails ? 1 : CHECKPOINT_EVENTS_MAX });
  const ground = chains.length === 0 ? undefined : await readGround(pool, signing);
  const problems = new Map<string, string>();
  let segments = 0;
  let isMore = false;
  for (const chain of chains) {
    if (signal.aborted || ground === undefined) break;
    try {
      const covered = await coverChain(pool, chain, {
        ground,
        signing,
        withTail: withTails,
        segmentsMax: SEGMENTS_MAX,
      });
      segments += covered.segments;
      isMore ||= covered.left >= CHECKPOINT_EVENTS_MAX;
    } catch (error) {
      if (!isBroken(error)) throw error;
      problems.set(chainName(chain), error.message);
    }
  }
  if (withTails) for (const [name, problem] of await register(pool, signing)) problems.set(name, problem);
  return { segments, isMore, problems };
}

export function isBroken(error: unknown): error is AppError {
  return error instanceof AppError && error.code === "failed_precondition";
}

async function alert({ pool, log }: CheckpointOptions, name: string, problem: string): Promise<void> {
  const reason = `${name} is not signed any further: ${problem}`;
  log.error({ chain: name, problem }, "cannot be signed");
  const now = Date.now();
  const about = { v: 1, kind: "alert", id: newCallId(now), tenant: INSTALLATION_TENANT, endedAt: now } as const;
  await enqueueEvents(pool, "audit", [{ ...about, code: "broken_chain", reason }]);
}

/**
 * Lists all chains as they are signed now. Of two at the same time the first one stays. What was listed and
 * is not there any more stays listed, so that it is missed; that, and why, is what it returns by the chain's name.
 */
export async function register(pool: Pool, signing: Signing): Promise<Map<string, string>> {
  // Before the chains: what it names has to be there then.
  const ground = await readGround(pool, signing);
  const chains = new Map((await readChains(pool, {})).map((chain) => [chainName(chain), chain]));
  const problems = new Map<string, string>();
  const entries: RegisterEntry[] = [];
  for (const name of new Set([...ground.signed.keys(), ...chains.keys()])) {
    const chain = chains.get(name);
    const entry = ground.signed.get(name);
    const problem = chain === undefined ? "its end is missing" : await problemOf(pool, ground, chain);
    if (problem !== undefined) problems.set(name, problem);
    const latest = problem === undefined ? chain?.checkpoint : undefined;
    if (latest !== undefined && latest.to >= (entry?.number ?? 0)) entries.push(entryOf(latest));
    else if (entry !== undefined) entries.push(entry);
  }
  if (ground.problem === undefined)
    await replaceRegister(pool, ground.register, JSON.stringify(signRegister(entries, Date.now(), ground.key)));
  return problems;
}

/**
 * Signs what of a chain is not covered. Says how many checkpoints it made, and how many events are left.
 * @throws {AppError} failed_precondition where the events are not what was recorded
 */
export async function coverChain(
  pool: Pool,
  chain: ChainState,
  options: { ground: Ground; signing: Signing; withTail: boolean; segmentsMax: number },
): Promise<{ segments: number; left: number }> {
  const { ground, signing, withTail, segmentsMax } = options;
  const problem = await problemOf(pool, ground, chain);
  if (problem !== undefined) throw new AppError("failed_precondition", problem);
  let { checkpoint } = chain;
  let segments = 0;
  const coveredNow = (): number => checkpoint?.to ?? 0;
  // More was signed since it was read.
  if (coveredNow() < (ground.signed.get(chainName(chain))?.number ?? 0)) return { segments, left: 0 };
  while (segments < segmentsMax && chain.number - coveredNow() >= (withTail ? 1 : CHECKPOINT_EVENTS_MAX)) {
    const from = coveredNow();
    const to = Math.min(chain.number, from + CHECKPOINT_EVENTS_MAX);
    const stored = await readLeaves(pool, chain, from, to);
    const hash = followChain(chain, checkpoint, stored, to);
    const { leaves } = stored!;
    const next = signCheckpoint(
      {
        ...nameOf(chain),
        from,
        to,
        root: merkleRoot(leaves).toString("hex"),
        hash: hash.toString("hex"),
        previous: checkpoint === undefined ? "" : checkpointHash(checkpoint),
        at: Date.now(),
      },
      ground.key,
    );
    // Another replica was quicker: the next turn goes on from what it has signed.
    if (!(await insertCheckpoint(pool, { checkpoint: next, leaves }, stored!))) break;
    signing.signed.set(chainName(chain), entryOf(next));
    checkpoint = next;
    segments++;
  }
  return { segments, left: chain.number - coveredNow() };
}

/** The hash that the stored events lead to from the checkpoint before them. */
function followChain(
  chain: ChainState,
  before: ChainState["checkpoint"],
  stored: Leaves | undefined,
  to: number,
): Buffer {
  const from = before?.to ?? 0;
  const refuse = (why: string): never => {
    const where = `${chainName(chain)} after ${from}`;
    throw new AppError("failed_precondition", `${where}: ${why}; VerifyRecord says what`);
  };
  if (stored === undefined || stored.count !== to - from) return refuse("events are missing, or there are too many");
  let hash = before === undefined ? genesisHash(chain) : Buffer.from(before.hash, "hex");
  for (let at = 0; at < stored.leaves.length; at += HASH_BYTES)
    hash = nextHash(hash, stored.leaves.subarray(at, at + HASH_BYTES));
  const isEnd = to === chain.number;
  if (!hash.equals(stored.hash) || (isEnd && !hash.equals(chain.hash))) return refuse("events were changed");
  return hash;
}

function nameOf({ tenant, kind }: Chain): Chain {
  return { tenant, kind };
}
