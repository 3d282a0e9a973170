import { AppError } from "@tollgate/errors";
import type { Asker, Policy, Principal, Ruling } from "../clients/policy.ts";
import type { AdminAction } from "../domain/admin-actions.ts";
import type { Action } from "../domain/lists.ts";
import type { Subject } from "../domain/targets.ts";
import type { Caller } from "./callers.ts";

const ATTEMPTS_MAX = 3;

/**
 * Who asks and what they may, both of one revision: between the token and the decision either may have been taken
 * back.
 * @param callArguments of a call, as JSON, for what varies by them
 */
export async function decide(
  policy: Policy,
  context: Caller,
  action: Action | AdminAction,
  { subjects, callArguments }: { subjects: readonly Subject[]; callArguments?: () => string },
): Promise<{ principal: Principal; rulings: Ruling[]; revision: number }> {
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    const { revision } = policy;
    const principal = revision === context.revision ? context.principal : await context.authenticate();
    const asker = { principal, address: context.address };
    const ruled = policy.decide(asker, action, subjects);
    let rulings = ruled instanceof Promise ? await ruled : ruled;
    if (callArguments && rulings.some(isOpen))
      rulings = await settle(policy, asker, { action, subjects, rulings, callArguments: callArguments() });
    if (policy.revision === revision) return { principal, rulings, revision };
  }
  throw new AppError("unavailable", "the policies keep changing while the request is decided; send it again");
}

const isOpen = ({ variesByArguments, decision }: Ruling): boolean => variesByArguments && decision.allow;

interface Open {
  readonly action: Action | AdminAction;
  readonly subjects: readonly Subject[];
  readonly rulings: readonly Ruling[];
  readonly callArguments: string;
}

/** Asks anew, with the call's arguments, for what some arguments may be allowed. */
function settle(policy: Policy, asker: Asker, open: Open): Promise<Ruling[]> {
  const { action, subjects, rulings, callArguments } = open;
  return Promise.all(
    rulings.map(async (ruling, i) =>
      isOpen(ruling) ? policy.decideCall(asker, action, subjects[i]!, callArguments) : ruling,
    ),
  );
}
