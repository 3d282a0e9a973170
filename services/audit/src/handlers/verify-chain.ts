import { timeOfId } from "@tollgate/contracts";
import {
  type Chain,
  chainName,
  type Checkpoint,
  CHECKPOINT_FORM,
  checkpointHash,
  createChainVerifier,
  CUT_FORM,
  type Finding,
  genesisHash,
  HASH_BYTES,
  type KeyLine,
  merkleRoot,
  nextHash,
  parseCheckpoint,
} from "@tollgate/evidence";
import type { Pool } from "@tollgate/service";
import type { RegisterEntry } from "../domain/register.ts";
import { differingColumns, type StoredEvent } from "../domain/stored-event.ts";
import { eventsOutside, readStored } from "../store/chain-events.ts";
import {
  checkpointOver,
  type NextCheckpoint,
  nextCheckpoint,
  readChainEnd,
  type StoredCut,
} from "../store/checkpoints.ts";
import { createTailVerifier } from "./tail-verifier.ts";

interface ChainOptions {
  readonly pool: Pool;
  readonly chain: Chain;
  readonly keys: KeyLine;
  readonly entry: RegisterEntry | undefined;
  readonly cut: StoredCut | undefined;
  readonly report: (finding: Finding) => void;
}

type Report = (number: number, what: Finding["what"], detail: string, eventId?: string) => void;

/** Where a chain is known to be at. */
interface Ground {
  readonly number: number;
  readonly hash: Uint8Array;
  readonly checkpoint?: Checkpoint;
}

/** Yields how many events were looked at since the last time. */
export async function* verifyChain(options: ChainOptions): AsyncGenerator<number, void, undefined> {
  const { pool, chain, keys } = options;
  const report = reportOnce(options);
  const start = await startOf(options, report);
  const verifier = createChainVerifier({
    chain,
    start,
    keys,
    report: ({ number, what, detail, eventId }) => report(number, what, detail, eventId),
  });

  let ground = start;
  let cursor = start.number;
  for (;;) {
    const row = await nextCheckpoint(pool, chain, cursor);
    if (row === undefined) break;
    // The next one begins at `row.to`; what begins before it has no business there, and is looked at as well.
    cursor = row.from + 1;
    const checkpoint = checkpointOf(row, chain, report);
    if (checkpoint === undefined) continue;
    const leaves = row.leaves.subarray(0, row.leaves.length - (row.leaves.length % HASH_BYTES));
    verifier.checkpoint(checkpoint, leaves);
    const isTrusted = keys.problemOf(CHECKPOINT_FORM, checkpoint) === undefined;
    const to = isTrusted ? checkpoint.to : row.to;
    const hashes = isTrusted ? signedHashes(ground, checkpoint, leaves) : undefined;
    const times: number[] = [];
    for await (const page of readStored(pool, chain, ground.number, to)) {
      for (const event of page) {
        times.push(timeOfId(event.id));
        verifier.event(event.number, event.line);
        checkStored(event, hashes?.get(event.number), report);
      }
      yield page.length;
    }
    if (isTrusted && row.from === ground.number) checkTimes(row, times, report);
    if (to > ground.number) ground = { number: to, hash: Buffer.from(checkpoint.hash, "hex"), checkpoint };
  }
  verifier.end(ground);
  yield* verifyTail(options, ground, report);
  await checkRegister(options, ground, report);
}

/** Of one event one finding of each sort: a line that was changed differs from its columns, too. */
function reportOnce({ chain, report }: ChainOptions): Report {
  const told = new Set<string>();
  return (number, what, detail, eventId = "") => {
    const key = `${number} ${what}`;
    if (number !== 0 && told.has(key)) return;
    told.add(key);
    report({ tenant: chain.tenant, kind: chain.kind, number, what, detail, eventId });
  };
}

/** Where the chain begins: at its first event, or behind what was let go of and signed away. */
async function startOf({ pool, chain, keys, cut }: ChainOptions, report: Report): Promise<Ground> {
  const beginning = { number: 0, hash: genesisHash(chain) };
  const start = cut === undefined ? beginning : await startAtCut(cut);
  const end = await readChainEnd(pool, chain);
  if (end !== undefined && end.firstNumber !== start.number + 1)
    report(0, "changed", `audit.chains says that ${end.firstNumber} is its first event, and it is ${start.number + 1}`);
  for (const event of await eventsOutside(pool, chain, { before: start.number + 1 }))
    report(event.number, "inserted", "nothing is recorded with this number, or it was let go of", event.id);
  return start;

  async function startAtCut({ cut: given }: StoredCut): Promise<Ground> {
    const problem = given === undefined ? "not readable" : keys.problemOf(CUT_FORM, given);
    if (given === undefined || problem !== undefined) {
      report(0, "signature", `the cut that it begins with is ${problem}`);
      return beginning;
    }
    const { number } = given;
    const hash = Buffer.from(given.hash, "hex");
    const checkpoint = (await checkpointOver(pool, chain, number))?.checkpoint;
    if (checkpoint?.to === number && checkpoint.hash === given.hash) return { number, hash, checkpoint };
    report(number, "removed", "the checkpoint up to which it was cut is missing, or another one");
    return { number, hash };
  }
}

