import { createHmac } from "node:crypto";
import type { EntryKey, OverlayEntry, WrittenEntry } from "@tollgate/desired-state";
import canonicalize from "canonicalize";

// Two may say what an entry is: the file and the API. What is in force is the API's word where there is one, else the
// file's. The API's word goes on through restarts and through other changes of the file; it ends when the file says
// something else of that very entry than it did before, which is the newer word then, and when both say the same.

export type EntryValue = Readonly<Record<string, unknown>>;

/** What is kept of an entry. */
export interface Layers extends EntryKey {
  /** Of what the file says, salted; null where it says nothing. */
  readonly fileHash: string | null;
  /** What the API says, secrets among it; "removed" where it has taken away what the file has. */
  readonly api: (() => EntryValue) | "removed" | undefined;
  /** Why what is sealed of it cannot be opened: what it says reads "(hidden)" there, and cannot be in force. */
  readonly unopened?: string;
}

export type Drift = "" | "added" | "changed" | "removed";

export function keyOf({ kind, id }: EntryKey): string {
  return `${kind} ${id}`;
}

export function driftOf({ fileHash, api }: Layers): Drift {
  if (api === undefined) return "";
  if (api === "removed") return "removed";
  return fileHash === null ? "added" : "changed";
}

/** Whether two mean the same: the order of keys makes no difference. */
export function isSameValue(a: EntryValue, b: EntryValue): boolean {
  return canonicalText(a) === canonicalText(b);
}

/** It may hold secrets, which nobody who has the hash should be able to look up in a table. */
export function hashEntry(value: EntryValue, salt: string): string {
  return `${salt}:${createHmac("sha256", salt).update(canonicalText(value)).digest("hex")}`;
}

function canonicalText(value: EntryValue): string {
  const json = JSON.stringify(value);
  try {
    return canonicalize(JSON.parse(json)) ?? "";
  } catch {
    // Half a character has no canonical form: such a text is the same only as it is written.
    return json;
  }
}

function isHashOf(hash: string | null | undefined, value: EntryValue): boolean {
  return hash !== null && hash !== undefined && hash === hashEntry(value, hash.slice(0, hash.indexOf(":")));
}

/**
 * What changes when the file says this: its word of an entry that is another one than before ends the API's.
 * @param newSalt never gives the same twice
 */
export function layersByFile(
  known: ReadonlyMap<string, Layers>,
  file: readonly WrittenEntry[],
  newSalt: () => string,
): Layers[] {
  const said = file.flatMap(({ kind, id, value }): Layers[] => {
    if (isHashOf(known.get(keyOf({ kind, id }))?.fileHash, value)) return [];
    return [{ kind, id, fileHash: hashEntry(value, newSalt()), api: undefined }];
  });
  const here = new Set(file.map(keyOf));
  const gone = [...known.values()].filter((each) => each.fileHash !== null && !here.has(keyOf(each)));
  return [...said, ...gone.map(({ kind, id }) => ({ kind, id, fileHash: null, api: undefined }))];
}

/** Whether this file is the one that was applied last. */
export function isAppliedFile(known: ReadonlyMap<string, Layers>, file: readonly WrittenEntry[]): boolean {
  return layersByFile(known, file, () => "").length === 0;
}

/** What changes when the API says this of an entry, undefined where nothing does. @param value undefined: it is to go */
export function layersByApi(
  known: Layers | undefined,
  said: EntryKey & { readonly value: EntryValue | undefined },
  ofFile: EntryValue | undefined,
): Layers | undefined {
  const { kind, id, value } = said;
  const before = known && valueInForce(known, ofFile);
  if (value === undefined ? before === undefined : before !== undefined && isSameValue(value, before)) return undefined;
  const next = { kind, id, fileHash: known?.fileHash ?? null };
  if (value === undefined) return { ...next, api: ofFile === undefined ? undefined : "removed" };
  return { ...next, api: ofFile !== undefined && isSameValue(value, ofFile) ? undefined : () => value };
}

/** Undefined where the entry is not in force. */
export function valueInForce({ api }: Layers, ofFile: EntryValue | undefined): EntryValue | undefined {
  if (api === "removed") return undefined;
  return api === undefined ? ofFile : api();
}

/** What the API's words put over the file, in the order given. */
export function overlayOf(layers: Iterable<Layers>): OverlayEntry[] {
  return [...layers].flatMap(({ kind, id, api }) =>
    api === undefined ? [] : [{ kind, id, value: api === "removed" ? undefined : api() }],
  );
}

/** Of an entry in a list of them, beside its text: its key, who has changed it, why it is set aside. */
const ENTRY_EXTRA_BYTES = 1_000;

/** How much a list of the API's words is. */
export function bytesOf(layers: Iterable<Layers>): number {
  return [...layers].reduce((sum, { api }) => {
    if (api === undefined) return sum;
    return sum + ENTRY_EXTRA_BYTES + (api === "removed" ? 0 : Buffer.byteLength(JSON.stringify(api())));
  }, 0);
}
