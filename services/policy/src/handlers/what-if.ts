import type { policyV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { unary } from "@tollgate/service";
import { deciderFor } from "../domain/decision.ts";
import type { Proposal } from "../domain/proposal.ts";
import { recordedCaller } from "../domain/recorded-caller.ts";
import type { PolicyState } from "../domain/state.ts";
import { type SupposedCaller, supposedCaller } from "../domain/supposed-caller.ts";
import { decideAll, toDecision } from "./decisions.ts";
import type { Dependencies, Methods } from "./dependencies.ts";
import { parse } from "./policies.ts";
import { createProposals } from "./proposals.ts";

/** New policies have to be checked, a millisecond for each, while leases wait. */
const PROPOSED_MAX = 100;
const REMOVED_MAX = 2_000;
const CALLS_MAX = 1_000;
const RESOURCES_MAX = 100;
/** Calls are decided in slices, so that leases are renewed meanwhile. */
const SLICE_MS = 20;
/** Distinct questions whose answers are remembered with a proposal: most calls are repeated. */
const ANSWERS_MAX = 20_000;

type Compiled = Pick<PolicyState, "policies" | "engine">;
type Answers = Map<string, Answer>;

interface Answer {
  readonly decision: policyV1.Decision;
  /** Unix milliseconds: the moment that it was asked for. It holds from then until `decision.validUntilMs`. */
  readonly fromMs: number;
}

/** What would be, under other policies. Nothing here changes what is. */
export function whatIfMethods(dependencies: Dependencies): Methods<"testPolicies" | "whatIf"> {
  const { authority, log } = dependencies;
  const proposals = createProposals((): Answers => new Map());
  return {
    testPolicies: unary(log, (request: policyV1.TestPoliciesRequest) => {
      const state = authority.current();
      return proposals.use(state, toProposal(request), (compiled) =>
        answer(dependencies, { ...state, ...compiled }, request),
      );
    }),
    whatIf: unary(log, (request: policyV1.WhatIfRequest) => {
      if (request.calls.length > CALLS_MAX)
        throw new AppError("invalid_argument", `calls: has more than ${CALLS_MAX} entries`);
      return proposals.use(authority.current(), toProposal(request), async (compiled, answers) => ({
        decisions: await decideCalls(request.calls, compiled, answers),
      }));
    }),
  };
}

function toProposal(request: { proposed: readonly policyV1.Policy[]; removed: readonly string[] }): Proposal {
  for (const [place, max] of [
    ["proposed", PROPOSED_MAX],
    ["removed", REMOVED_MAX],
  ] as const)
    if (request[place].length > max) throw new AppError("invalid_argument", `${place}: has more than ${max} entries`);
  return {
    proposed: request.proposed.map((policy, index) => parse(policy, `proposed[${index}].`)),
    removed: request.removed,
  };
}

/** As Decide answers, with all that is demanded beside policies, for a caller who shows no credential. */
async function answer(
  { opa, sealed }: Dependencies,
  state: PolicyState,
  { question, atMs }: policyV1.TestPoliciesRequest,
): Promise<policyV1.TestPoliciesResponse> {
  if (question?.principal === undefined)
    throw new AppError("invalid_argument", "question: has to name a principal, an action and resources");
  if (question.resources.length > RESOURCES_MAX)
    throw new AppError("invalid_argument", `question.resources: has more than ${RESOURCES_MAX} entries`);
  const nowMs = atMs === 0n ? Date.now() : Number(atMs);
  const supposed = supposedCaller(state, question.principal, nowMs);
  const caller = supposed.ok ? { ok: true as const, value: supposed.value.caller } : supposed;
  const request = supposed.ok
    ? { ...question, principal: { ...question.principal, ...listsOf(supposed.value) } }
    : question;
  const decisions = await decideAll({ request, caller, state, nowMs, opa, sealed, isCurrent: () => true });
  return { decisions: decisions!.map(toDecision), revision: BigInt(state.revision) };
}

function listsOf({ principal }: SupposedCaller): Partial<policyV1.Principal> {
  return { ...principal, roles: [...principal.roles], permissions: [...principal.permissions] };
}

async function decideCalls(
  calls: readonly policyV1.RecordedCall[],
  compiled: Compiled,
  answers: Answers,
): Promise<policyV1.Decision[]> {
  const decisions: policyV1.Decision[] = [];
  // In the order of time: what depends on it is remembered from a moment on.
  const order = [...calls.keys()].toSorted((a, b) => Number(calls[a]!.atMs - calls[b]!.atMs));
  let sliceEnd = performance.now() + SLICE_MS;
  for (const index of order) {
    if (performance.now() > sliceEnd) {
      await new Promise((resolve) => setImmediate(resolve));
      sliceEnd = performance.now() + SLICE_MS;
    }
    decisions[index] = decideRecorded(calls[index]!, compiled, answers);
  }
  return decisions;
}

function decideRecorded({ question, atMs }: policyV1.RecordedCall, compiled: Compiled, answers: Answers) {
  const resource = question?.resources[0];
  if (question?.principal === undefined || resource === undefined)
    throw new AppError("invalid_argument", "calls: each has to name a principal and a resource");
  const nowMs = Number(atMs);
  const key = keyOf(question, question.principal, resource);
  const known = answers.get(key);
  const isTimeless = question.principal.authenticatedAtMs === 0n;
  if (known !== undefined && holds(known, { nowMs, isTimeless })) return known.decision;
  const decideOne = deciderFor(compiled, recordedCaller(question.principal), { ...question, nowMs });
  const decision = toDecision(decideOne(resource));
  if (answers.size >= ANSWERS_MAX) answers.clear();
  answers.set(key, { decision, fromMs: nowMs });
  return decision;
}

/** Later calls are asked about first. A sign-in that is too old for those may have been new enough for earlier ones. */
function holds({ decision, fromMs }: Answer, { nowMs, isTimeless }: { nowMs: number; isTimeless: boolean }): boolean {
  const { validUntilMs } = decision;
  if (validUntilMs === 0n && isTimeless) return true;
  return fromMs <= nowMs && (validUntilMs === 0n || nowMs < Number(validUntilMs));
}

function keyOf(
  { action, address }: policyV1.DecideRequest,
  principal: policyV1.Principal,
  resource: policyV1.Resource,
): string {
  const { id, tenant, team, roles, amr, acr, authenticatedAtMs } = principal;
  const { group, server, tool, sandboxed, environment, risk } = resource;
  const who = [id, tenant, team, roles, amr, acr, Number(authenticatedAtMs), address];
  return JSON.stringify([who, action, group, server, tool, sandboxed, environment, risk]);
}
