import { type Asker, type DecisionCaller, signInOf, subjectFrom } from "./principal.ts";

/** Who asked, as an event has it. */
export interface RecordedPrincipal extends Pick<Asker, "amr" | "acr" | "authenticatedAtMs"> {
  readonly id: string;
  readonly tenant: string;
  readonly team: string;
  readonly roles: readonly string[];
}

/**
 * The caller of a recorded call, as he was then: what became of his token or his roles since does not matter. He had got
 * as far as being decided on, so he had the permission.
 */
export function recordedCaller(principal: RecordedPrincipal): DecisionCaller {
  const { id, tenant, team, roles } = principal;
  return { subject: { ...subjectFrom(id), tenant, team, roles }, permissions: ["mcp"], signIn: signInOf(principal) };
}
