import type { Parsed } from "@tollgate/contracts";
import type { Chain } from "./chain.ts";
import { type Checkpoint, type Cut, isCheckpoint, isCut } from "./checkpoint.ts";
import type { KeyRecord, SigningKey } from "./keys.ts";
import { CHECKPOINT_EVENTS_MAX } from "./chain.ts";
import { HASH_BYTES } from "./merkle.ts";
import { type Fields, isCount, matches } from "./shape.ts";
import { type Signed, signStatement, type StatementForm } from "./statements.ts";

/** What of a chain is in the file: the numbers from + 1 to `to`, whole segments. */
export interface ChainRange extends Chain {
  readonly from: number;
  readonly to: number;
  /** The chain's hash at `from` and at `to`: hexadecimal. */
  readonly fromHash: string;
  readonly toHash: string;
}

/** The first line: what was asked for, and all that has to follow. */
export interface EvidenceHeader extends Signed {
  readonly v: 1;
  /** Empty: every tenant, every kind. */
  readonly tenant: string;
  readonly kind: string;
  /** Unix milliseconds, or null for no bound: each chain's segments that hold an event of this time. */
  readonly fromMs: number | null;
  readonly toMs: number | null;
  readonly at: number;
  /** In the order in which they follow. */
  readonly chains: readonly ChainRange[];
}

/** A line of an evidence file (docs/evidence.md). */
export type EvidenceLine =
  | { readonly type: "evidence"; readonly header: EvidenceHeader; readonly keys: readonly KeyRecord[] }
  /** A chain begins: with the checkpoint that ends there, and with the cut where the events before were let go of. */
  | {
      readonly type: "chain";
      readonly chain: ChainRange;
      readonly checkpoint: Checkpoint | null;
      readonly cut: Cut | null;
    }
  /** Before its events. @param leaves those of its tree, one after the other: base64 */
  | { readonly type: "checkpoint"; readonly checkpoint: Checkpoint; readonly leaves: string }
  | { readonly type: "event"; readonly number: number; readonly line: string }
  | ({ readonly type: "end"; readonly number: number; readonly hash: string } & Chain)
  | { readonly type: "total"; readonly chains: number; readonly checkpoints: number; readonly events: number };

export const HEADER_FORM: StatementForm = {
  title: "audit evidence",
  fields: ["v", "at", "fromMs", "toMs", "chains", "tenant", "kind", "from", "to", "fromHash", "toHash", "keyId"],
};

const HEADER_FIELDS: Fields = {
  v: "one",
  tenant: "text",
  kind: "text",
  fromMs: "time?",
  toMs: "time?",
  at: "count",
  chains: "any",
  keyId: "text",
  signature: "text",
};
const RANGE_FIELDS: Fields = {
  tenant: "text",
  kind: "text",
  from: "count",
  to: "count",
  fromHash: "hash",
  toHash: "hash",
};
const KEY_FIELDS: Fields = {
  v: "one",
  id: "text",
  publicKey: "text",
  at: "count",
  previous: "hash?",
  signature: "text",
  previousSignature: "text",
};
const LINE_FIELDS: Readonly<Record<EvidenceLine["type"], Fields>> = {
  evidence: { type: "text", header: "any", keys: "any" },
  chain: { type: "text", chain: "any", checkpoint: "any", cut: "any" },
  checkpoint: { type: "text", checkpoint: "any", leaves: "text" },
  event: { type: "text", number: "count", line: "text" },
  end: { type: "text", tenant: "text", kind: "text", number: "count", hash: "hash" },
  total: { type: "text", chains: "count", checkpoints: "count", events: "count" },
};

export function signHeader(fields: Omit<EvidenceHeader, "v" | keyof Signed>, key: SigningKey): EvidenceHeader {
  return signStatement(HEADER_FORM, { v: 1 as const, ...fields }, key);
}

export function formatEvidenceLine(line: EvidenceLine): string {
  return JSON.stringify(line);
}

export function parseEvidenceLine(text: string): Parsed<EvidenceLine> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { ok: false, reason: "not JSON" };
  }
  const type = (value as { type?: unknown } | null)?.type;
  if (typeof type !== "string" || !Object.hasOwn(LINE_FIELDS, type)) return { ok: false, reason: "of no known type" };
  const line = value as EvidenceLine;
  const isRight = matches(value, LINE_FIELDS[line.type]) && isWhole(line);
  return isRight ? { ok: true, value: line } : { ok: false, reason: `no ${type} line` };
}

/** What is inside of a line whose own fields are there. */
function isWhole(line: EvidenceLine): boolean {
  switch (line.type) {
    case "evidence":
      return isHeader(line.header) && isKeyRecords(line.keys);
    case "chain":
      return (
        matches(line.chain, RANGE_FIELDS) &&
        (line.checkpoint === null || isCheckpoint(line.checkpoint)) &&
        (line.cut === null || isCut(line.cut))
      );
    case "checkpoint":
      return isCheckpoint(line.checkpoint) && leavesOf(line.leaves) !== undefined;
    default:
      return true;
  }
}

function isHeader(value: EvidenceHeader): boolean {
  return (
    matches(value, HEADER_FIELDS) &&
    Array.isArray(value.chains) &&
    value.chains.every((range: unknown) => matches(range, RANGE_FIELDS))
  );
}

export function isKeyRecords(value: unknown): value is KeyRecord[] {
  return Array.isArray(value) && value.every((record: unknown) => matches(record, KEY_FIELDS));
}

/** Undefined where it is none. */
export function parseKeyRecord(text: string): KeyRecord | undefined {
  try {
    const record: unknown = JSON.parse(text);
    return matches(record, KEY_FIELDS) ? (record as unknown as KeyRecord) : undefined;
  } catch {
    return undefined;
  }
}

/** Undefined where they are not leaves of one segment. */
export function leavesOf(base64: string): Buffer | undefined {
  const leaves = Buffer.from(base64, "base64");
  const count = leaves.length / HASH_BYTES;
  return isCount(count) && count > 0 && count <= CHECKPOINT_EVENTS_MAX && leaves.toString("base64") === base64
    ? leaves
    : undefined;
}
