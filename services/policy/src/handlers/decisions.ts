import type { Parsed, policyV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { unary } from "@tollgate/service";
import { type Decision, decider } from "../domain/decision.ts";
import type { ByApproval } from "../domain/approvals.ts";
import { recorder } from "../domain/recordings.ts";
import { callerOf, type DecisionCaller } from "../domain/principal.ts";
import type { PolicyState } from "../domain/state.ts";
import type { SealedArguments } from "../store/sealed-arguments.ts";
import { approvalCheck } from "./approvals.ts";
import type { Dependencies, Methods } from "./dependencies.ts";
import type { Opa } from "./opa.ts";

const RESOURCES_MAX = 2_000;
/** A long list is decided in slices, so that leases are renewed meanwhile. */
const SLICE_RESOURCES = 20;
const RESTARTS_MAX = 5;

/** May they. */
export function decisionMethods(dependencies: Dependencies): Methods<"decide"> {
  return { decide: unary(dependencies.log, (request) => decide(dependencies, request)) };
}

async function decide(
  { authority, opa, metrics, sealed }: Dependencies,
  request: policyV1.DecideRequest,
): Promise<policyV1.DecideResponse> {
  if (request.resources.length > RESOURCES_MAX) {
    throw new AppError("invalid_argument", `resources: has more than ${RESOURCES_MAX} entries`);
  }
  const stop = metrics.decideSeconds.startTimer();
  for (let attempt = 1; attempt <= RESTARTS_MAX; attempt += 1) {
    const state = authority.current();
    const nowMs = Date.now();
    const caller = callerOf(state, { ...request, nowMs });
    const isCurrent = (): boolean => authority.current() === state;
    const decisions = await decideAll({ request, caller, state, nowMs, opa, sealed, isCurrent });
    // All of an answer is of one revision: a change in between starts it anew.
    if (decisions === undefined) continue;
    stop();
    for (const { allow } of decisions) metrics.decisions.inc({ effect: allow ? "allow" : "deny" });
    return { decisions: decisions.map(toDecision), revision: BigInt(state.revision) };
  }
  throw new AppError("unavailable", "policies change too fast to decide on so many resources; try again");
}

/** @returns undefined when it is not current any more */
export async function decideAll(options: {
  readonly request: policyV1.DecideRequest;
  /** Whom its principal stands for. */
  readonly caller: Parsed<DecisionCaller>;
  readonly state: PolicyState;
  readonly nowMs: number;
  readonly opa: Opa;
  readonly sealed: SealedArguments;
  readonly isCurrent: () => boolean;
}): Promise<(Decision & ByApproval)[] | undefined> {
  const { request, caller, state, nowMs, opa, sealed, isCurrent } = options;
  const approve = approvalCheck({ request, state, sealed, nowMs });
  const { resources } = request;
  const decideOne = decider(state, { ...request, nowMs }, caller);
  const judge = opa.judgeFor(state, caller, { ...request, nowMs });
  const limited = <D extends Decision>(decision: D, resource: policyV1.Resource): D => {
    if (!decision.allow || request.principal === undefined) return decision;
    return { ...decision, limits: state.limits.keysOf(request.principal, request.action, resource) };
  };
  const recordOf = recorder(state);
  const decisions: (Decision & ByApproval)[] = [];
  for (let start = 0; start < resources.length; start += SLICE_RESOURCES) {
    if (start > 0) await new Promise((resolve) => setImmediate(resolve));
    if (!isCurrent()) return undefined;
    const slice = resources.slice(start, start + SLICE_RESOURCES);
    const ruled = slice.map(decideOne);
    const judged = judge ? await Promise.all(ruled.map((each, index) => judge(each, slice[index]!))) : ruled;
    // Last: nobody is asked to approve of what is denied.
    decisions.push(
      ...judged.map((each, index) => {
        const decision = limited(approve(each, slice[index]!), slice[index]!);
        return { ...decision, record: recordOf(decision.policyIds, slice[index]!.risk) };
      }),
    );
  }
  return isCurrent() ? decisions : undefined;
}

export function toDecision(decision: Decision): policyV1.Decision {
  const { policyIds, validUntilMs, stepUp, limits, record } = decision;
  return {
    ...decision,
    policyIds: [...policyIds],
    // A moment is never remembered for longer than it lasts.
    validUntilMs: BigInt(Math.floor(validUntilMs)),
    stepUp: stepUp && { acrValues: [...stepUp.acrValues], maxAge: stepUp.maxAge },
    limits: [...limits],
    record: [...record],
  };
}
