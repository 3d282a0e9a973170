import {
  type Bus,
  type Delivery,
  EXTEND_INTERVAL_MS,
  SILENCE_MAX_MS,
  type EventPublisher,
  findOutcomes,
  type Framed,
  type ReplySender,
} from "@tollgate/bus";
import type { CallEnvelope } from "@tollgate/contracts";
import { AppError, toAppError } from "@tollgate/errors";
import { type Era, eraOf, type Frame, parseFrame } from "@tollgate/mcp";
import type { Life, Log } from "@tollgate/service";
import { classifyResponse, type Ending, errorFrame, toCallEvent } from "../domain/outcome.ts";
import type { CallHandle } from "../upstream/connection.ts";
import type { Lease, Pool } from "../upstream/pool.ts";

const DEADLINE_SWEEP_MS = 250;
const RECENT_MAX = 50_000;
const CANCELLED_EARLY_MAX = 10_000;
/** A call that may run again does so this often at the most: it may be what kills its runners. */
const DELIVERIES_MAX = 3;

type Call = Framed<CallEnvelope>;

/** One call in this runner's hands. Ends exactly once, through `end`. */
interface Running {
  readonly call: Call;
  /** The client's id as it stands in its frame. */
  readonly idText: string;
  readonly deadline: number;
  startedAt: number | undefined;
  coldStart: boolean;
  lease: Lease | undefined;
  handle: CallHandle | undefined;
  /** Runs again when its process dies; once. */
  retriesLeft: number;
  readonly end: (ending: Partial<Ending> & Pick<Ending, "outcome">, text: string) => void;
}

export interface CallHandler {
  readonly running: number;
  take(delivery: Delivery): void;
  cancel(callId: string): void;
  /** Settles when nothing is under way any more. */
  idle(): Promise<void>;
}

/**
 * A call's way through the runner. Per call: received → handed to a process → ended; the outcome goes to AUDIT, and
 * only when it is acknowledged there the reply leaves and, after the last call of its message, the message is
 * acknowledged (invariant 4). What was delivered before and may not run twice ends as `unknown` (invariant 3).
 */
