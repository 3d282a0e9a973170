import type { Parsed } from "@tollgate/contracts";
import { type Chain, leafHash } from "./chain.ts";
import { type Checkpoint, CHECKPOINT_FORM, isCheckpoint } from "./checkpoint.ts";
import { isKeyRecords } from "./evidence-file.ts";
import { openKeyLine } from "./key-line.ts";
import type { KeyRecord } from "./keys.ts";
import { inclusionPath, rootOfPath } from "./merkle.ts";
import { isHash, matches } from "./shape.ts";

/** That one event is in the record: its leaf is in the tree whose root a key has signed. */
export interface InclusionProof extends Chain {
  readonly v: 1;
  readonly number: number;
  /** Hexadecimal, like the path: its neighbours in the tree from the bottom to the top. */
  readonly leaf: string;
  readonly path: readonly string[];
  readonly checkpoint: Checkpoint;
  readonly keys: readonly KeyRecord[];
}

export function proveInclusion(options: {
  number: number;
  line: string;
  checkpoint: Checkpoint;
  leaves: Uint8Array;
  keys: readonly KeyRecord[];
}): InclusionProof {
  const { number, line, checkpoint, leaves, keys } = options;
  const { tenant, kind, from } = checkpoint;
  const path = inclusionPath(leaves, number - from - 1).map((hash) => hash.toString("hex"));
  return { v: 1, tenant, kind, number, leaf: leafHash(line).toString("hex"), path, checkpoint, keys };
}

/**
 * Why the proof does not hold, or the ids of the keys that it rests on.
 * @param pin see openKeyLine
 */
export function checkInclusion(line: string, proof: unknown, pin?: string): Parsed<readonly string[]> {
  const refuse = (reason: string): { ok: false; reason: string } => ({ ok: false, reason });
  if (!isProof(proof)) return refuse("the proof is not one: fields are missing, or others are there");
  const { tenant, kind, number, leaf, path, checkpoint, keys } = proof;
  const opened = openKeyLine(keys, pin);
  if (!opened.ok) return opened;
  const problem = opened.value.problems[0] ?? opened.value.problemOf(CHECKPOINT_FORM, checkpoint);
  if (problem !== undefined) return refuse(`the checkpoint: ${problem}`);
  if (checkpoint.tenant !== tenant || checkpoint.kind !== kind) return refuse("the checkpoint is another chain's");
  if (number <= checkpoint.from || number > checkpoint.to) return refuse("the checkpoint does not cover this number");
  if (leafHash(line).toString("hex") !== leaf) return refuse("the event is not what was recorded");
  const root = rootOfPath({
    leaf: Buffer.from(leaf, "hex"),
    index: number - checkpoint.from - 1,
    size: checkpoint.to - checkpoint.from,
    path: path.map((hash) => Buffer.from(hash, "hex")),
  });
  if (root?.toString("hex") !== checkpoint.root) return refuse("the path does not lead to the root that was signed");
  return { ok: true, value: opened.value.ids };
}

function isProof(value: unknown): value is InclusionProof {
  const fields = {
    v: "one",
    tenant: "text",
    kind: "text",
    number: "count",
    leaf: "hash",
    path: "any",
    checkpoint: "any",
    keys: "any",
  } as const;
  if (!matches(value, fields)) return false;
  const { path, checkpoint, keys } = value;
  return Array.isArray(path) && path.every(isHash) && isCheckpoint(checkpoint) && isKeyRecords(keys);
}
