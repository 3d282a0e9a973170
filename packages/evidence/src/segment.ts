import { HASH_BYTES } from "./merkle.ts";

/** An event as it was given, for comparing. */
export interface Entry {
  /** That it is given with. */
  readonly number: number;
  readonly leaf: Uint8Array;
  /** Known where the event did not come as expected. */
  readonly id: string;
  /** Its place among all that were given. */
  readonly place: number;
  /** It came before its segment's checkpoint, or after the next one's. */
  isElsewhere: boolean;
}

export interface Difference {
  readonly number: number;
  readonly id: string;
  readonly what: "changed" | "removed" | "inserted" | "moved";
  readonly detail: string;
}

/** Whether the entries are the leaves, each in its place. */
export function areLeaves(entries: readonly Entry[], leaves: Uint8Array, from: number): boolean {
  if (entries.length * HASH_BYTES !== leaves.length) return false;
  let place = -1;
  return entries.every((entry, at) => {
    const isInOrder = entry.place > place && !entry.isElsewhere;
    const isNext = isInOrder && entry.number === from + 1 + at && equals(entry.leaf, leafAt(leaves, at));
    place = entry.place;
    return isNext;
  });
}

/**
 * Names what differs between the events that were given and the leaves of the events with the numbers after `from`.
 * @param strays events whose numbers are of no segment; those that belong here are taken out of it
 */
export function differencesOf(
  entries: readonly Entry[],
  leaves: Uint8Array,
  from: number,
  strays: Entry[],
): Difference[] {
  const slots = Array.from<Entry | undefined>({ length: leaves.length / HASH_BYTES });
  const differences: Difference[] = [];
  const unfit = entries.filter((entry) => {
    const at = entry.number - from - 1;
    const isFit = slots[at] === undefined && equals(entry.leaf, leafAt(leaves, at));
    if (isFit) slots[at] = entry;
    return !isFit;
  });
  for (const { number, id } of outOfOrder(slots.filter((entry) => entry !== undefined)))
    differences.push({ number, id, what: "moved", detail: "it does not stand where its number belongs" });
  const nowhere = fillByLeaf(slots, unfit, leaves, (at, entry) => {
    differences.push({
      number: from + 1 + at,
      id: entry.id,
      what: "changed",
      detail: `its number says ${entry.number}`,
    });
  });
  for (const entry of nowhere) {
    const at = entry.number - from - 1;
    const what = slots[at] === undefined ? "changed" : "inserted";
    slots[at] ??= entry;
    const detail = what === "changed" ? "it is not what was recorded" : "nothing like it was recorded here";
    differences.push({ number: entry.number, id: entry.id, what, detail });
  }
  fillByLeaf(slots, strays, leaves, (at, entry) => {
    strays.splice(strays.indexOf(entry), 1);
    differences.push({
      number: from + 1 + at,
      id: entry.id,
      what: "changed",
      detail: `its number says ${entry.number}`,
    });
  });
  for (const [at, entry] of slots.entries())
    if (entry === undefined)
      differences.push({ number: from + 1 + at, id: "", what: "removed", detail: "it was recorded and is missing" });
  return differences.toSorted((a, b) => a.number - b.number);
}

/** Puts entries into the empty slots whose leaves they are; returns those that are none's. */
function fillByLeaf(
  slots: (Entry | undefined)[],
  entries: readonly Entry[],
  leaves: Uint8Array,
  found: (at: number, entry: Entry) => void,
): Entry[] {
  if (entries.length === 0) return [];
  const empty = new Map<string, number>();
  for (const [at, slot] of slots.entries())
    if (slot === undefined) empty.set(Buffer.from(leafAt(leaves, at)).toString("hex"), at);
  return [...entries].filter((entry) => {
    const at = empty.get(Buffer.from(entry.leaf).toString("hex"));
    if (at === undefined || slots[at] !== undefined) return true;
    slots[at] = entry;
    found(at, entry);
    return false;
  });
}

/**
 * Those that have to be taken out so that the places of the others rise: as few as possible. Where most are elsewhere it
 * is not they that were moved, but the checkpoint.
 */
function outOfOrder(all: readonly Entry[]): Entry[] {
  const elsewhere = all.filter(({ isElsewhere }) => isElsewhere);
  const isMoved = elsewhere.length * 2 <= all.length;
  const entries = isMoved ? all.filter(({ isElsewhere }) => !isElsewhere) : all;
  const stayed = risingEntries(entries);
  return all.filter((entry) => !stayed.has(entry));
}

function risingEntries(entries: readonly Entry[]): Set<Entry> {
  // The longest rising subsequence by patience sorting: ends[n] is the lowest end of one of n + 1 entries.
  const ends: number[] = [];
  const before: number[] = [];
  for (const [at, { place }] of entries.entries()) {
    let low = 0;
    for (let high = ends.length; low < high;) {
      const middle = (low + high) >> 1;
      if (entries[ends[middle]!]!.place < place) low = middle + 1;
      else high = middle;
    }
    before[at] = low === 0 ? -1 : ends[low - 1]!;
    ends[low] = at;
  }
  const rising = new Set<Entry>();
  for (let at = ends.at(-1) ?? -1; at >= 0; at = before[at]!) rising.add(entries[at]!);
  return rising;
}

export function leafAt(leaves: Uint8Array, at: number): Uint8Array {
  return leaves.subarray(at * HASH_BYTES, (at + 1) * HASH_BYTES);
}

export function equals(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}