export function createCallHandler(options: {
  runner: string;
  bus: Bus;
  events: EventPublisher;
  replies: ReplySender;
  poolOf: (server: string) => Pool | undefined;
  onEnded: (envelope: CallEnvelope, ending: Ending) => void;
  life: Life;
  log: Log;
}): CallHandler {
  const { runner, bus, events, replies, poolOf, log } = options;
  const running = new Map<string, Running>();
  /** Messages in hand. A suspect one may have been given to another runner while this one was suspended. */
  const deliveries = new Map<Delivery, { suspect: boolean }>();
  let extendedAt = performance.now();
  /** Calls that this runner has begun, oldest first: a redelivery of one must not begin it again. */
  const recent = new Map<string, "running" | "done">();
  const cancelledEarly = new Set<string>();

  function take(delivery: Delivery): void {
    const fresh = delivery.calls.filter((call) => !recent.has(call.envelope.id));
    if (fresh.length === 0) {
      if (delivery.calls.every((call) => recent.get(call.envelope.id) === "done")) delivery.acknowledge();
      return;
    }
    deliveries.set(delivery, { suspect: false });
    for (const call of fresh) remember(call.envelope.id, "running");
    const ended = runDelivery(delivery, fresh);
    ended
      .then(
        () => delivery.acknowledge(),
        (error: unknown) =>
          log.error({ err: error }, "an outcome could not be written; the message stays on the stream"),
      )
      .finally(() => deliveries.delete(delivery));
  }

  async function runDelivery(delivery: Delivery, calls: Call[]): Promise<void> {
    // After NATS itself was restarted its memory of what it had delivered may be older than what happened.
    const uncertain = delivery.deliveryCount > 1 || delivery.storedAt < bus.reconnectedAt();
    const again = uncertain ? await settleRedelivered(delivery, calls) : calls;
    await Promise.all(again.map((call) => runCall(call, delivery)));
    for (const call of calls) recent.set(call.envelope.id, "done");
  }

  /** Ends the calls that were begun before and may not run again; returns those that may. */
  async function settleRedelivered(delivery: Delivery, calls: Call[]): Promise<Call[]> {
    const tenant = calls[0]!.envelope.facts.tenant;
    const settled = await findOutcomes(bus, tenant, new Set(calls.map((call) => call.envelope.id)));
    log.warn(
      { calls: calls.length, settled: settled.size, delivery: delivery.deliveryCount },
      "calls were delivered before",
    );
    const again: Call[] = [];
    await Promise.all(
      calls.map(async (call) => {
        const { id, gateway, retrySafe } = call.envelope;
        const lost = new AppError(
          "outcome_unknown",
          "the runner was lost while it worked on the call; it may have run",
          {
            details: { callId: id },
          },
        );
        const text = errorFrame(idTextOf(call.frame), lost);
        if (settled.has(id)) return replies.send(gateway, { envelope: { id, final: true }, frame: text });
        if (retrySafe && delivery.deliveryCount <= DELIVERIES_MAX) return void again.push(call);
        const ending: Ending = {
          outcome: "unknown",
          reason: lost.message,
          endedAt: now(),
          responseBytes: 0,
          coldStart: false,
        };
        await finish(call, delivery, ending, text);
      }),
    );
    return again;
  }

  function runCall(call: Call, delivery: Delivery): Promise<void> {
    return new Promise((resolve, reject) => {
      const { envelope } = call;
      const parsed = parseFrame(call.frame);
      let ended = false;
      const state: Running = {
        call,
        idText: idTextOf(call.frame),
        deadline: envelope.deadline,
        startedAt: undefined,
        coldStart: false,
        lease: undefined,
        handle: undefined,
        retriesLeft: envelope.retrySafe ? 1 : 0,
        end(ending, text) {
          if (ended) return;
          ended = true;
          running.delete(envelope.id);
          state.lease?.release();
          const { startedAt, coldStart } = state;
          const whole: Ending = {
            endedAt: now(),
            responseBytes: Buffer.byteLength(text),
            coldStart,
            ...(startedAt === undefined ? {} : { startedAt }),
            ...ending,
          };
          finish(call, delivery, whole, text).then(resolve, reject);
        },
      };
      running.set(envelope.id, state);
      if (!parsed.ok || parsed.frame.kind !== "request")
        fail(state, new AppError("internal", "the call's frame is no request"));
      else if (cancelledEarly.delete(envelope.id)) endCancelled(state);
      else if (Date.now() >= envelope.deadline) endLate(state);
      else void handOver(state, parsed.frame, eraOf(parsed.frame.params));
    });
  }

  async function handOver(state: Running, frame: Frame, clientEra: Era): Promise<void> {
    const { envelope } = state.call;
    try {
      const pool = poolOf(envelope.facts.server);
      if (!pool) throw new AppError("unavailable", `server ${envelope.facts.server} is not run here any more`);
      const lease = await pool.acquire(envelope.facts.tenant);
      // It may have been cancelled, or run out of time, while it waited for a process.
      if (running.get(envelope.id) !== state) return lease.release();
      state.lease = lease;
      state.coldStart = lease.coldStart;
      state.startedAt ??= now();
      state.handle = lease.connection.call(frame, {
        clientEra,
        onProgress: (text) =>
          replies.send(envelope.gateway, { envelope: { id: envelope.id, final: false }, frame: text }),
        onAnswer: (answer) => {
          if ("lost" in answer) onLost(state, frame, clientEra, answer.lost);
          else state.end(classifyResponse(answer.frame), answer.text);
        },
      });
    } catch (error) {
      fail(state, toAppError(error));
    }
  }

  function onLost(state: Running, frame: Frame, clientEra: Era, reason: string): void {
    if (state.retriesLeft > 0) {
      state.retriesLeft -= 1;
      state.lease?.release();
      state.lease = undefined;
      void handOver(state, frame, clientEra);
      return;
    }
    const { server } = state.call.envelope.facts;
    const error = new AppError(
      "outcome_unknown",
      `server ${server} ${reason} while it worked on the call; it may have run`,
      {
        details: { callId: state.call.envelope.id },
      },
    );
    state.end({ outcome: "unknown", reason: error.message }, errorFrame(state.idText, error));
  }

  function fail(state: Running, error: AppError): void {
    if (error.code === "internal") log.error({ err: error.cause ?? error }, "a call failed inside the runner");
    state.end({ outcome: "error", reason: error.message }, errorFrame(state.idText, error));
  }

  function endCancelled(state: Running): void {
    state.handle?.cancel("cancelled by the client");
    const error = new AppError("cancelled", "the call was cancelled");
    state.end({ outcome: "cancelled", reason: error.message }, errorFrame(state.idText, error));
  }

  function endLate(state: Running): void {
    state.handle?.cancel("the call's deadline passed");
    const where = state.handle ? `server ${state.call.envelope.facts.server} did not answer` : "no process was free";
    const error = new AppError("deadline_exceeded", `${where} before the call's deadline`);
    state.end({ outcome: "timeout", reason: error.message }, errorFrame(state.idText, error));
  }

  async function finish(call: Call, delivery: Delivery, ending: Ending, text: string): Promise<void> {
    const { id, gateway, facts } = call.envelope;
    if (isSuspect(delivery) && (await findOutcomes(bus, facts.tenant, new Set([id]))).has(id)) {
      log.warn(
        { call: id },
        "this runner was suspended and another has ended its call; what came of it here is dropped",
      );
      return;
    }
    await events.publish(toCallEvent(call.envelope, ending, runner));
    replies.send(gateway, { envelope: { id, final: true }, frame: text });
    options.onEnded(call.envelope, ending);
  }

  /** True when this runner has been silent for so long that the stream may have handed its messages to another. */
  function isSuspect(delivery: Delivery): boolean {
    if (performance.now() - extendedAt > SILENCE_MAX_MS) for (const each of deliveries.values()) each.suspect = true;
    return deliveries.get(delivery)?.suspect === true;
  }

  function remember(id: string, state: "running" | "done"): void {
    recent.set(id, state);
    if (recent.size <= RECENT_MAX) return;
    const [oldest, kept] = recent.entries().next().value!;
    recent.delete(oldest);
    if (kept === "running") recent.set(oldest, kept);
  }

  const extending = setInterval(() => {
    for (const delivery of deliveries.keys()) {
      isSuspect(delivery);
      delivery.extend();
    }
    extendedAt = performance.now();
  }, EXTEND_INTERVAL_MS);
  const sweeping = setInterval(() => {
    const at = Date.now();
    for (const state of running.values()) if (at >= state.deadline) endLate(state);
  }, DEADLINE_SWEEP_MS);
  options.life.onClose("timers", 100, () => (clearInterval(extending), clearInterval(sweeping)));

  return {
    get running() {
      return running.size;
    },
    take,
    cancel(callId) {
      const state = running.get(callId);
      if (state) return endCancelled(state);
      // It may still be on its way here, or be another runner's.
      if (cancelledEarly.size >= CANCELLED_EARLY_MAX) cancelledEarly.delete(cancelledEarly.values().next().value!);
      cancelledEarly.add(callId);
    },
    async idle() {
      while (deliveries.size > 0) await new Promise((resolve) => setTimeout(resolve, 20));
    },
  };
}

/** Unix milliseconds with microseconds, so that short calls are billed for what they took. */
function now(): number {
  return performance.timeOrigin + performance.now();
}

/** The frame was checked by the gateway; whatever else came here has no id that could be answered. */
function idTextOf(frame: string): string {
  const parsed = parseFrame(frame);
  const span = parsed.ok ? parsed.frame.members.spans["id"] : undefined;
  return span ? frame.slice(span.start, span.end) : "null";
}
