import type { ClientDuplexStream, Metadata } from "@grpc/grpc-js";
import type { policyV1 } from "@tollgate/contracts";
import { followStream, type Log } from "@tollgate/service";

type WatchStream = ClientDuplexStream<policyV1.WatchRequest, policyV1.WatchResponse>;

/**
 * For how long what policy has said may be used (invariant 2). It counts from the moment at which this gateway asked,
 * so that an answer that was long on its way cannot prolong it. A new revision is acknowledged after `onRevision` has
 * dropped everything that was remembered before.
 */
export interface Lease {
  /** The revision that this gateway has taken; -1 before the first. */
  readonly revision: bigint;
  readonly held: boolean;
  /** Decisions of this revision may vary by the client's address. */
  readonly addressMatters: boolean;
  /** Sessions that somebody else than their client has ended. */
  readonly endedSessions: ReadonlySet<string>;
}

export function openLease(options: {
  client: policyV1.PolicyServiceClient;
  metadata: Metadata;
  gateway: string;
  onRevision: () => void;
  /** Takes what was used since it was asked last; at most 500. */
  takeUsed: () => policyV1.Used[];
  signal: AbortSignal;
  log: Log;
}): Lease {
  const { client, metadata, gateway, onRevision, takeUsed, signal, log } = options;
  let revision = -1n;
  let addressMatters = false;
  let endedSessions: ReadonlySet<string> = new Set();
  /** Monotonic milliseconds, as all times here. */
  let endsAt = 0;
  let sequence = 0n;
  /** What was asked on this stream and not answered yet. */
  let asked: { sequence: bigint; at: number }[] = [];

  function ask(stream: WatchStream, takenRevision: bigint): void {
    if (!stream.writable) return;
    sequence += 1n;
    asked.push({ sequence, at: performance.now() });
    stream.write({ gateway, takenRevision, sequence, used: takeUsed() });
  }

  followStream<policyV1.WatchResponse, WatchStream>({
    name: "policy lease",
    open: () => {
      asked = [];
      const stream = client.watch(metadata);
      ask(stream, 0n);
      return stream;
    },
    onMessage: (message, stream) => {
      if (message.revision !== revision) {
        ({ revision, addressMatters } = message);
        endedSessions = new Set(message.endedSessions);
        onRevision();
      }
      const echoed = asked.find((each) => each.sequence === message.echo);
      asked = asked.filter((each) => each.sequence > message.echo);
      if (echoed) endsAt = echoed.at + message.leaseMs;
      // Calls that were let in just now still have to reach the stream; then the new revision holds here.
      setImmediate(() => ask(stream, message.revision));
    },
    signal,
    log,
  });

  return {
    get revision() {
      return revision;
    },
    get held() {
      return performance.now() < endsAt;
    },
    get addressMatters() {
      return addressMatters;
    },
    get endedSessions() {
      return endedSessions;
    },
  };
}
