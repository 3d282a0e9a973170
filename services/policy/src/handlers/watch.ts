import { policyV1 } from "@tollgate/contracts";
import { AppError, grpcStatus } from "@tollgate/errors";
import type { Life, Log, Metrics } from "@tollgate/service";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import { createLeases, LEASE_MS } from "../domain/leases.ts";

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

interface Waiter {
  readonly revision: number;
  readonly settle: () => void;
  timer: NodeJS.Timeout | undefined;
}

export function createWatchHub(options: { life: Life; log: Log; metrics: Metrics }): WatchHub {
  const { life, log, metrics } = options;
  const leases = createLeases(performance.now());
  /** Each with the sequence of its last message. */
  const streams = new Map<WatchStream, bigint>();
  const waiters = new Set<Waiter>();
  let revision = 0;

  const watchers = metrics.gauge("tollgate_policy_watchers", "Gateways that hold a lease");
  const waits = metrics.histogram("tollgate_policy_change_taken_seconds", "Until no gateway acts on an older revision");

  function send(stream: WatchStream): void {
    // Before the first state there is nothing to give a lease on.
    if (revision === 0 || !leases.mayBeSent(stream)) return;
    leases.sent(stream, revision);
    stream.write({ revision: BigInt(revision), leaseMs: LEASE_MS, echo: streams.get(stream) ?? 0n });
  }

  /** A waiter is done when the last lease on an older revision is over; that time only ever comes nearer. */
  function check(waiter: Waiter): void {
    clearTimeout(waiter.timer);
    const remainingMs = leases.heldUntil(waiter.revision) - performance.now();
    if (remainingMs > 0 && !life.signal.aborted) {
      waiter.timer = setTimeout(() => check(waiter), Math.ceil(remainingMs));
      return;
    }
    waiters.delete(waiter);
    waiter.settle();
  }

  function checkAll(): void {
    for (const waiter of waiters) check(waiter);
  }

  function watch(stream: WatchStream): void {
    let gateway: string | undefined;
    const leave = (): void => {
      if (!streams.delete(stream)) return;
      leases.left(stream, performance.now());
      watchers.set(leases.size);
      log.info({ gateway }, "gateway left");
      checkAll();
    };
    stream.on("data", (message: policyV1.WatchRequest) => {
      if (gateway !== undefined) {
        if (!streams.has(stream)) return;
        streams.set(stream, message.sequence);
        leases.answered(stream, Number(message.takenRevision), performance.now());
        checkAll();
        return;
      }
      const problem = refusalOf(message, streams.size);
      if (problem) {
        stream.emit("error", grpcStatus(problem));
        return;
      }
      gateway = message.gateway;
      streams.set(stream, message.sequence);
      leases.open(stream, performance.now());
      watchers.set(leases.size);
      log.info({ gateway }, "gateway watches");
      send(stream);
    });
    stream.on("end", () => {
      leave();
      stream.end();
    });
    stream.on("cancelled", leave);
    stream.on("close", leave);
    stream.on("error", leave);
  }

  const timer = setInterval(() => {
    for (const stream of streams.keys()) send(stream);
  }, RENEW_INTERVAL_MS);
  life.signal.addEventListener(
    "abort",
    () => {
      clearInterval(timer);
      for (const stream of streams.keys()) stream.end();
      checkAll();
    },
    { once: true },
  );

  return {
    watch,
    publish(next) {
      if (next <= revision) return;
      revision = next;
      for (const stream of streams.keys()) send(stream);
    },
    async taken(wanted) {
      const stop = waits.startTimer();
      await new Promise<void>((settle) => {
        const waiter: Waiter = { revision: wanted, settle, timer: undefined };
        waiters.add(waiter);
        check(waiter);
      });
      stop();
      if (life.signal.aborted) {
        throw new AppError(
          "unavailable",
          "policy is stopping; the change is made, but not every gateway may have it yet",
        );
      }
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
