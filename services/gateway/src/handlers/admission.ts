import { AppError, toAppError } from "@tollgate/errors";
import { createFairGate, shareOf } from "@tollgate/fair-queue";
import type { Plan } from "../domain/plans.ts";
import type { CallSink } from "./calls.ts";
import { type AskedFacts, overloadOf, type Refuse } from "./refusals.ts";

/**
 * Bounds what is under way at the same time, in all and for each tenant, so that one's flood is not another's wait:
 * what is too much waits, bounded as well, and tenants take turns (ADR 11).
 */
export interface Admission {
  readonly underWay: number;
  readonly waiting: number;
  /**
   * Undefined when the call is let in at once; else settles when it is. Whoever has been let in leaves, once. The sink
   * is told how to stop waiting.
   * @throws {AppError} `overloaded`, which is recorded; rejects with `cancelled` too
   */
  enter(facts: AskedFacts, sink: CallSink): Promise<void> | undefined;
  leave(tenant: string): void;
}

export function createAdmission(options: {
  max: number;
  planOf: (tenant: string) => Plan;
  waitMs: number;
  refuse: Refuse;
}): Admission {
  const { max, planOf, waitMs, refuse } = options;
  const reasonOf = (tenant: string, own: number) =>
    own >= planOf(tenant).max
      ? `tenant ${tenant} has ${own} calls under way, the most its plan allows`
      : `${gate.inside} calls are under way, the most this gateway takes`;
  const gate = createFairGate({ name: "calls", max, limitsOf: planOf, waitMs, reasonOf });

  function recorded(facts: AskedFacts, error: unknown): AppError {
    const reason = toAppError(error);
    if (reason.code === "overloaded") refuse(overloadOf(facts, reason));
    return reason;
  }

  return {
    get underWay() {
      return gate.inside;
    },
    get waiting() {
      return gate.waiting;
    },
    enter(facts, sink) {
      const { lane, weight } = planOf(facts.tenant);
      const share = shareOf(facts.tenant, lane, weight);
      if (gate.tryEnter(share)) return undefined;
      // Made for the few that have to wait.
      const leaving = new AbortController();
      try {
        const turn = gate.enter(share, leaving.signal);
        if (turn === undefined) return undefined;
        sink.onWaiting?.(() => leaving.abort(new AppError("cancelled", "the call was cancelled")));
        return turn.catch((error: unknown) => Promise.reject(recorded(facts, error)));
      } catch (error) {
        throw recorded(facts, error);
      }
    },
    leave: (tenant) => gate.leave(tenant),
  };
}
