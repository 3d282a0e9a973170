import { type ApprovalEvent, newCallId, type Risk } from "@tollgate/contracts";
import type { ApprovalRecord } from "../domain/approvals.ts";

/** What has become of a request for approval, for the record. */
export function approvalEvent(
  { id: approval, tenant, principal, group, server, tool, risk, changedAtMs: endedAt }: ApprovalRecord,
  change: Pick<ApprovalEvent, "change" | "reason"> & { readonly by?: string },
): ApprovalEvent {
  const about = { tenant, approval, principal, group, server, tool, risk: risk as Risk };
  return { v: 1, kind: "approval", id: newCallId(endedAt), endedAt, ...about, ...change };
}
