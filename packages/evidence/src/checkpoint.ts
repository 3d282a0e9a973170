import type { Chain } from "./chain.ts";
import { CHECKPOINT_EVENTS_MAX } from "./chain.ts";
import type { SigningKey } from "./keys.ts";
import { type Fields, matches } from "./shape.ts";
import { type Signed, signStatement, statementHash, type StatementForm } from "./statements.ts";

/** What a key says of the events of one chain with the numbers from + 1 to `to`. Hashes are hexadecimal. */
export interface Checkpoint extends Chain, Signed {
  readonly v: 1;
  readonly from: number;
  readonly to: number;
  /** Of the Merkle tree over their leaves. */
  readonly root: string;
  /** The chain's hash at `to`. */
  readonly hash: string;
  /** SHA-256 of the signed bytes of the checkpoint before it; empty for the first one. */
  readonly previous: string;
  /** Unix milliseconds. */
  readonly at: number;
}

/** What a key says of events that were let go of: all up to `number` were there once, and are gone on purpose. */
export interface Cut extends Chain, Signed {
  readonly v: 1;
  readonly number: number;
  /** The chain's hash at `number`: hexadecimal. */
  readonly hash: string;
  /** Unix milliseconds. */
  readonly at: number;
}

export const CHECKPOINT_FORM: StatementForm = {
  title: "audit checkpoint",
  fields: ["v", "tenant", "kind", "from", "to", "root", "hash", "previous", "at", "keyId"],
};
export const CUT_FORM: StatementForm = {
  title: "audit cut",
  fields: ["v", "tenant", "kind", "number", "hash", "at", "keyId"],
};

export function signCheckpoint(fields: Omit<Checkpoint, "v" | keyof Signed>, key: SigningKey): Checkpoint {
  return signStatement(CHECKPOINT_FORM, { v: 1 as const, ...fields }, key);
}

export function signCut(fields: Omit<Cut, "v" | keyof Signed>, key: SigningKey): Cut {
  return signStatement(CUT_FORM, { v: 1 as const, ...fields }, key);
}

/** What the next checkpoint of the chain says of this one. */
export function checkpointHash(checkpoint: Checkpoint): string {
  return statementHash(CHECKPOINT_FORM, checkpoint);
}

const CHECKPOINT_FIELDS: Fields = {
  v: "one",
  tenant: "text",
  kind: "text",
  from: "count",
  to: "count",
  root: "hash",
  hash: "hash",
  previous: "hash?",
  at: "count",
  keyId: "text",
  signature: "text",
};
const CUT_FIELDS: Fields = {
  v: "one",
  tenant: "text",
  kind: "text",
  number: "count",
  hash: "hash",
  at: "count",
  keyId: "text",
  signature: "text",
};

export function isCheckpoint(value: unknown): value is Checkpoint {
  if (!matches(value, CHECKPOINT_FIELDS)) return false;
  const { from, to } = value as unknown as Checkpoint;
  return to > from && to - from <= CHECKPOINT_EVENTS_MAX;
}

/** Undefined where it is none. */
export function parseCheckpoint(text: string): Checkpoint | undefined {
  const value = parseJson(text);
  return isCheckpoint(value) ? value : undefined;
}

/** Undefined where it is none. */
export function parseCut(text: string): Cut | undefined {
  const value = parseJson(text);
  return isCut(value) ? value : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function isCut(value: unknown): value is Cut {
  return matches(value, CUT_FIELDS);
}
