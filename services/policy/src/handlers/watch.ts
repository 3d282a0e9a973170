import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { policyV1 } from "@tollgate/contracts";
import { AppError, grpcStatus } from "@tollgate/errors";
import type { Life, Log, Metrics } from "@tollgate/service";
import { createLeases, LEASE_MS, type Leases } from "../domain/leases.ts";
import { createLeaseWaits } from "./lease-waits.ts";

const RENEW_INTERVAL_MS = 300;
const WATCHERS_MAX = 1_000;
const GATEWAY_MAX_CHARS = 200;

type WatchStream = ServerDuplexStream<policyV1.WatchRequest, policyV1.WatchResponse>;

/** The lease that every gateway holds; see domain/leases.ts for why it keeps invariant 2 of the design. */
export interface WatchHub {
  readonly watch: (stream: WatchStream) => void;
  /** Sends the revision to every gateway now, and to those that come later. */
  publish(revision: number): void;
  /** Settles when no gateway can act on an older revision any more. */
  taken(revision: number): Promise<void>;
}

export function createWatchHub(options: { life: Life; log: Log; metrics: Metrics }): WatchHub {
  const { life, log, metrics } = options;
  const leases = createLeases(performance.now());
  const waits = createLeaseWaits(leases);
  const watchers = metrics.gauge("tollgate_policy_watchers", "Gateways that hold a lease");
  const seconds = metrics.histogram(
    "tollgate_policy_change_taken_seconds",
    "Until no gateway acts on an older revision",
  );
  const streams = openStreams({
    leases,
    log,
    changed: () => {
      watchers.set(leases.size);
      waits.check();
    },
  });

  const timer = setInterval(streams.send, RENEW_INTERVAL_MS);
  life.signal.addEventListener(
    "abort",
    () => {
      clearInterval(timer);
      streams.end();
      waits.abandon();
    },
    { once: true },
  );

  return {
    watch: streams.add,
    publish: streams.publish,
    async taken(revision) {
      const stop = seconds.startTimer();
      if (!life.signal.aborted) await waits.until(revision);
      stop();
      if (life.signal.aborted) {
        throw new AppError("unavailable", "policy is stopping; the change is made, but gateways may not have it yet");
      }
    },
  };
}

/** The gateways' streams. `changed` is called when one came, answered or left. */
function openStreams(options: { leases: Leases; log: Log; changed: () => void }) {
  const { leases, log, changed } = options;
  /** Each with the sequence of its last message. */
  const sequences = new Map<WatchStream, bigint>();
  let revision = 0;

  function sendTo(stream: WatchStream): void {
    if (!leases.mayBeSent(stream)) return;
    leases.sent(stream, revision);
    stream.write({
      revision: BigInt(revision),
      leaseMs: LEASE_MS,
      echo: sequences.get(stream) ?? 0n,
      addressMatters: false,
      endedSessions: [],
    });
  }

  const send = (): void => [...sequences.keys()].forEach(sendTo);

  function take(stream: WatchStream, message: policyV1.WatchRequest): void {
    if (sequences.has(stream)) {
      sequences.set(stream, message.sequence);
      leases.answered(stream, Number(message.takenRevision), performance.now());
      changed();
      return;
    }
    const problem = refusalOf(message, sequences.size);
    if (problem) {
      stream.emit("error", grpcStatus(problem));
      return;
    }
    log.info({ gateway: message.gateway }, "a gateway watches");
    sequences.set(stream, message.sequence);
    leases.open(stream, performance.now());
    changed();
    sendTo(stream);
  }

  function add(stream: WatchStream): void {
    let left = false;
    const leave = (): void => {
      left = true;
      if (!sequences.delete(stream)) return;
      log.info("a gateway left");
      leases.left(stream, performance.now());
      changed();
    };
    stream.on("data", (message: policyV1.WatchRequest) => {
      // What was still on its way when the stream ended must not open a lease.
      if (!left) take(stream, message);
    });
    stream.on("end", () => {
      leave();
      stream.end();
    });
    for (const event of ["cancelled", "close", "error"]) stream.on(event, leave);
  }

  return {
    add,
    send,
    end: () => [...sequences.keys()].forEach((stream) => stream.end()),
    publish: (next: number): void => {
      if (next <= revision) return;
      revision = next;
      send();
    },
  };
}

function refusalOf(message: policyV1.WatchRequest, watching: number): AppError | undefined {
  if (message.gateway === "" || message.gateway.length > GATEWAY_MAX_CHARS) {
    return new AppError("invalid_argument", `gateway: has to be 1 to ${GATEWAY_MAX_CHARS} characters long`);
  }
  if (watching >= WATCHERS_MAX) return new AppError("overloaded", `${WATCHERS_MAX} gateways are watching already`);
  return undefined;
}
