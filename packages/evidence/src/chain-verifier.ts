import { type Chain, leafHash, nextHash } from "./chain.ts";
import { type Checkpoint, CHECKPOINT_FORM, checkpointHash } from "./checkpoint.ts";
import type { KeyLine } from "./key-line.ts";
import { HASH_BYTES, merkleRoot } from "./merkle.ts";
import { areLeaves, type Difference, differencesOf, type Entry, equals, leafAt } from "./segment.ts";

/** Something that is not as it was recorded. */
export interface Finding extends Chain {
  /** The event's number in its chain; 0 where the chain as a whole is meant. */
  readonly number: number;
  /** Empty where it is not known. */
  readonly eventId: string;
  readonly what: "changed" | "removed" | "inserted" | "moved" | "signature" | "checkpoint";
  readonly detail: string;
}

/**
 * Takes the checkpoints and events of one chain, in any order, and reports what differs from what was signed. Each thing
 * that was done to them is one finding, as far as that can be told: behind it the next checkpoint is the ground again.
 */
export interface ChainVerifier {
  /** @param leaves those that its root is of, one after the other */
  checkpoint(checkpoint: Checkpoint, leaves: Buffer): void;
  event(number: number, line: string): void;
  /** @param last what is known to be the chain's end */
  end(last: { number: number; hash: Uint8Array }): void;
}

/** Numbers from + 1 to `to`, under one checkpoint; or a gap, whose checkpoint is missing. */
interface Segment {
  readonly from: number;
  readonly to: number;
  readonly signed?: { readonly checkpoint: Checkpoint; readonly leaves: Buffer; readonly isTrusted: boolean };
  readonly entries: Entry[];
}

/** Segments that are open at once: what has changed places with a neighbour is still recognised. */
const OPEN_SEGMENTS_MAX = 2;
/** Events with numbers of no open segment, beyond which they are reported without being remembered. */
const STRAYS_MAX = 16_384;

