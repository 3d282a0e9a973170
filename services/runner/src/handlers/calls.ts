import { type Bus, type Delivery, type EventPublisher, findOutcomes, type ReplySender } from "@tollgate/bus";
import type { CallEnvelope, CallEvent } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import type { RecordingKeys } from "@tollgate/evidence";
import { shareOf } from "@tollgate/fair-queue";
import { parseFrame, type Sealers } from "@tollgate/mcp";
import type { Life, Log } from "@tollgate/service";
import { argumentsTextOf } from "../domain/frame-parts.ts";
import { type Ending, errorFrame, idTextOf, toCallEvent } from "../domain/outcome.ts";
import { createRecentCalls } from "../domain/recent-calls.ts";
import { createResultCache } from "../domain/result-cache.ts";
import { mayRunAgain } from "../domain/retries.ts";
import type { Pool } from "../pool/pool.ts";
import { type Call, type Ended, marksAfterLoss, now } from "./call-state.ts";
import { openDeliveries } from "./deliveries.ts";
import { createIntake } from "./intake.ts";
import type { ParkedCalls } from "./parked-calls.ts";
import type { Questions } from "./questions.ts";
import { type RunningCall, startCall } from "./running-call.ts";
import { withTestimony } from "./testimony.ts";

const DEADLINE_SWEEP_MS = 250;
const RECENT_MAX = 50_000;
const CANCELLED_EARLY_MAX = 10_000;
/** A call that may run again does so this often at the most: it may be what kills its runners. */
const DELIVERIES_MAX = 3;
const OUTCOME_RETRY_MS = 500;
/** Results that are kept to be given again, for all tools for which that is declared. */
const RESULTS_MAX = 1_000;
const RESULTS_MAX_BYTES = 32 * 1024 * 1024;

export interface CallHandler {
  readonly running: number;
  take(delivery: Delivery): void;
  cancel(callId: string): void;
  /** Settles when nothing is under way any more. */
  idle(): Promise<void>;
}

export interface CallHandlerOptions {
  readonly runner: string;
  readonly bus: Bus;
  readonly events: EventPublisher;
  readonly replies: ReplySender;
  readonly poolOf: (server: string) => Pool | undefined;
  readonly questions: Questions;
  readonly parked: ParkedCalls;
  readonly sealers: Sealers;
  /** What is said of arguments and results is hashed and encrypted with. */
  readonly keys: RecordingKeys;
  readonly onEnded: (envelope: CallEnvelope, ending: Ending) => void;
  readonly life: Life;
  readonly log: Log;
}

/**
 * A call's way through the runner. The outcome of each call goes to AUDIT, and only when it is acknowledged there the
 * reply leaves and, after the last call of its message, the message is acknowledged (invariant 4). What was delivered
 * before and may not run twice ends as `unknown` (invariant 3).
 */
export function createCallHandler(options: CallHandlerOptions): CallHandler {
  const { bus, replies, life, log } = options;
  const running = new Map<string, RunningCall>();
  const recent = createRecentCalls(RECENT_MAX);
  const cancelledEarly = new Set<string>();
  const deliveries = openDeliveries(life);
  const intake = createIntake();
  const results = createResultCache({ max: RESULTS_MAX, maxBytes: RESULTS_MAX_BYTES });

  async function runDelivery(delivery: Delivery, calls: Call[]): Promise<void> {
    const finish = (call: Call, ended: Ended) => record(options, call, ended, () => deliveries.isSuspect(delivery));
    // After NATS itself was restarted its memory of what it had delivered may be older than what happened.
    const uncertain = delivery.deliveryCount > 1 || delivery.storedAt < bus.reconnectedAt();
    const again = uncertain ? await settleRedelivered(options, delivery, calls, finish) : calls;
    await settleAll(again.map(async (call) => finish(call, await runCall(call, delivery))));
  }

  async function runCall(call: Call, { deliveryCount }: Delivery): Promise<Ended> {
    const { id, gateway, lane, weight, facts } = call.envelope;
    const share = shareOf(facts.tenant, lane, weight);
    const turn = intake.enter(share);
    if (turn !== undefined) await turn;
    const started = startCall(call, {
      ...options,
      share,
      results,
      cancelled: cancelledEarly.delete(id),
      deliveryCount,
      onFrame: (frame, marks) => replies.send(gateway, { envelope: { id, final: false, ...marks }, frame }),
    });
    running.set(id, started);
    const ended = await started.ended;
    running.delete(id);
    return ended;
  }

  const sweeping = setInterval(() => {
    const at = Date.now();
    for (const call of running.values()) if (at >= call.deadline()) call.expire();
  }, DEADLINE_SWEEP_MS);
  life.onClose("deadline timer", 100, () => clearInterval(sweeping));

  return {
    get running() {
      return running.size;
    },
    take(delivery) {
      const fresh = delivery.calls.filter((call) => recent.begin(call.envelope.id));
      if (fresh.length === 0) {
        // What is still running is acknowledged when it has ended.
        if (delivery.calls.every((call) => recent.isDone(call.envelope.id))) delivery.acknowledge();
        return;
      }
      deliveries.add(delivery);
      runDelivery(delivery, fresh)
        .then(
          () => {
            for (const call of fresh) recent.done(call.envelope.id);
            delivery.acknowledge();
          },
          (error: unknown) => {
            for (const call of fresh) recent.forget(call.envelope.id);
            log.error({ err: error }, "calls could not be ended; their message comes again");
          },
        )
        .finally(() => deliveries.remove(delivery));
    },
    cancel(callId) {
      const call = running.get(callId);
      if (call) return call.cancel();
      // It may still be on its way here, or be another runner's.
      if (cancelledEarly.size >= CANCELLED_EARLY_MAX) cancelledEarly.delete(cancelledEarly.values().next().value!);
      cancelledEarly.add(callId);
    },
    async idle() {
      while (deliveries.count > 0) await new Promise((resolve) => setTimeout(resolve, 20));
    },
  };
}

