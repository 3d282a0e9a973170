import { AppError, toAppError } from "@tollgate/errors";
import type { Admission } from "./admission.ts";
import type { CallSink } from "./calls.ts";
import type { CallLimits, Ticket } from "./limits.ts";
import { type AskedFacts, overloadOf, type Refuse } from "./refusals.ts";

/** A call whose limits change all the time is told so. */
const ATTEMPTS_MAX = 5;

/** A call that may be let in as far as the policies are concerned. */
interface Allowed {
  readonly kind: "allowed";
  readonly facts: AskedFacts;
  /** What it counts against. */
  readonly limits: readonly string[];
}

/** Decides on the call anew. */
type Check<A extends Allowed, Other> = () => Promise<A | Other>;

/** The last gates before a call is let in: a place among its tenant's calls, and a permit of each of its limits. */
export interface Entry {
  /**
   * At once where nothing is to be waited for. After every wait the call is decided upon anew, since what was found when
   * it came may not hold any more (invariant 2): what this gives back holds now. Whoever is let in leaves, once.
   * @throws {AppError} `overloaded`, which is recorded; rejects likewise, and with what the check throws
   */
  enter<A extends Allowed, Other extends { readonly kind: string }>(
    call: A,
    check: Check<A, Other>,
    sink: CallSink,
  ): A | Promise<A | Other>;
  leave(tenant: string, limits: readonly string[]): void;
}

export function createEntry(options: { admission: Admission; limits: CallLimits; refuse: Refuse }): Entry {
  const { admission, limits, refuse } = options;

  function recorded({ facts }: Allowed, error: unknown): AppError {
    const reason = toAppError(error);
    if (reason.code === "overloaded") refuse(overloadOf(facts, reason));
    return reason;
  }

  function takePermits(call: Allowed): Ticket | Promise<Ticket> {
    try {
      const taken = limits.enter(call.limits);
      return taken instanceof Promise ? taken.catch((error: unknown) => Promise.reject(recorded(call, error))) : taken;
    } catch (error) {
      throw recorded(call, error);
    }
  }

  /** Undefined: the ticket is not good for what the call counts against now. It is given back then. */
  async function checkWith<A extends Allowed, Other extends { readonly kind: string }>(
    ticket: Ticket,
    check: Check<A, Other>,
  ): Promise<{ readonly checked: A | Other; readonly isIn: boolean }> {
    let isIn = false;
    try {
      const checked = await check();
      isIn = isAllowed(checked) && limits.holds(ticket, checked.limits);
      return { checked, isIn };
    } finally {
      if (!isIn) limits.giveBack(ticket);
    }
  }

  async function waitForPermits<A extends Allowed, Other extends { readonly kind: string }>(
    first: Promise<Ticket>,
    check: Check<A, Other>,
    tenant: string,
  ): Promise<A | Other> {
    let isLetIn = false;
    try {
      let ticket = await first;
      for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
        const { checked, isIn } = await checkWith(ticket, check);
        isLetIn = isIn;
        if (isIn || !isAllowed(checked)) return checked;
        ticket = await takePermits(checked);
      }
      limits.giveBack(ticket);
      throw new AppError("unavailable", "the limits keep changing while the request waits; send it again");
    } finally {
      if (!isLetIn) admission.leave(tenant);
    }
  }

  async function waitForTurn<A extends Allowed, Other extends { readonly kind: string }>(
    turn: Promise<void>,
    check: Check<A, Other>,
    tenant: string,
  ): Promise<A | Other> {
    await turn;
    let taken: Ticket | Promise<Ticket> | undefined;
    let checked: A | Other;
    try {
      checked = await check();
      if (isAllowed(checked)) taken = takePermits(checked);
    } finally {
      if (taken === undefined) admission.leave(tenant);
    }
    return taken instanceof Promise ? waitForPermits(taken, check, tenant) : checked;
  }

  return {
    enter(call, check, sink) {
      const { tenant } = call.facts;
      const turn = admission.enter(call.facts, sink);
      if (turn !== undefined) return waitForTurn(turn, check, tenant);
      let taken: Ticket | Promise<Ticket> | undefined;
      try {
        taken = takePermits(call);
      } finally {
        if (taken === undefined) admission.leave(tenant);
      }
      return taken instanceof Promise ? waitForPermits(taken, check, tenant) : call;
    },
    leave(tenant, keys) {
      limits.leave(keys);
      admission.leave(tenant);
    },
  };
}

function isAllowed<A extends Allowed>(checked: A | { readonly kind: string }): checked is A {
  return checked.kind === "allowed";
}
