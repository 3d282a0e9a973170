import { isDeepStrictEqual } from "node:util";
import type { Source } from "./policy.ts";

// The file and the API may both speak of a policy or a limit, and the newer word holds. So it is kept what the file said
// last: what it says again is no word, however often it is applied; what it says anew, or leaves out, is one.

/** A policy or limit as the file has it. */
export interface FileEntry {
  readonly id: string;
  /** What comes back of it from JSON. */
  readonly entry: unknown;
}

interface InForce {
  readonly id: string;
  readonly source: Source;
}

/**
 * What has to be done so that the file's word holds where it is the newer one.
 * @param options.said what the file said last; nothing is known of what it said before that was kept, so its own entries
 * that are in force are compared themselves
 */
export function planFile<R extends InForce, W extends { readonly id: string }>(options: {
  readonly said: ReadonlyMap<string, unknown>;
  readonly stored: readonly R[];
  readonly wanted: readonly W[];
  readonly isSame: (record: R, wanted: W) => boolean;
}): { readonly remove: readonly R[]; readonly put: readonly W[]; readonly entries: readonly FileEntry[] } {
  const { said, stored, wanted, isSame } = options;
  const inForce = new Map(stored.map((record) => [record.id, record]));
  const entries = wanted.map((each) => ({ id: each.id, entry: toEntry(each) }));
  const put = wanted.filter((each, at) => {
    if (isDeepStrictEqual(said.get(each.id), entries[at]!.entry)) return false;
    const record = inForce.get(each.id);
    return record === undefined || record.source !== "file" || !isSame(record, each);
  });
  const kept = new Set(wanted.map(({ id }) => id));
  const remove = stored.filter(({ id, source }) => !kept.has(id) && (source === "file" || said.has(id)));
  return { remove, put, entries };
}

/**
 * What a document that somebody sends would change.
 * @param options.prune what it does not have is removed
 */
export function planDocument<R extends { readonly id: string }, W extends { readonly id: string }>(options: {
  readonly stored: readonly R[];
  readonly wanted: readonly W[];
  readonly isSame: (record: R, wanted: W) => boolean;
  readonly prune: boolean;
  readonly countMax: number;
}): {
  readonly put: readonly { wanted: W; before: R | undefined }[];
  readonly remove: readonly R[];
  /** So many there would be, where that is too many. */
  readonly tooMany: number | undefined;
} {
  const { stored, wanted, isSame, prune, countMax } = options;
  const inForce = new Map(stored.map((record) => [record.id, record]));
  const kept = new Set(wanted.map(({ id }) => id));
  const put = wanted
    .map((each) => ({ wanted: each, before: inForce.get(each.id) }))
    .filter(({ wanted: each, before }) => before === undefined || !isSame(before, each));
  const remove = prune ? stored.filter(({ id }) => !kept.has(id)) : [];
  const count = stored.length + put.filter(({ before }) => before === undefined).length - remove.length;
  return { put, remove, tooMany: count > countMax ? count : undefined };
}

/** Whose word something is that the API says: the file's again, where it says the same. */
export function sourceOf(said: ReadonlyMap<string, unknown>, given: { readonly id: string }): Source {
  return isDeepStrictEqual(said.get(given.id), toEntry(given)) ? "file" : "api";
}

export interface EntryDrift<R> {
  readonly id: string;
  readonly drift: "added" | "changed" | "removed";
  readonly said: unknown;
  readonly record: R | undefined;
}

/** Where what is in force is not what the file said last. */
export function driftOf<R extends InForce>(said: ReadonlyMap<string, unknown>, stored: readonly R[]): EntryDrift<R>[] {
  const present = new Set(stored.map(({ id }) => id));
  const removed = [...said].filter(([id]) => !present.has(id));
  return [
    ...stored
      .filter(({ source }) => source === "api")
      .map((record): EntryDrift<R> => {
        const { id } = record;
        return { id, drift: said.has(id) ? "changed" : "added", said: said.get(id), record };
      }),
    ...removed.map(([id, entry]): EntryDrift<R> => ({ id, drift: "removed", said: entry, record: undefined })),
  ];
}

function toEntry(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}
