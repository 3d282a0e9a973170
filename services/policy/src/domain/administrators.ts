import { NO_SIGN_IN, type Target } from "./cedar-question.ts";
import { deciderFor } from "./decision.ts";
import { type Standing, standingOfAgent, standingOfToken, subjectFrom } from "./principal.ts";
import type { PolicyState } from "./state.ts";
import { tokenProblem } from "./token.ts";

const ACTION = "admin/policies/write";
/** Actions of administration are on the installation as a whole. */
const INSTALLATION: Target = { group: "", server: "", tool: "", sandboxed: false, environment: "", risk: "" };

/**
 * Whether somebody whose credential is known here may change policies now, from wherever he comes. Users are not counted:
 * whether there is one, their issuer knows.
 */
export function hasAdministrator(state: PolicyState, nowMs: number): boolean {
  const isAnybodys = state.policies.some(({ effect, compiled }) => effect === "allow" && compiled.actions.has(ACTION));
  for (const { id, permissions, ...rest } of standings(state, nowMs)) {
    if (!isAnybodys && !permissions.includes("admin")) continue;
    const caller = { subject: { ...rest, ...subjectFrom(id) }, permissions, signIn: NO_SIGN_IN };
    if (deciderFor(state, caller, { action: ACTION, nowMs })(INSTALLATION).allow) return true;
  }
  return false;
}

/** Of all credentials that can be used now. */
function* standings(state: PolicyState, nowMs: number): Generator<Standing> {
  for (const token of state.tokens.byName.values()) {
    const standing = tokenProblem(token, nowMs) === undefined && standingOfToken(state, token);
    if (standing && standing.ok) yield standing.value;
  }
  for (const { agent, ...certificate } of state.settings.certificates) {
    const standing = standingOfAgent(state.principals, { ...certificate, id: agent });
    if (standing.ok) yield standing.value;
  }
}
