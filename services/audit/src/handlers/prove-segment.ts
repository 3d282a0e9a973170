import { isCallId, timeOfId } from "@tollgate/contracts";
import { chainName, CHECKPOINT_FORM, HASH_BYTES, type KeyLine, leafHash, merkleRoot } from "@tollgate/evidence";
import type { Pool } from "@tollgate/service";
import type { Segment } from "../domain/retention.ts";
import { readLines } from "../store/chain-events.ts";
import { readCheckpoint } from "../store/retention.ts";

/** A segment with times that are proven, and the chain's hash at its end. */
export interface ProvenSegment extends Segment {
  readonly hash: string;
}

/**
 * Its times by its events themselves, each of which has to be the one whose leaf was signed: what stands beside a
 * checkpoint is in no signature. Where all of them are gone, the time of signing is all that is known.
 * @returns why it cannot be let go of, or the segment
 */
export async function proveSegment(pool: Pool, keys: KeyLine, segment: Segment): Promise<ProvenSegment | string> {
  const { tenant, kind, from, to } = segment;
  const row = await readCheckpoint(pool, segment);
  const about = `the checkpoint of ${tenant}/${kind} up to ${to}`;
  if (row === undefined) return `${about} is missing or not readable`;
  const { checkpoint, leaves } = row;
  const problem = keys.problemOf(CHECKPOINT_FORM, checkpoint);
  if (problem !== undefined) return `${about} is ${problem}`;
  if (chainName(checkpoint) !== chainName(segment) || checkpoint.from !== from || checkpoint.to !== to)
    return `${about} says something else`;
  if (leaves.length !== (to - from) * HASH_BYTES || merkleRoot(leaves).toString("hex") !== checkpoint.root)
    return `the leaves of ${about} are not those that were signed`;

  let [firstTimeMs, lastTimeMs] = [Infinity, -Infinity];
  for await (const page of readLines(pool, segment, from, to))
    for (const { number, line } of page) {
      const at = (number - from - 1) * HASH_BYTES;
      if (!leafHash(line).equals(leaves.subarray(at, at + HASH_BYTES)))
        return `event ${number} of ${tenant}/${kind} is not what was recorded`;
      const timeMs = timeOfLine(line);
      firstTimeMs = Math.min(firstTimeMs, timeMs);
      lastTimeMs = Math.max(lastTimeMs, timeMs);
    }
  if (lastTimeMs === -Infinity) [firstTimeMs, lastTimeMs] = [-Infinity, checkpoint.at];
  return { ...segment, firstTimeMs, lastTimeMs, hash: checkpoint.hash };
}

/** Of a line that was recorded, so that it has an id. */
function timeOfLine(line: string): number {
  const { id } = JSON.parse(line) as { id: unknown };
  return isCallId(id) ? timeOfId(id) : Infinity;
}
