import { createPublicKey, type KeyObject } from "node:crypto";
import type { Parsed } from "@tollgate/contracts";
import { fingerprint, KEY_FORM, keyIdOf, type KeyRecord } from "./keys.ts";
import { isSignedBy, type Signed, type StatementForm } from "./statements.ts";

/** Keys that vouch for each other, oldest first. */
export interface KeyLine {
  readonly ids: readonly string[];
  /** Of records that do not prove themselves. */
  readonly problems: readonly string[];
  /** Why a signature is not to be trusted; undefined where it is. */
  problemOf(form: StatementForm, statement: Signed): string | undefined;
  /** A key's place in the line, or -1. */
  placeOf(id: string): number;
}

interface TrustedKey {
  readonly record: KeyRecord;
  readonly publicKey: KeyObject;
}

/**
 * @param pin the PEM of a public key, or a key's id: only keys that it vouches for are trusted, those after it since it, or
 *   one that it has signed, has signed them; those before it since it has named them. Without it all are that are here.
 */
export function openKeyLine(records: readonly KeyRecord[], pin?: string): Parsed<KeyLine> {
  const problems: string[] = [];
  const runs: TrustedKey[][] = [];
  let before: TrustedKey | undefined;
  for (const record of records) {
    const publicKey = publicKeyOf(record);
    if (publicKey === undefined) {
      problems.push(`the record of key ${record.id} was changed`);
      before = undefined;
      continue;
    }
    const key = { record, publicKey };
    if (runs.length > 0 && before !== undefined && isSuccessor(before, key)) runs.at(-1)!.push(key);
    else {
      if (runs.length > 0 || record.previous !== "") problems.push(`no key here vouches for key ${record.id}`);
      runs.push([key]);
    }
    before = key;
  }
  const pinned = pin === undefined ? undefined : pinnedKey(pin);
  if (pinned === "") return { ok: false, reason: "neither a public key in PEM nor a key's id (16 hexadecimal digits)" };
  const trusted =
    pinned === undefined
      ? runs.flat()
      : runs.find((run) => run.some(({ publicKey }) => fingerprint(publicKey).startsWith(pinned)));
  return { ok: true, value: keyLine(trusted ?? [], problems) };
}

function keyLine(keys: readonly TrustedKey[], problems: readonly string[]): KeyLine {
  const places = new Map(keys.map(({ record }, place) => [record.id, place]));
  return {
    ids: [...places.keys()],
    problems,
    placeOf: (id) => places.get(id) ?? -1,
    problemOf(form, statement) {
      const key = keys[places.get(statement.keyId) ?? -1];
      if (key === undefined) return `signed by key ${statement.keyId}, which is not among the trusted ones`;
      return isSignedBy(form, statement, key.publicKey)
        ? undefined
        : `the signature of key ${key.record.id} is not of this`;
    },
  };
}

/** Undefined where the record does not prove itself. */
function publicKeyOf(record: KeyRecord): KeyObject | undefined {
  try {
    const publicKey = createPublicKey(record.publicKey);
    const isOwn =
      publicKey.asymmetricKeyType === "ed25519" &&
      record.id === keyIdOf(publicKey) &&
      (record.previous === "") === (record.previousSignature === "") &&
      isSignedBy(KEY_FORM, { ...record, keyId: record.id }, publicKey);
    return isOwn ? publicKey : undefined;
  } catch {
    return undefined;
  }
}

function isSuccessor(before: TrustedKey, { record }: TrustedKey): boolean {
  const signed = { ...record, keyId: before.record.id, signature: record.previousSignature };
  return record.previous === fingerprint(before.publicKey) && isSignedBy(KEY_FORM, signed, before.publicKey);
}

/** The beginning of the pinned key's fingerprint; empty where it names none. */
function pinnedKey(pin: string): string {
  if (/^[0-9a-f]{16}$/.test(pin)) return pin;
  try {
    return fingerprint(createPublicKey(pin));
  } catch {
    return "";
  }
}