/** Ends the calls that were begun before and may not run again; returns those that may. */
async function settleRedelivered(
  { bus, replies, log }: CallHandlerOptions,
  delivery: Delivery,
  calls: Call[],
  finish: (call: Call, ended: Ended) => Promise<void>,
): Promise<Call[]> {
  const { tenant } = calls[0]!.envelope.facts;
  const { deliveryCount } = delivery;
  const settled = await findOutcomes(bus, tenant, new Set(calls.map((call) => call.envelope.id)));
  log.warn({ calls: calls.length, settled: settled.size, deliveryCount }, "calls were delivered before");
  const again: Call[] = [];
  await settleAll(
    calls.map(async (call) => {
      const { id, gateway } = call.envelope;
      const reason = "the runner was lost while it worked on the call; it may have run";
      const lost = new AppError("outcome_unknown", reason, { details: { callId: id } });
      const parsed = parseFrame(call.frame);
      const text = errorFrame(idTextOf(call.frame, parsed), lost);
      const marks = marksAfterLoss(call.envelope, deliveryCount);
      if (settled.has(id)) return replies.send(gateway, { envelope: { id, final: true, ...marks }, frame: text });
      if (mayRunAgain(call.envelope) && deliveryCount <= DELIVERIES_MAX) return void again.push(call);
      return finish(call, {
        ending: { outcome: "unknown", reason, endedAt: now(), responseBytes: 0, coldStart: false },
        text,
        marks,
        argumentsText: parsed.ok && parsed.frame.kind === "request" ? argumentsTextOf(parsed.frame) : undefined,
      });
    }),
  );
  return again;
}

/** Writes a call's outcome down; then, not before, its answer leaves. */
async function record(options: CallHandlerOptions, call: Call, ended: Ended, isSuspect: () => boolean): Promise<void> {
  const { runner, bus, replies, log } = options;
  const { ending, text, marks } = ended;
  const { id, gateway, facts } = call.envelope;
  if (isSuspect() && (await findOutcomes(bus, facts.tenant, new Set([id]))).has(id)) {
    const reason = "this runner was suspended and another has ended its call; what came of it here is dropped";
    log.warn({ call: id }, reason);
    return;
  }
  const event = toCallEvent(call.envelope, ending, runner);
  await publishPatiently(options, withTestimony(event, { envelope: call.envelope, ended, keys: options.keys }));
  replies.send(gateway, { envelope: { id, final: true, ...marks }, frame: text });
  options.onEnded(call.envelope, ending);
}

/** The outcome is known, and the call's message stays in hand until it is written: as long as it takes. */
async function publishPatiently({ events, life, log }: CallHandlerOptions, event: CallEvent): Promise<void> {
  for (;;) {
    try {
      return await events.publish(event);
    } catch (error) {
      if (life.signal.aborted) throw error;
      log.error({ err: error, call: event.id }, "an outcome is not on the stream yet");
    }
    await new Promise((resolve) => setTimeout(resolve, OUTCOME_RETRY_MS));
  }
}

/** Waits for all, then throws what the first one that failed has thrown. */
async function settleAll(works: readonly Promise<unknown>[]): Promise<void> {
  for (const result of await Promise.allSettled(works)) if (result.status === "rejected") throw result.reason;
}
