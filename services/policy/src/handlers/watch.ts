import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { policyV1 } from "@tollgate/contracts";
import { AppError, grpcStatus } from "@tollgate/errors";
import type { Life, Log, Metrics } from "@tollgate/service";
import { createLeases, LEASE_MS, type Leases } from "../domain/leases.ts";
import type { PolicyState } from "../domain/state.ts";
import { createLeaseWaits } from "./lease-waits.ts";

const RENEW_INTERVAL_MS = 300;
/** Longer than any lease; in case of a mistake here. */
const TAKEN_WAIT_MAX_MS = 10_000;
const WATCHERS_MAX = 1_000;
const GATEWAY_MAX_CHARS = 200;
const USED_MAX = 500;

type WatchStream = ServerDuplexStream<policyV1.WatchRequest, policyV1.WatchResponse>;

/** What gateways are told of a state. */
export type Announced = Pick<PolicyState, "revision" | "addressMatters" | "endedSessions">;
type OnUsed = (used: readonly policyV1.Used[]) => void;

/** The lease that every gateway holds; see domain/leases.ts for why it keeps invariant 2 of the design. */
export interface WatchHub {
  readonly watch: (stream: WatchStream) => void;
  /** Sends the state's revision to every gateway now, and to those that come later. */
  publish(state: Announced): void;
  /** Sends it to every gateway once more. */
  renew(): void;
  /** Settles when no gateway of this process can act on an older revision any more. */
  taken(revision: number): Promise<void>;
  /** Whether that is so now. */
  isTaken(revision: number): boolean;
}

/**
 * @param options.mayGrant whether leases may be given now
 * @param options.onUsed told of credentials that gateways have seen in use
 */
export function createWatchHub(options: {
  readonly mayGrant: () => boolean;
  readonly onUsed: OnUsed;
  readonly life: Life;
  readonly log: Log;
  readonly metrics: Metrics;
}): WatchHub {
  const { mayGrant, life, log, metrics, onUsed } = options;
  const leases = createLeases(performance.now());
  const waits = createLeaseWaits(leases);
  const watchers = metrics.gauge("tollgate_policy_watchers", "Gateways that hold a lease");
  const seconds = metrics.histogram(
    "tollgate_policy_change_taken_seconds",
    "Until no gateway acts on an older revision",
  );
  const streams = openStreams({
    leases,
    mayGrant,
    log,
    onUsed,
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
    renew: streams.send,
    isTaken: (revision) => leases.heldUntil(revision) <= performance.now(),
    async taken(revision) {
      const stop = seconds.startTimer();
      const isTaken = !life.signal.aborted && (await waits.until(revision, TAKEN_WAIT_MAX_MS));
      stop();
      if (isTaken) return;
      throw new AppError("unavailable", "policy is stopping; the change is made, but gateways may not have it yet");
    },
  };
}

interface Watching {
  /** Of its last message. */
  sequence: bigint;
  /** The newest revision that it was sent. */
  told: number;
}

/** The gateways' streams. `changed` is called when one came, answered or left. */
function openStreams(options: {
  readonly leases: Leases;
  readonly mayGrant: () => boolean;
  readonly log: Log;
  readonly onUsed: OnUsed;
  readonly changed: () => void;
}) {
  const { leases, mayGrant, log, onUsed, changed } = options;
  const streams = new Map<WatchStream, Watching>();
  let newest: Announced = { revision: 0, addressMatters: false, endedSessions: [] };

  function sendTo(stream: WatchStream): void {
    const watching = streams.get(stream);
    if (watching === undefined || !leases.mayBeSent(stream) || !mayGrant()) return;
    const { revision, addressMatters, endedSessions } = newest;
    leases.sent(stream, revision);
    stream.write({
      revision: BigInt(revision),
      leaseMs: LEASE_MS,
      echo: watching.sequence,
      addressMatters,
      endedSessions: watching.told === revision ? [] : [...endedSessions],
    });
    watching.told = revision;
  }

  const send = (): void => [...streams.keys()].forEach(sendTo);

  function take(stream: WatchStream, message: policyV1.WatchRequest): void {
    const watching = streams.get(stream);
    if (watching !== undefined) {
      watching.sequence = message.sequence;
      leases.answered(stream, Number(message.takenRevision), performance.now());
      changed();
      if (message.used.length > 0) onUsed(message.used.slice(0, USED_MAX));
      return;
    }
    const problem = refusalOf(message, streams.size);
    if (problem) {
      stream.emit("error", grpcStatus(problem));
      return;
    }
    log.info({ gateway: message.gateway }, "a gateway watches");
    streams.set(stream, { sequence: message.sequence, told: -1 });
    leases.open(stream, performance.now());
    changed();
    sendTo(stream);
  }

  function add(stream: WatchStream): void {
    let left = false;
    const leave = (): void => {
      left = true;
      if (!streams.delete(stream)) return;
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
    end: () => [...streams.keys()].forEach((stream) => stream.end()),
    publish: (next: Announced): void => {
      if (next.revision <= newest.revision) return;
      newest = next;
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
