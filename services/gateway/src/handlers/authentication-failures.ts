import { setTimeout as delay } from "node:timers/promises";
import type { EventPublisher } from "@tollgate/bus";
import { newCallId, type RefusalEvent } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import type { Log } from "@tollgate/service";
import type { Principal } from "../clients/policy.ts";
import { createFailures } from "../domain/failures.ts";
import { networkOf } from "./addresses.ts";
import type { Refuse } from "./refusals.ts";

const RETRY_AFTER_SECONDS = 60;

/** Who could not say who it is, as far as anything is known. */
export interface FailedAttempt {
  readonly address: string;
  readonly transport: NonNullable<RefusalEvent["transport"]>;
  /** Whose token it is that is not good any more, or not here. */
  readonly principal?: Principal | undefined;
}

export interface AuthenticationFailures {
  /** Writes down that one who was let in before is not any more. */
  record(attempt: FailedAttempt, error: AppError): void;
  /**
   * The same of somebody who wants in: settles when the answer may be given.
   * @throws {AppError} `overloaded`: too many answers for that address are held back already
   */
  hold(attempt: FailedAttempt, error: AppError): Promise<void>;
}

/** Time, as tests may have it. */
export interface Clock {
  now(): number;
  wait(ms: number, signal: AbortSignal): Promise<unknown>;
}

const CLOCK: Clock = {
  now: Date.now,
  wait: (ms, signal) => delay(ms, undefined, { signal, ref: false }),
};

/** Every failed authentication is an event; whoever keeps failing is answered more and more slowly. */
export function createAuthenticationFailures(options: {
  refuse: Refuse;
  events: EventPublisher;
  signal: AbortSignal;
  log: Log;
  clock?: Clock;
}): AuthenticationFailures {
  const { refuse, events, signal, log, clock = CLOCK } = options;
  const failures = createFailures();

  function record({ address, transport, principal }: FailedAttempt, { message }: AppError): void {
    const facts = principal === undefined ? { tenant: "unknown" } : known(principal);
    const from = address === "" ? {} : { address };
    refuse({ ...facts, ...from, transport, code: "unauthenticated", reason: message, method: "" });
  }

  function alert(address: string): void {
    const endedAt = clock.now();
    const reason = "authentication from this address keeps failing";
    const of = { v: 1, kind: "alert", id: newCallId(endedAt), tenant: "unknown", endedAt } as const;
    events
      .publish({ ...of, code: "authentication", reason, ...(address === "" ? {} : { address }) })
      .catch((error: unknown) => log.warn({ err: error, address }, reason));
  }

  return {
    record,
    async hold(attempt, error) {
      record(attempt, error);
      const network = networkOf(attempt.address);
      const verdict = failures.failed(network, clock.now());
      if (verdict.alert) alert(attempt.address);
      if (verdict.delayMs === undefined)
        throw new AppError("overloaded", "authentication keeps failing; send a good token, or come back later", {
          details: { retryAfterSeconds: RETRY_AFTER_SECONDS },
        });
      if (verdict.delayMs === 0) return;
      // Where the gateway stops, nobody is kept waiting.
      await clock.wait(verdict.delayMs, signal).catch(() => undefined);
      failures.released(network);
    },
  };
}

function known({ id, tenant, team, credential }: Principal) {
  return { principal: id, tenant, team, ...(credential === id ? {} : { credential }) };
}
