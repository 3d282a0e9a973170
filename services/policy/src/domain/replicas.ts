import { CLOCK_ALLOWANCE_MS, LEASE_MS } from "./leases.ts";

/** How long a replica among others may give leases since it asked the database and had the newest revision. */
export const CONFIRMED_MS = 1_500;
/** The same for one that is alone: so long it goes on without its database. */
export const ALONE_MS = 10 * 60_000;

/** What a replica says of itself in the database. */
export interface ReplicaRecord {
  readonly id: string;
  /** The address that it listens on. */
  readonly place: string;
  /** Rises each time that it writes this. */
  readonly beat: number;
  /** No gateway of this replica acts on an older revision. */
  readonly takenRevision: number;
  /** How long after this beat it may give leases. */
  readonly grantsMs: number;
}

/*
 * Several processes of this service, one database. A change made by one of them returns when no gateway of any of them
 * acts on an older revision: invariant 2 of the design, as in leases.ts, once more with replicas in the place of gateways.
 *
 * In each beat a replica notes the time, commits its record, and only then reads the newest revision and who else is
 * there. If it holds that revision, it may give leases for `grantsMs` from the time noted. A change is committed, and
 * only then the others' records are read. Invariant: whoever gives a lease on a revision older than R after the change
 * to R was committed is seen there with a record that has not taken R, before `heldUntil(R)`. It holds because
 * - a beat that is not seen there was committed after the change, so what is read after it says R, and the replica gives
 *   no lease on anything older;
 * - a beat that is seen there began before it was seen: counting from when it was seen counts too long, never too short;
 * - a record promises at least what the replica allows itself: it allows itself more only once a beat that says so is
 *   committed, and less at once, before a beat says so;
 * - a lease ends LEASE_MS after it was given, and is counted by LEASE_MS beyond the last one that can be given;
 * - a record is removed only when that time is over, and only if its beat is still the same.
 *
 * A replica that finds nobody else writes that it is alone, and then goes on for long without its database. One that
 * registers later reads that, and cannot tell whether its writer is dead or only cut off: changes made by the newcomer
 * wait until the other has taken them, or must have stopped. One that registered earlier is seen by the writer before
 * it goes on as if it were alone. So that a process which follows on a dead one need not wait so long: two cannot listen
 * at one address, so whoever was at the newcomer's own is no longer alone, nor anything else.
 */

/** The own side: whether this replica may give leases. */
export interface Standing {
  /** What the next beat has to say. */
  readonly grantsMs: number;
  mayGrant(nowMs: number): boolean;
  /** A beat that began at this time has said `grantsMs`, and found the newest revision held here. */
  confirm(beat: { readonly askedAtMs: number; readonly grantsMs: number; readonly isAlone: boolean }): void;
  /** A newer revision is known than the one that is held here. */
  suspend(): void;
}

export function createStanding(): Standing {
  let isAlone = false;
  let until = -Infinity;
  return {
    get grantsMs() {
      return isAlone ? ALONE_MS : CONFIRMED_MS;
    },
    mayGrant: (nowMs) => nowMs < until,
    confirm(beat) {
      isAlone = beat.isAlone;
      until = beat.askedAtMs + (isAlone ? beat.grantsMs : CONFIRMED_MS);
    },
    suspend: () => void (until = -Infinity),
  };
}

/** The other replicas, as they were seen in the database. */
export interface Peers {
  /**
   * @param own this replica's address
   * @param nowMs when the records were at hand, not before
   */
  observe(records: readonly ReplicaRecord[], own: string, nowMs: number): void;
  /** When the last lease on a revision older than this one ends; 0 when there is none. */
  heldUntil(revision: number): number;
  /** Where those are that hold it up until then. */
  holding(revision: number): string[];
  /** Those whose leases have all ended. */
  ended(nowMs: number): ReplicaRecord[];
}

export function createPeers(): Peers {
  let peers: readonly Peer[] = [];
  const behind = (revision: number) => peers.filter(({ record }) => record.takenRevision < revision);
  return {
    observe(records, own, nowMs) {
      const known = new Map(peers.map((peer) => [peer.record.id, peer]));
      peers = records.map((record) => {
        const grantsMs = record.place === own ? Math.min(record.grantsMs, CONFIRMED_MS) : record.grantsMs;
        const before = known.get(record.id);
        const seenAtMs = before?.record.beat === record.beat ? before.seenAtMs : nowMs;
        return { record, endsAtMs: seenAtMs + grantsMs + LEASE_MS + CLOCK_ALLOWANCE_MS, seenAtMs };
      });
    },
    heldUntil: (revision) => Math.max(0, ...behind(revision).map(({ endsAtMs }) => endsAtMs)),
    holding: (revision) => behind(revision).map(({ record }) => record.place),
    ended: (nowMs) => peers.filter(({ endsAtMs }) => endsAtMs <= nowMs).map(({ record }) => record),
  };
}

interface Peer {
  readonly record: ReplicaRecord;
  readonly seenAtMs: number;
  readonly endsAtMs: number;
}
