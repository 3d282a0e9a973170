export {
  type AccessEvent,
  type BudgetEvent,
  CHANGED_RESOURCES,
  type ChangedResource,
  type ChangeEvent,
  INSTALLATION_TENANT,
  type SecretEvent,
  type ServerEvent,
} from "./administration-events.ts";
export { type Change, changeEvent } from "./change-event.ts";
export { type EventFacets, facetsOf, outcomeOf, searchable } from "./event-facets.ts";
export { isCallId, newCallId, timeOfId } from "./ids.ts";
export {
  type AlertEvent,
  type AnswerEnvelope,
  type ApprovalEvent,
  type AuditEvent,
  type CallEnvelope,
  type CallEvent,
  type Caller,
  type CallFacts,
  type ClientSide,
  type Decision,
  type DecisionFacts,
  type CallFallback,
  EVENT_MAX_CHARS,
  type FallbackTool,
  type Interest,
  KINDS,
  type Lane,
  LANES,
  NAME_PATTERN,
  type Outcome,
  OUTCOMES,
  parseAuditEvent,
  type Parsed,
  QUESTION_TIMEOUT_MS,
  questionId,
  type Recordable,
  RECORDABLE,
  type Recording,
  type RefusalEvent,
  type ReplyEnvelope,
  type ResourceUpdate,
  type Risk,
  RISKS,
  runnerOfQuestion,
  STREAM_AFTER_MS,
  streamOwner,
} from "./events.ts";
export type {
  BreakerState,
  CallCounts,
  Isolation,
  LimitsBy,
  PoolState,
  ProcessHealth,
  ServerHealth,
} from "./server-health.ts";
export * as auditV1 from "./gen/tollgate/audit/v1/audit.ts";
export * as meteringV1 from "./gen/tollgate/metering/v1/metering.ts";
export * as policyV1 from "./gen/tollgate/policy/v1/policy.ts";
export * as limitsV1 from "./gen/tollgate/policy/v1/limits.ts";
export * as entriesV1 from "./gen/tollgate/registry/v1/entries.ts";
export * as registryV1 from "./gen/tollgate/registry/v1/registry.ts";
export * as secretsV1 from "./gen/tollgate/registry/v1/secrets.ts";
export * as toolsV1 from "./gen/tollgate/registry/v1/tools.ts";
export * as stateV1 from "./gen/tollgate/state/v1/state.ts";
export { hideSecrets, type ServerSecrets } from "./server-secrets.ts";
export { storedText } from "./stored-text.ts";
