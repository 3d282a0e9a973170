import type { Metadata } from "@grpc/grpc-js";
import type { auditV1, meteringV1, policyV1 } from "@tollgate/contracts";
import type { Log } from "@tollgate/service";
import type { Policy } from "../clients/policy.ts";
import type { Registry } from "../clients/registry.ts";

/** How long the API waits for another service. */
export const TIMEOUT_MS = 10_000;

export interface ApiOptions {
  readonly policy: Policy;
  readonly registry: Registry;
  readonly clients: {
    readonly policy: policyV1.PolicyServiceClient;
    readonly audit: auditV1.AuditServiceClient;
    readonly metering: meteringV1.MeteringServiceClient;
  };
  readonly metadata: Metadata;
  readonly log: Log;
}
