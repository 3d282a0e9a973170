import { setTimeout as delay } from "node:timers/promises";
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
  type SigningKey,
} from "@tollgate/evidence";
import type { Leadership, Log, Metrics, Pool } from "@tollgate/service";
import { signRegister } from "../domain/register.ts";
import {
  type ChainState,
  insertCheckpoint,
  type Leaves,
  readChains,
  readLeaves,
  writeRegister,
} from "../store/checkpoints.ts";
import type { Signing } from "./signing.ts";

/** How often it looks for whole segments. */
const TURN_MS = 1_000;
/** Segments of one chain in one turn, so that the others get theirs. */
const SEGMENTS_MAX = 32;

/**
 * Signs what was recorded: whole segments within a second or two, what is left of each chain every `tailsMs`. Nothing is
 * signed that does not follow from what was signed before.
 */
export function keepCheckpoints(options: {
  pool: Pool;
  leadership: Leadership;
  signing: Signing;
  /** How often segments that are not full are signed as well. */
  tailsMs: number;
  metrics: Metrics;
  log: Log;
}): void {
  const { pool, leadership, signing, tailsMs, metrics, log } = options;
  const made = metrics.counter("tollgate_audit_checkpoints_total", "Checkpoints signed");
  const broken = metrics.gauge("tollgate_audit_broken_chains", "Chains that cannot be signed: they were changed");

  leadership.run("checkpoints", async (signal, begun) => {
    // The first turn signs all: who led before may have gone without.
    let tailsAt = 0;
    const brokenChains = new Set<string>();
    while (!signal.aborted) {
      const withTails = Date.now() >= tailsAt;
      if (withTails) tailsAt = Date.now() + tailsMs;
      const chains = await readChains(pool, { uncoveredMin: withTails ? 1 : CHECKPOINT_EVENTS_MAX });
      const key = chains.length === 0 ? undefined : await signing.key(pool);
      let isMore = false;
      for (const chain of chains) {
        if (signal.aborted || key === undefined) break;
        const cover = coverChain(pool, chain, key, { withTail: withTails, segmentsMax: SEGMENTS_MAX });
        const { segments, left } = await cover.catch((error: unknown) => {
          if (!(error instanceof AppError) || error.code !== "failed_precondition") throw error;
          if (!brokenChains.has(chainName(chain))) log.error({ err: error, ...nameOf(chain) }, "cannot be signed");
          brokenChains.add(chainName(chain));
          return { segments: 0, left: 0 };
        });
        if (segments > 0) brokenChains.delete(chainName(chain));
        made.inc(segments);
        isMore ||= left >= CHECKPOINT_EVENTS_MAX;
      }
      broken.set(brokenChains.size);
      if (withTails) await register(pool, signing);
      begun();
      if (!isMore) await delay(Math.min(TURN_MS, tailsMs), undefined, { signal }).catch(() => undefined);
    }
  });
}

/** Lists all chains as they are signed now. Of two at the same time each says what was there at least. */
export async function register(pool: Pool, signing: Signing): Promise<void> {
  const chains = await readChains(pool, {});
  const checkpoints = chains.flatMap(({ checkpoint }) => checkpoint ?? []);
  if (checkpoints.length === 0) return;
  await writeRegister(pool, JSON.stringify(signRegister(checkpoints, Date.now(), await signing.key(pool))));
}

/**
 * Signs what of a chain is not covered. Says how many checkpoints it made, and how many events are left.
 * @throws {AppError} failed_precondition where the events are not what was recorded
 */
export async function coverChain(
  pool: Pool,
  chain: ChainState,
  key: SigningKey,
  { withTail, segmentsMax }: { withTail: boolean; segmentsMax: number },
): Promise<{ segments: number; left: number }> {
  let { checkpoint } = chain;
  let segments = 0;
  const coveredNow = (): number => checkpoint?.to ?? 0;
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
      key,
    );
    // Another replica was quicker: the next turn goes on from what it has signed.
    if (!(await insertCheckpoint(pool, { checkpoint: next, leaves }, stored!))) break;
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
