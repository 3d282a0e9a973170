import {
  type Chain,
  chainName,
  type Checkpoint,
  checkpointHash,
  type Signed,
  type SigningKey,
  signStatement,
  type StatementForm,
} from "@tollgate/evidence";

/** A signed list of all chains with the latest checkpoint of each: what was there at this time, at the least. */
export interface Register extends Signed {
  readonly v: 1;
  /** Unix milliseconds. */
  readonly at: number;
  readonly chains: readonly RegisterEntry[];
}

export interface RegisterEntry extends Chain {
  /** The last number that is covered. */
  readonly number: number;
  /** SHA-256 of the checkpoint's signed bytes: hexadecimal. */
  readonly checkpoint: string;
}

export const REGISTER_FORM: StatementForm = {
  title: "audit register",
  fields: ["v", "at", "chains", "tenant", "kind", "number", "checkpoint", "keyId"],
};

export function entryOf(checkpoint: Checkpoint): RegisterEntry {
  const { tenant, kind, to: number } = checkpoint;
  return { tenant, kind, number, checkpoint: checkpointHash(checkpoint) };
}

export function signRegister(chains: readonly RegisterEntry[], atMs: number, key: SigningKey): Register {
  return signStatement(REGISTER_FORM, { v: 1 as const, at: atMs, chains }, key);
}

/** By the chain's name; undefined where it is no register. */
export function parseRegister(text: string): { register: Register; entries: Map<string, RegisterEntry> } | undefined {
  try {
    const register = JSON.parse(text) as Register;
    if (typeof register.signature !== "string") return undefined;
    return { register, entries: new Map(register.chains.map((entry) => [chainName(entry), entry])) };
  } catch {
    return undefined;
  }
}
