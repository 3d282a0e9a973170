import type { Decision } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import type { Policy, Principal } from "../clients/policy.ts";
import type { Action } from "../domain/lists.ts";
import type { Subject } from "../domain/targets.ts";
import type { McpContext } from "./mcp-exchange.ts";

const ATTEMPTS_MAX = 3;

/**
 * Who asks and what they may, both of one revision: between the token and the decision either may have been taken
 * back.
 */
export async function decide(
  policy: Policy,
  context: McpContext,
  action: Action,
  subjects: readonly Subject[],
): Promise<{ principal: Principal; decisions: Decision[] }> {
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    const { revision } = policy;
    const principal = revision === context.revision ? context.principal : await context.authenticate();
    const decided = policy.decide(principal, action, subjects);
    const decisions = decided instanceof Promise ? await decided : decided;
    if (policy.revision === revision) return { principal, decisions };
  }
  throw new AppError("unavailable", "the policies keep changing while the request is decided; send it again");
}
