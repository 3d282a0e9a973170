import { leafHash, nextHash } from "@tollgate/evidence";
import type { StoredEvent } from "../domain/stored-event.ts";

type Report = (event: { number: number; id: string }, what: "changed" | "removed" | "inserted", detail: string) => void;

/**
 * Proves events that no checkpoint covers yet by their stored hashes, in the order of their numbers. Where one does not
 * follow, the event behind it tells whether it or its hash was changed.
 */
export function createTailVerifier(options: { start: { number: number; hash: Uint8Array }; report: Report }): {
  event(event: StoredEvent): void;
  /** @param last where the chain is said to end, if anywhere */
  end(last?: { number: number; hash: Uint8Array }): void;
} {
  const { report } = options;
  let { number, hash } = options.start;
  /** One that waits for the event behind it. */
  let held: StoredEvent | undefined;

  const follows = (before: Uint8Array, { line, hash: stored }: StoredEvent): boolean =>
    stored.equals(nextHash(before, leafHash(line)));

  function settle(next: StoredEvent | undefined, end?: { number: number; hash: Uint8Array }): void {
    if (held === undefined) return;
    const event = held;
    held = undefined;
    if (next?.number === event.number && follows(hash, next)) {
      report(event, "inserted", "there is another one of this number, which follows");
      return;
    }
    const computed = nextHash(hash, leafHash(event.line));
    const isHashRight =
      next === undefined ? end?.number === event.number && event.hash.equals(end.hash) : follows(event.hash, next);
    report(event, "changed", isHashRight ? "it is not what was recorded" : "its hash is not what was recorded");
    number = event.number;
    hash = isHashRight ? event.hash : computed;
  }

  return {
    event(event) {
      settle(event);
      if (event.number <= number) return report(event, "inserted", "there are two of this number");
      if (event.number > number + 1) {
        const last = event.number - 1;
        const detail = last === number + 1 ? "it is missing" : `it is missing, and all up to ${last}`;
        report({ number: number + 1, id: "" }, "removed", detail);
        // What was before it is gone, so its hash has to be believed.
        number = event.number;
        hash = event.hash;
        return;
      }
      if (!follows(hash, event)) {
        held = event;
        return;
      }
      number = event.number;
      hash = event.hash;
    },
    end(last) {
      settle(undefined, last);
      if (last === undefined) return;
      if (number < last.number) {
        const detail = last.number === number + 1 ? "it is missing" : `it is missing, and all up to ${last.number}`;
        report({ number: number + 1, id: "" }, "removed", detail);
      } else if (number === last.number && Buffer.compare(hash, last.hash) !== 0)
        report({ number: last.number, id: "" }, "changed", "audit.chains has another hash for the end of the chain");
    },
  };
}
