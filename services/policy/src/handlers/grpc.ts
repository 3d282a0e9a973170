import type { policyV1 } from "@tollgate/contracts";
import { approvalMethods } from "./approvals.ts";
import { authenticationMethods } from "./authentication.ts";
import { decisionMethods } from "./decisions.ts";
import type { Dependencies } from "./dependencies.ts";
import { limitChangeMethods } from "./limit-changes.ts";
import { limitMethods } from "./limits.ts";
import { policyMethods } from "./policies.ts";
import { principalMethods } from "./principals.ts";
import { sessionMethods } from "./sessions.ts";
import { tokenMethods } from "./tokens.ts";
import { whatIfMethods } from "./what-if.ts";

/** The service of proto/tollgate/policy/v1/policy.proto, whose comments say what each method promises. */
export function grpcHandlers(dependencies: Dependencies): policyV1.PolicyServiceServer {
  return {
    watch: dependencies.hub.watch,
    ...authenticationMethods(dependencies),
    ...decisionMethods(dependencies),
    ...limitMethods(dependencies),
    ...limitChangeMethods(dependencies),
    ...policyMethods(dependencies),
    ...whatIfMethods(dependencies),
    ...tokenMethods(dependencies),
    ...principalMethods(dependencies),
    ...sessionMethods(dependencies),
    ...approvalMethods(dependencies),
  };
}
