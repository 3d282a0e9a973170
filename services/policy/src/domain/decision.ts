import { ACTIONS } from "@tollgate/desired-state";
import type { CedarEngine, Target, Verdict } from "./cedar-engine.ts";
import { type TokenIndex, tokenProblem } from "./token.ts";

const KNOWN_ACTIONS: ReadonlySet<string> = new Set(ACTIONS);
const SHOWN_MAX_CHARS = 200;

export interface Decision {
  readonly allow: boolean;
  readonly policyIds: readonly string[];
  readonly reason: string;
}

export interface Question {
  readonly principal: { readonly id: string; readonly tenant: string } | undefined;
  readonly action: string;
  /** Unix milliseconds. */
  readonly nowMs: number;
}

/**
 * Decides for one principal and action; the answer is asked resource by resource. Default deny; a deny wins. What
 * the principal is comes from the tokens of this state, not from the question: the asker may have learned it before
 * the last change.
 */
export function decider(
  state: { readonly engine: CedarEngine; readonly tokens: TokenIndex },
  question: Question,
): (target: Target) => Decision {
  const { principal, action, nowMs } = question;
  if (principal === undefined) return refuse("the request names no principal");
  if (!KNOWN_ACTIONS.has(action)) return refuse(`the action ${show(action)} is not known`);
  const token = state.tokens.byName.get(principal.id);
  const problem = tokenProblem(token, nowMs);
  if (token === undefined || problem !== undefined) return refuse(problem ?? "the token is not known");
  if (token.tenant !== principal.tenant)
    return refuse(`${show(token.name)} is not of the tenant ${show(principal.tenant)}`);
  if (!token.permissions.includes("mcp")) return refuse(`the token ${show(token.name)} lacks the permission mcp`);
  const subject = { id: token.name, tenant: token.tenant, team: token.team, roles: token.roles };
  return (target) => explain(state.engine.decide(subject, action, target), action, target);
}

function refuse(reason: string): () => Decision {
  return () => ({ allow: false, policyIds: [], reason });
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
