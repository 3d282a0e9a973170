import { unary } from "@tollgate/service";
import { type Dependencies, type Methods, notYet } from "./dependencies.ts";

/** Calls that people have to approve of. */
export function approvalMethods({
  log,
}: Dependencies): Methods<"requestApproval" | "listApprovals" | "getApproval" | "decideApproval"> {
  return {
    requestApproval: unary(log, notYet),
    listApprovals: unary(log, notYet),
    getApproval: unary(log, notYet),
    decideApproval: unary(log, notYet),
  };
}
