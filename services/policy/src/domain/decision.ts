import { ACTIONS } from "@tollgate/desired-state";
import type { Parsed } from "@tollgate/contracts";
import { permitsMcp, subjectOf, type User } from "./access-token.ts";
import type { Subject, Target, Verdict } from "./cedar-engine.ts";
import type { PolicyState } from "./state.ts";
import { tokenProblem } from "./token.ts";

const KNOWN_ACTIONS: ReadonlySet<string> = new Set(ACTIONS);
const SHOWN_MAX_CHARS = 200;

export interface Decision {
  readonly allow: boolean;
  readonly policyIds: readonly string[];
  readonly reason: string;
}

export interface Question {
  readonly principal: User | undefined;
  readonly action: string;
  /** Unix milliseconds. */
  readonly nowMs: number;
}

type DecisionState = Pick<PolicyState, "engine" | "tokens" | "settings" | "policies">;

/** Decides for one principal and action; the answer is asked resource by resource. Default deny; a deny wins. */
export function decider(state: DecisionState, question: Question): (target: Target) => Decision {
  const caller = callerOf(state, question);
  return caller.ok ? deciderFor(state, caller.value, question) : () => refuse(caller.reason);
}

/** The same for a caller who is taken as given: nobody is looked up. */
export function deciderFor(
  state: Pick<PolicyState, "engine" | "policies">,
  { subject, permissions }: DecisionCaller,
  { action }: Pick<Question, "action" | "nowMs">,
): (target: Target) => Decision {
  if (!KNOWN_ACTIONS.has(action)) return () => refuse(`the action ${show(action)} is not known`);
  if (!permissions.some((each) => each === "mcp" || each.startsWith("mcp:")))
    return () => refuse(`the ${subject.kind} ${show(subject.id)} lacks the permission mcp`);
  const sandboxMatters = state.policies.some(({ requireSandbox }) => requireSandbox);
  return (target) => {
    if (!permitsMcp(permissions, target))
      return refuse(`the access token of ${show(subject.id)} is not meant for ${show(target.server)}`);
    const verdict = state.engine.decide(subject, action, target);
    const decision = explain(verdict, action, target);
    if (verdict.allow || verdict.failure !== undefined || target.sandboxed || !sandboxMatters) return decision;
    const isAllLacking = state.engine.decide(subject, action, { ...target, sandboxed: true }).allow;
    return isAllLacking ? { ...decision, reason: `${decision.reason}: its server is in no sandbox` } : decision;
  };
}

export interface DecisionCaller {
  readonly subject: Subject;
  readonly permissions: readonly string[];
}

/**
 * What a token stands for comes from the tokens of this state, not from the question: the asker may have learned it before
 * the last change. Of a user nothing is kept here: what counts is what this service told the gateway of the access token,
 * as long as such tokens are taken.
 */
function callerOf({ tokens, settings }: DecisionState, { principal, nowMs }: Question): Parsed<DecisionCaller> {
  if (principal === undefined) return { ok: false, reason: "the request names no principal" };
  const { tenant } = principal;
  const user = subjectOf(principal.id);
  if (user !== undefined) {
    const { team, roles, permissions } = principal;
    if (settings.oauth.length === 0) return { ok: false, reason: "access tokens are not taken any more" };
    return { ok: true, value: { subject: { kind: "user", id: user, tenant, team, roles }, permissions } };
  }
  const token = tokens.byName.get(principal.id);
  const problem = tokenProblem(token, nowMs);
  if (token === undefined || problem !== undefined) return { ok: false, reason: problem ?? "the token is not known" };
  if (token.tenant !== tenant) return { ok: false, reason: `${show(token.name)} is not of the tenant ${show(tenant)}` };
  const { name: id, team, roles, permissions } = token;
  return { ok: true, value: { subject: { kind: "token", id, tenant, team, roles }, permissions } };
}

function refuse(reason: string): Decision {
  return { allow: false, policyIds: [], reason };
}

function explain(verdict: Verdict, action: string, target: Target): Decision {
  const { allow, policyIds, failure } = verdict;
  if (failure !== undefined)
    return { allow: false, policyIds, reason: `could not be decided, so it is denied: ${failure}` };
  const policies = `${policyIds.length === 1 ? "policy" : "policies"} ${policyIds.join(", ")}`;
  if (allow) return { allow, policyIds, reason: `allowed by ${policies}` };
  if (policyIds.length > 0) return { allow, policyIds, reason: `denied by ${policies}` };
  const name = target.tool === "" ? target.server : `${target.server}:${target.tool}`;
  return { allow, policyIds, reason: `no policy allows ${action} on ${name.slice(0, SHOWN_MAX_CHARS)}` };
}

function show(text: string): string {
  return JSON.stringify(text.slice(0, SHOWN_MAX_CHARS));
}
