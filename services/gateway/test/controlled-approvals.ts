import { newCallId, policyV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { unary } from "@tollgate/service";
import { testLog } from "@tollgate/testkit";
import type { ControlledPolicy } from "./controlled-policy.ts";

type Methods = Pick<
  policyV1.PolicyServiceServer,
  "requestApproval" | "listApprovals" | "getApproval" | "decideApproval"
>;

/** Policy's side of approvals: each word decides at once. */
export function approvalMethods(approvals: Map<string, policyV1.Approval>): Methods {
  const find = (id: string): policyV1.Approval => {
    const found = approvals.get(id);
    if (found) return found;
    throw new AppError("not_found", "there is no such approval");
  };
  return {
    requestApproval: unary(testLog, (request: policyV1.RequestApprovalRequest) => {
      const { principal, resource, arguments: given, justification } = request;
      const open = [...approvals.values()].find(
        (each) => each.tool === resource!.tool && each.arguments === given && each.status !== "revoked",
      );
      const atMs = BigInt(Date.now());
      const { group, server, tool, risk } = resource!;
      const made = policyV1.Approval.fromPartial({
        id: newCallId(Date.now()),
        status: "pending",
        needed: 1,
        requestedAtMs: atMs,
        changedAtMs: atMs,
        tenant: principal!.tenant,
        principal: principal!.id,
        group,
        server,
        tool,
        risk,
        arguments: given,
        expiresAtMs: atMs + 60_000n,
        ...open,
        justification: open?.justification || justification,
      });
      made.justificationMissing = made.justification === "";
      approvals.set(made.id, made);
      return { approval: made, created: open === undefined };
    }),
    decideApproval: unary(testLog, ({ id, decision, by, reason }: policyV1.DecideApprovalRequest) => {
      const approve = decision === "approve";
      const status = { approve: "approved", deny: "denied", revoke: "revoked" }[decision]!;
      const votes = [{ by: by!.id, approve, reason, atMs: 0n }];
      approvals.set(id, { ...find(id), status, votes });
      return { approval: find(id), revision: 1n };
    }),
    getApproval: unary(testLog, ({ id }: policyV1.GetApprovalRequest) => ({ approval: find(id) })),
    listApprovals: unary(testLog, ({ status }: policyV1.ListApprovalsRequest) => ({
      approvals: [...approvals.values()].filter((each) => status === "" || each.status === status),
      nextCursor: "",
    })),
  };
}

/** What risk demands, decided as policy does: HIGH and CRITICAL need an approval of the same call. */
export function demandApprovals(policy: ControlledPolicy): void {
  policy.approvals.clear();
  policy.allow = ({ arguments: given }, { tool, risk }) => {
    policy.more = {};
    if (risk !== "HIGH" && risk !== "CRITICAL") return true;
    if (given === undefined) policy.more = { variesByArguments: true };
    if (given === undefined) return true;
    const approved = [...policy.approvals.values()].find(
      (each) => each.status === "approved" && each.tool === tool && each.arguments === given,
    );
    policy.more = approved ? { approvalId: approved.id } : { approvalsNeeded: 1 };
    return approved !== undefined;
  };
}