export function createChainVerifier(options: {
  chain: Chain;
  /** What is known to be before the first event. */
  start: { number: number; hash: Uint8Array; checkpoint?: Checkpoint };
  keys: KeyLine;
  report: (finding: Finding) => void;
}): ChainVerifier {
  const { chain, start, keys } = options;
  const { tenant, kind } = chain;
  const report = (number: number, what: Finding["what"], detail: string, eventId = ""): void =>
    options.report({ tenant, kind, number, eventId, what, detail });

  let open: Segment[] = [];
  const strays: Entry[] = [];
  let covered = start.number;
  let closed = start.number;
  /** The hash at `closed`, and from which number on it follows from events that no signature proves. */
  let hash = start.hash;
  let unprovenFrom: number | undefined;
  let last: { checkpoint: Checkpoint; isTrusted: boolean } | undefined =
    start.checkpoint === undefined ? undefined : { checkpoint: start.checkpoint, isTrusted: true };
  let place = 0;
  let numberBefore = start.number;

  function cover(segment: Segment): void {
    open.push(segment);
    open.sort((a, b) => a.from - b.from);
    covered = Math.max(covered, segment.to);
    for (const entry of strays.filter(({ number }) => number > segment.from && number <= segment.to)) {
      strays.splice(strays.indexOf(entry), 1);
      entry.isElsewhere = segment.signed !== undefined;
      segment.entries.push(entry);
    }
    while (open.length > OPEN_SEGMENTS_MAX) close(open.shift()!);
  }

  function close(segment: Segment): void {
    closed = segment.to;
    segment.entries.sort((a, b) => a.number - b.number || a.place - b.place);
    if (segment.signed === undefined) return closeGap(segment);
    const { checkpoint, isTrusted } = segment.signed;
    const leaves = provenLeaves(segment);
    if (!areLeaves(segment.entries, leaves, segment.from))
      for (const each of differencesOf(segment.entries, leaves, segment.from, strays)) tell(each);
    const followed = fold(hash, leaves);
    if (!isTrusted) {
      hash = followed;
      unprovenFrom ??= segment.from + 1;
      return;
    }
    ground(segment.to, followed, Buffer.from(checkpoint.hash, "hex"));
  }

  /** Its leaves, or its events' where those are what was signed and the leaves are not. */
  function provenLeaves({ from, to, entries, signed }: Segment): Buffer {
    const { checkpoint, leaves, isTrusted } = signed!;
    const isRoot = leaves.length === (to - from) * HASH_BYTES && merkleRoot(leaves).toString("hex") === checkpoint.root;
    if (isRoot || !isTrusted) return leaves;
    report(to, "checkpoint", "its leaves are not those that were signed");
    const given = Buffer.concat(entries.map(({ leaf }) => leaf));
    if (given.length > 0 && merkleRoot(given).toString("hex") === checkpoint.root) return given;
    return leaves.length === (to - from) * HASH_BYTES ? leaves : given;
  }

  /** Without a checkpoint: what the next one says of the chain proves the events, all together or none. */
  function closeGap({ from, to, entries }: Segment): void {
    let expected = from + 1;
    for (const { number, id, leaf } of entries) {
      if (number < expected) {
        report(number, "inserted", "there are two of this number", id);
        continue;
      }
      if (number > expected) tellMissing(expected, number - 1);
      expected = number + 1;
      hash = nextHash(hash, leaf);
    }
    if (expected <= to) tellMissing(expected, to);
    unprovenFrom ??= from + 1;
  }

  function tellMissing(first: number, lastMissing: number): void {
    report(first, "removed", first === lastMissing ? "it is missing" : `it is missing, and all up to ${lastMissing}`);
  }

  /** From here on nothing depends on what was before. */
  function ground(number: number, followed: Uint8Array, signed: Uint8Array): void {
    if (!equals(followed, signed)) {
      if (unprovenFrom === undefined) report(number, "checkpoint", "the chain does not lead to its hash");
      else
        report(unprovenFrom, "changed", `the events from here to ${number}, or their order, are not what was recorded`);
    }
    unprovenFrom = undefined;
    hash = signed;
  }

  function tell({ number, what, detail, id }: Difference): void {
    report(number, what, detail, id);
  }

  /** Where it covers what is missing, it came late. */
  function fillGap(checkpoint: Checkpoint, leaves: Buffer, isTrusted: boolean): void {
    const { from, to } = checkpoint;
    const gap = open.find((segment) => segment.signed === undefined && segment.from <= from && to <= segment.to);
    if (gap === undefined) {
      report(to, "inserted", `a checkpoint that covers ${from + 1} to ${to} once more`);
      return;
    }
    report(to, "moved", "the checkpoint does not stand before its events");
    const within = (a: number, b: number): Entry[] => gap.entries.filter(({ number }) => number > a && number <= b);
    const parts: Segment[] = [
      { from: gap.from, to: from, entries: within(gap.from, from) },
      { from, to, entries: within(from, to), signed: { checkpoint, leaves, isTrusted } },
      { from: to, to: gap.to, entries: within(to, gap.to) },
    ];
    open = [...open.filter((segment) => segment !== gap), ...parts.filter((part) => part.to > part.from)];
    open.sort((a, b) => a.from - b.from);
  }

  function checkLink(checkpoint: Checkpoint): void {
    const { to, keyId, previous } = checkpoint;
    if (last === undefined) {
      if (start.number === 0 && previous !== "") report(to, "checkpoint", "it says that another one was before it");
      return;
    }
    if (!last.isTrusted) return;
    if (last.checkpoint.to === checkpoint.from && previous !== checkpointHash(last.checkpoint))
      report(to, "checkpoint", "it follows another checkpoint than the one before it");
    if (keys.placeOf(keyId) < keys.placeOf(last.checkpoint.keyId))
      report(to, "signature", `signed by key ${keyId} after a later key had taken over`);
  }

  return {
    checkpoint(given, leaves) {
      const problem = keys.problemOf(CHECKPOINT_FORM, given);
      const isTrusted = problem === undefined;
      let checkpoint = given;
      if (!isTrusted) {
        report(given.to, "signature", `the checkpoint is ${problem}`);
        // What it says of itself may be wrong; how many leaves it has and where it stands is more likely right.
        checkpoint = { ...given, from: covered, to: covered + Math.max(1, Math.floor(leaves.length / HASH_BYTES)) };
      }
      if (checkpoint.from < covered) return fillGap(checkpoint, leaves, isTrusted);
      if (checkpoint.from > covered) {
        report(covered + 1, "removed", `the checkpoint that covers ${covered + 1} to ${checkpoint.from} is missing`);
        cover({ from: covered, to: checkpoint.from, entries: [] });
        last = undefined;
      } else if (isTrusted) checkLink(checkpoint);
      cover({ from: checkpoint.from, to: checkpoint.to, entries: [], signed: { checkpoint, leaves, isTrusted } });
      last = { checkpoint, isTrusted };
    },

    event(number, line) {
      const leaf = leafHash(line);
      const segment = open.find(({ from, to }) => number > from && number <= to);
      const expected = segment?.signed && leafAt(segment.signed.leaves, number - segment.from - 1);
      const isExpected = number === numberBefore + 1 && expected !== undefined && equals(leaf, expected);
      const isElsewhere = segment?.signed !== undefined && segment.to < covered;
      const id = isExpected && !isElsewhere ? "" : idOf(line);
      const entry: Entry = { number, leaf, id, place: place++, isElsewhere };
      numberBefore = number;
      if (segment !== undefined && segment.entries.length <= 2 * (segment.to - segment.from))
        segment.entries.push(entry);
      else if (number > closed && strays.length < STRAYS_MAX) strays.push(entry);
      else report(number, "inserted", "nothing like it was recorded here", entry.id);
    },

    end(known) {
      if (known.number > covered) {
        report(covered + 1, "removed", `the checkpoint that covers ${covered + 1} to ${known.number} is missing`);
        cover({ from: covered, to: known.number, entries: [] });
      }
      for (const segment of open.splice(0)) close(segment);
      for (const { number, id } of strays) report(number, "inserted", "nothing like it was recorded here", id);
      if (closed === known.number) ground(known.number, hash, known.hash);
      else report(closed, "inserted", `the chain ends at ${known.number}`);
    },
  };
}

function fold(hash: Uint8Array, leaves: Buffer): Uint8Array {
  let at = hash;
  for (let next = 0; next < leaves.length; next += HASH_BYTES)
    at = nextHash(at, leaves.subarray(next, next + HASH_BYTES));
  return at;
}

/** An event's id, or nothing where the line is no event any more. */
function idOf(line: string): string {
  try {
    const event = JSON.parse(line) as { id?: unknown } | null;
    return typeof event?.id === "string" ? event.id : "";
  } catch {
    return "";
  }
}
