import {
  chainName,
  CHECKPOINT_FORM,
  checkpointHash,
  CUT_FORM,
  type KeyLine,
  type SigningKey,
} from "@tollgate/evidence";
import type { Pool } from "@tollgate/service";
import { parseRegister, REGISTER_FORM, type RegisterEntry } from "../domain/register.ts";
import { type ChainState, checkpointAt, readCut, readRegister } from "../store/checkpoints.ts";
import type { Signing } from "./signing.ts";

/** What signing goes on from. */
export interface Ground {
  readonly key: SigningKey;
  readonly keys: KeyLine;
  /** By the chain's name, what is known to have been signed last: by the register, and by this process. */
  readonly signed: ReadonlyMap<string, RegisterEntry>;
  /** The register as it is stored. */
  readonly register: string;
  /** Why nothing at all may be signed. */
  readonly problem: string | undefined;
}

export async function readGround(pool: Pool, signing: Signing): Promise<Ground> {
  const key = await signing.key(pool);
  const keys = await signing.trusted(pool);
  const text = await readRegister(pool);
  const register = text === undefined ? undefined : parseRegister(text);
  const why = register === undefined ? "missing or not readable" : keys.problemOf(REGISTER_FORM, register.register);
  const signed = new Map(register?.entries);
  for (const [name, entry] of signing.signed)
    if (entry.number >= (signed.get(name)?.number ?? 0)) signed.set(name, entry);
  return { key, keys, signed, register: text ?? "", problem: why && `the register of all chains is ${why}` };
}

/** Why nothing may be signed of a chain; undefined where all is there that was signed. */
export async function problemOf(pool: Pool, ground: Ground, chain: ChainState): Promise<string | undefined> {
  if (ground.problem !== undefined) return ground.problem;
  const { checkpoint, isUnreadable, number } = chain;
  if (isUnreadable) return "its latest checkpoint is not readable";
  const problem = checkpoint && ground.keys.problemOf(CHECKPOINT_FORM, checkpoint);
  if (problem !== undefined) return `its latest checkpoint is ${problem}`;
  if (number < (checkpoint?.to ?? 0)) return "it ends before what was signed";
  const entry = ground.signed.get(chainName(chain));
  if (entry === undefined || (await isThere(pool, ground, chain, entry))) return undefined;
  return `the checkpoint up to ${entry.number}, which was signed, is missing or another one`;
}

async function isThere(pool: Pool, { keys }: Ground, chain: ChainState, entry: RegisterEntry): Promise<boolean> {
  const { checkpoint: latest } = chain;
  const signed = latest?.to === entry.number ? latest : await checkpointAt(pool, chain, entry.number);
  if (signed !== undefined && checkpointHash(signed) === entry.checkpoint) return true;
  // Retention lets go of those before its cut.
  const cut = await readCut(pool, chain);
  if (cut === undefined || cut.number <= entry.number || keys.problemOf(CUT_FORM, cut) !== undefined) return false;
  return (await checkpointAt(pool, chain, cut.number))?.hash === cut.hash;
}
