export { isCallId, newCallId, timeOfId } from "./ids.ts";
export {
  type AuditEvent,
  type CallEnvelope,
  type CallEvent,
  type Caller,
  type CallFacts,
  type Decision,
  NAME_PATTERN,
  type Outcome,
  OUTCOMES,
  parseAuditEvent,
  type Parsed,
  type RefusalEvent,
  type ReplyEnvelope,
} from "./events.ts";
export * as auditV1 from "./gen/tollgate/audit/v1/audit.ts";
export * as meteringV1 from "./gen/tollgate/metering/v1/metering.ts";
export * as policyV1 from "./gen/tollgate/policy/v1/policy.ts";
export * as registryV1 from "./gen/tollgate/registry/v1/registry.ts";
