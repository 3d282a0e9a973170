export type { DesiredAudit } from "./audit.ts";
export { type DesiredAgent, type DesiredCertificate, PERMISSION_PATTERN } from "./auth.ts";
export { documentsBeside } from "./documents.ts";
export {
  ENTRY_KINDS,
  type EntryKey,
  type EntryKind,
  entriesIn,
  type OverlayEntry,
  SECTION_OF,
  type WrittenEntry,
} from "./entries.ts";
export { describeEntry } from "./entry-schemas.ts";
export { HIDDEN, type HiddenValues, hideSecretsOf, keepHidden, revealSecretsOf } from "./hidden.ts";
export type { DesiredExport } from "./exports.ts";
export { type DesiredBudget, type DesiredWebhook, fillSecrets, thresholdsOf } from "./budgets.ts";
export { followDesiredState, type LoadCovered, type SecretsNeeded, type ServerSecrets } from "./follow.ts";
export { DEFAULT_ALLOW_POLICY, publicUrlOf } from "./installation.ts";
export { type DesiredLimit, LIMIT_SCOPES, type LimitMatch, type LimitScope, limitSchema } from "./limits.ts";
export { loadDesiredState, type Misfit, readSections } from "./load.ts";
export { type DesiredOauth, SUBJECT_PATTERN } from "./oauth.ts";
export { type DesiredRetention, retentionDays } from "./retention.ts";
export { DEFAULT_RISK_LEVELS, type DesiredRiskLevel, type DesiredRiskLevels } from "./risk.ts";
export type { DesiredOpa } from "./opa.ts";
export { secretFilesIn, secretsFrom } from "./secret-files.ts";
export { isSecretName, type ReadServerSecret, type ServerSecret } from "./placeholders.ts";
export { type DesiredSecretStores, type DesiredVault, SECRET_STORES, type SecretStoreName } from "./secret-stores.ts";
export { ROUTE_WORDS } from "./names.ts";
export type { DesiredLimits, DesiredPool, DesiredSandbox, DesiredToolRule } from "./server-run.ts";
export { type ArgumentTest, type Conditions, WEEKDAYS } from "./conditions.ts";
export { type DesiredPolicy, policySchema } from "./policies.ts";
export type { DesiredRateCard } from "./rate-cards.ts";
export { parseRecordable } from "./recordable.ts";
export {
  type ActionForm,
  ACTIONS,
  ADMIN_ACTIONS,
  EFFECTS,
  isAdminAction,
  parseAction,
  parsePrincipal,
  parseResource,
  type PrincipalForm,
  type ResourceForm,
} from "./policy-form.ts";
export {
  type DesiredControlPlane,
  type DesiredGroup,
  type DesiredServer,
  type DesiredState,
  type DesiredToken,
  type Section,
  SECTIONS,
  type ServerType,
  SERVER_TYPES,
} from "./state.ts";
export { nearest } from "./suggestion.ts";
export type { DesiredTenant } from "./tenants.ts";
export type { DesiredToolPolicy } from "./tool-changes.ts";
export type { DesiredToolSet } from "./tool-sets.ts";
