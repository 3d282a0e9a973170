import type { Target } from "./cedar-question.ts";
import { decider } from "./decision.ts";
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
  for (const token of state.tokens.byName.values()) {
    if (tokenProblem(token, nowMs) !== undefined) continue;
    if (!isAnybodys && !token.permissions.includes("admin")) continue;
    const { name: id, tenant, team, roles, permissions } = token;
    const principal = { id, tenant, team, roles, permissions };
    if (decider(state, { principal, action: ACTION, nowMs })(INSTALLATION).allow) return true;
  }
  return false;
}
