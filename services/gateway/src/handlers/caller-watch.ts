import { setTimeout as delay } from "node:timers/promises";
import { toAppError } from "@tollgate/errors";
import type { Policy, Principal } from "../clients/policy.ts";
import type { AdminAction } from "../domain/admin-actions.ts";
import { ruleAnew } from "./api-access.ts";
import type { Caller } from "./callers.ts";

/** While policy is not heard from, and nothing is said. */
const RETRY_MS = 200;
/** Credentials end without a change of policy. */
const LOOK_INTERVAL_MS = 10_000;

/** One who was let in, for as long as its answer lasts. */
export interface CallerWatch {
  /**
   * Settles when it is known under the policies that hold now: false when the caller may not any more.
   * Invariant 2: whoever says something to it asks first, and says it in the same tick.
   */
  mayGoOn(): Promise<boolean>;
}

/** @param options.isSame whether the one that the credentials stand for now may see what it was let in for */
export function watchCaller(options: {
  policy: Policy;
  caller: Caller;
  action: AdminAction;
  isSame: (principal: Principal) => boolean;
  signal: AbortSignal;
}): CallerWatch {
  const { policy, caller, action, isSame, signal } = options;
  let revision = -1;
  let untilMs = 0;

  /** True: all is well; undefined: nobody can say. */
  async function look(): Promise<boolean | undefined> {
    const before = policy.revision;
    try {
      const { principal, ruling } = await ruleAnew(policy, caller, action);
      if (!ruling.decision.allow || !isSame(principal)) return false;
      revision = before;
      const lasts = ruling.validUntilMs === 0 ? Infinity : ruling.validUntilMs;
      untilMs = Math.min(lasts, Date.now() + LOOK_INTERVAL_MS);
      return true;
    } catch (error) {
      return toAppError(error).code === "unavailable" ? undefined : false;
    }
  }

  const isKnown = () => policy.holds(revision) && Date.now() < untilMs;
  async function lookUntilKnown(): Promise<boolean> {
    while (!signal.aborted && !isKnown()) {
      const found = await look();
      if (found === false) return false;
      if (!isKnown()) await delay(RETRY_MS, undefined, { signal }).catch(() => undefined);
    }
    return !signal.aborted;
  }

  let pending: Promise<boolean> | undefined;
  return {
    async mayGoOn() {
      // What somebody else has found may not hold any more when it is heard of.
      do {
        if (!(await (pending ??= lookUntilKnown().finally(() => (pending = undefined))))) return false;
      } while (!isKnown());
      return true;
    },
  };
}