function checkpointOf(
  row: { from: number; to: number; checkpoint: string },
  chain: Chain,
  report: Report,
): Checkpoint | undefined {
  const checkpoint = parseCheckpoint(row.checkpoint);
  if (checkpoint === undefined) {
    report(row.to, "checkpoint", "it is not readable");
    return undefined;
  }
  if (chainName(checkpoint) !== chainName(chain)) {
    report(row.to, "checkpoint", `it is one of ${chainName(checkpoint)}`);
    return undefined;
  }
  if (checkpoint.from !== row.from || checkpoint.to !== row.to)
    report(row.to, "checkpoint", "its row says other numbers than it does");
  return checkpoint;
}

/** Evidence of a time is found by them, and retention looks by them at what may be old. */
function checkTimes(row: NextCheckpoint, times: readonly number[], report: Report): void {
  // Another finding says so.
  if (times.length !== row.to - row.from) return;
  // Of 4,096 at most.
  const isSame = row.firstTime.getTime() === Math.min(...times) && row.lastTime.getTime() === Math.max(...times);
  if (!isSame) report(row.to, "checkpoint", "its row says other times than its events");
}

/** What the hash of each event has to be; undefined where that is not signed. */
function signedHashes(ground: Ground, checkpoint: Checkpoint, leaves: Buffer): Map<number, Buffer> | undefined {
  const isNext = checkpoint.from === ground.number && leaves.length === (checkpoint.to - checkpoint.from) * HASH_BYTES;
  if (!isNext || merkleRoot(leaves).toString("hex") !== checkpoint.root) return undefined;
  const hashes = new Map<number, Buffer>();
  let hash: Uint8Array = ground.hash;
  for (let at = 0; at < leaves.length; at += HASH_BYTES) {
    const next = nextHash(hash, leaves.subarray(at, at + HASH_BYTES));
    hashes.set(checkpoint.from + 1 + at / HASH_BYTES, next);
    hash = next;
  }
  return hashes;
}

/** What no chain holds: the columns beside the line. */
function checkStored(event: StoredEvent, hash: Buffer | undefined, report: Report): void {
  const { number, id } = event;
  const differing = differingColumns(event);
  if (differing.includes("tenant") || differing.includes("kind"))
    report(number, "moved", "it is an event of another tenant or kind", id);
  else if (differing.length > 0) report(number, "changed", `not as the event says: ${differing.join(", ")}`, id);
  if (hash !== undefined && !hash.equals(event.hash))
    report(number, "changed", "its hash is not what was recorded", id);
}

async function* verifyTail(
  { pool, chain }: ChainOptions,
  ground: Ground,
  report: Report,
): AsyncGenerator<number, void, undefined> {
  const end = await readChainEnd(pool, chain);
  if (end !== undefined && end.number < ground.number) {
    report(0, "changed", `audit.chains says that it ends at ${end.number}, and ${ground.number} is signed`);
    return;
  }
  const verifier = createTailVerifier({
    start: ground,
    report: (event, what, detail) => report(event.number, what, detail, event.id),
  });
  let count = 0;
  for await (const page of readStored(pool, chain, ground.number, end?.number ?? Number.MAX_SAFE_INTEGER)) {
    for (const event of page) {
      verifier.event(event);
      checkStored(event, undefined, report);
    }
    count += page.length;
    yield page.length;
  }
  verifier.end(end);
  if (end === undefined) {
    if (count > 0 || ground.number > 0) report(0, "removed", "its end is missing in audit.chains");
    return;
  }
  for (const event of await eventsOutside(pool, chain, { after: true }))
    report(event.number, "inserted", "it stands behind the end of its chain", event.id);
}

/** What the register says was there when it was signed. */
async function checkRegister({ pool, chain, entry, cut }: ChainOptions, ground: Ground, report: Report): Promise<void> {
  if (entry === undefined || entry.number <= (cut?.cut?.number ?? 0)) return;
  if (ground.number === 0)
    return report(0, "removed", `the whole chain is missing; it had ${entry.number} events or more`);
  const checkpoint = (await checkpointOver(pool, chain, entry.number))?.checkpoint;
  if (checkpoint?.to === entry.number && checkpointHash(checkpoint) === entry.checkpoint) return;
  report(entry.number, "removed", "the checkpoint that the register of all chains names is missing, or another one");
}
