import { subjectOf } from "./access-token.ts";
import type { DecisionCaller } from "./decision.ts";

/** Who asked, as an event has it. */
export interface RecordedPrincipal {
  readonly id: string;
  readonly tenant: string;
  readonly team: string;
  readonly roles: readonly string[];
}

/**
 * The caller of a recorded call, as he was then: what became of his token or his roles since does not matter. He had got
 * as far as being decided on, so he had the permission.
 */
export function recordedCaller({ id, tenant, team, roles }: RecordedPrincipal): DecisionCaller {
  const user = subjectOf(id);
  const subject = user === undefined ? { kind: "token" as const, id } : { kind: "user" as const, id: user };
  return { subject: { ...subject, tenant, team, roles }, permissions: ["mcp"] };
}
