import type { Metadata } from "@grpc/grpc-js";
import type { limitsV1, policyV1 } from "@tollgate/contracts";
import { AppError, toAppError } from "@tollgate/errors";
import { callUnary, type Life, type Log } from "@tollgate/service";
import type { Policy } from "../clients/policy.ts";
import { type Ask, ASKS_MAX, createHeldPermits, type Refusal } from "../domain/permits.ts";

const TIMEOUT_MS = 2_000;
const KEYS_MAX = 50_000;
/** Calls that wait for permits. */
const WAITING_MAX = 10_000;
const WAIT_MAX_MS = 2_000;
const TICK_MS = 100;

/** What a call was let in under. */
export interface Ticket {
  readonly keys: readonly string[];
  readonly revision: number;
}

/**
 * Calls count against limits that hold across gateways: policy gives permits, and each lets one call in, under the
 * revision that it came with. So no call is let in under an old limit once a change of it has returned (invariant 2).
 */
export interface CallLimits {
  /**
   * Takes a permit of each of a decision's limits. At once where they are at hand.
   * @throws {AppError} `overloaded` with `retryAfterSeconds`; `unavailable`. Rejects with the same.
   */
  enter(keys: readonly string[]): Ticket | Promise<Ticket>;
  /** The ticket is still good for a call that was decided upon just now. */
  holds(ticket: Ticket, keys: readonly string[]): boolean;
  /** The call was not let in after all. */
  giveBack(ticket: Ticket): void;
  /** A call that was let in has ended. */
  leave(keys: readonly string[]): void;
}

interface Waiting {
  readonly keys: readonly string[];
  readonly untilMs: number;
  isAsked: boolean;
  resolve(ticket: Ticket): void;
  reject(error: AppError): void;
}

const NO_KEYS: readonly string[] = [];
const FREE: Ticket = { keys: NO_KEYS, revision: -1 };

export function createCallLimits(options: {
  readonly policy: Policy;
  readonly client: policyV1.PolicyServiceClient;
  readonly metadata: Metadata;
  readonly gateway: string;
  readonly life: Life;
  readonly log: Log;
}): CallLimits {
  const { policy, client, metadata, gateway, life, log } = options;
  const permits = createHeldPermits({ keysMax: KEYS_MAX });
  let waiting: Waiting[] = [];
  let asking: Promise<void> | undefined;
  const unary = { metadata, timeoutMs: TIMEOUT_MS, service: "policy" };

  policy.onRevision(() => {
    permits.drop(performance.now());
    // Whoever waits is decided upon anew: it may count against other limits now.
    for (const each of waiting.splice(0)) each.resolve(FREE);
  });

  async function askPolicy(asks: readonly Ask[]): Promise<void> {
    const { revision } = policy;
    const askedAtMs = performance.now();
    const request: limitsV1.LeaseLimitsRequest = { gateway, leases: [...asks] };
    const answer = await callUnary(client.leaseLimits.bind(client), request, unary);
    if (answer.grants.length !== asks.length)
      throw new AppError("internal", "policy answered another number of grants");
    const isCurrent = policy.revision === revision && Number(answer.revision) === revision;
    const answers = asks.map((asked, i) => ({ asked, grant: answer.grants[i]! }));
    permits.granted(answers, { isCurrent, askedAtMs, nowMs: performance.now() });
  }

  /** One request at a time, so that policy hears of places in the order in which they change. */
  function flush(): void {
    if (asking !== undefined || life.signal.aborted) return;
    const asked = waiting.slice(0, ASKS_MAX);
    const asks = permits.ask(
      asked.map(({ keys }) => keys),
      performance.now(),
    );
    for (const each of asked) each.isAsked = true;
    if (asks.length === 0) return settle();
    asking = askPolicy(asks)
      .catch((error: unknown) => {
        permits.unanswered(asks);
        if (asked.length > 0) log.warn({ err: error }, "policy gives no permits");
        const reason = new AppError("unavailable", "policy does not answer about limits", { cause: error });
        fail(asked, reason);
      })
      .finally(() => {
        asking = undefined;
        settle();
      });
  }

  function fail(those: readonly Waiting[], reason: AppError): void {
    waiting = waiting.filter((each) => !those.includes(each));
    for (const each of those) each.reject(toAppError(reason));
  }

  /** In the order in which they came. */
  function settle(): void {
    const nowMs = performance.now();
    const still: Waiting[] = [];
    for (const each of waiting) {
      const refusal = permits.refusalOf(each.keys, nowMs);
      if (permits.take(each.keys, nowMs)) each.resolve({ keys: each.keys, revision: policy.revision });
      else if (refusal !== undefined) each.reject(overloaded(refusal));
      else if (nowMs >= each.untilMs) each.reject(new AppError("unavailable", "policy gives no permits in time"));
      else still.push(each);
    }
    const isMoving = still.length < waiting.length || still.some(({ isAsked }) => !isAsked);
    waiting = still;
    // Where nothing moves, the revision is about to change.
    if (waiting.length > 0 && isMoving) flush();
  }

  const ticking = setInterval(flush, TICK_MS);
  life.onClose("limits", TIMEOUT_MS, async () => {
    clearInterval(ticking);
    await asking;
  });

  return {
    enter(keys) {
      if (keys.length === 0) return FREE;
      const nowMs = performance.now();
      if (permits.take(keys, nowMs)) return { keys, revision: policy.revision };
      const refusal = permits.refusalOf(keys, nowMs);
      if (refusal !== undefined) throw overloaded(refusal);
      if (waiting.length >= WAITING_MAX)
        throw new AppError("overloaded", `${WAITING_MAX} calls wait for permits already`);
      return new Promise((resolve, reject) => {
        waiting.push({ keys, untilMs: nowMs + WAIT_MAX_MS, isAsked: false, resolve, reject });
        // What comes in the same moment is asked for together.
        if (waiting.length === 1) queueMicrotask(flush);
      });
    },
    holds: (ticket, keys) =>
      keys.length === 0 ? ticket.keys.length === 0 : ticket.revision === policy.revision && isSame(ticket.keys, keys),
    giveBack({ keys, revision }) {
      permits.putBack(keys, { isCurrent: revision === policy.revision, nowMs: performance.now() });
    },
    leave(keys) {
      if (keys.length > 0) permits.leave(keys, performance.now());
    },
  };
}

function isSame(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((key, i) => key === others[i]);
}

function overloaded({ reason, retryAfterMs }: Refusal): AppError {
  const retryAfterSeconds = Math.max(1, Math.ceil(retryAfterMs / 1_000));
  return new AppError("overloaded", `${reason}; try again in ${retryAfterSeconds} s`, {
    details: { retryAfterSeconds },
  });
}
