import { RISKS } from "@tollgate/contracts";
import { z } from "zod";
import { CONDITIONS_KEYS } from "./conditions.ts";
import { AUDIT_KEYS, auditSchema } from "./audit.ts";
import { METERING_KEYS, meteringSchema } from "./metering.ts";
import { RATE_CARD_KEYS, rateCardSchema } from "./rate-cards.ts";
import { AUTH_KEYS, authSchema } from "./auth.ts";
import { CONNECTOR_KEYS, connectorSchema } from "./connector-schema.ts";
import { LIMIT_KEYS, limitSchema } from "./limits.ts";
import { groupName, name, serverName, title } from "./names.ts";
import { publicUrlSchema } from "./oauth.ts";
import { OPA_KEYS, opaSchema } from "./opa.ts";
import { policySchema, policyShape } from "./policies.ts";
import { RISK_KEYS, riskLevelsSchema } from "./risk.ts";
import { boolean, number } from "./scalars.ts";
import { headersSchema, urlSchema } from "./remote.ts";
import { fallbackSchema, limitsSchema, poolSchema, sandboxSchema, toolRuleSchema } from "./server-run.ts";
import { SSL_KEYS, sslSchema, trustedProxiesSchema } from "./ssl.ts";
import { CLIENT_CAPABILITIES, SERVER_TYPES, TRANSPORTS } from "./state.ts";
import { planSchema, tenantSchema } from "./tenants.ts";
import { certificationSchema, toolChangesSchema, TOOLS_KEYS, toolsSchema } from "./tool-changes.ts";
import { SECRET_STORES_KEYS, secretStoresSchema } from "./secret-stores.ts";
import { TOOL_SET_KEYS, toolSetSchema } from "./tool-sets.ts";

// Messages never repeat a value: it may have come from the environment and be a secret.

const TEXT_MAX_CHARS = 32_768;
const LIST_MAX = 256;
const ENTRIES_MAX = 10_000;
/** Each is looked at for every decision that is not remembered. */
const LIMITS_MAX = 200;
const DAY_SECONDS = 86_400;

const text = z.string().min(1, "is empty").max(TEXT_MAX_CHARS);

const seconds = number(z.number().positive().max(DAY_SECONDS));

const limits = z.strictObject({
  max_concurrent_requests: number(z.number().int().positive().max(1_000_000)).default(1_000),
  request_timeout_seconds: seconds.default(120),
  max_response_size_mb: number(z.number().positive().max(1_024)).default(4),
});
const controlPlane = z.strictObject({
  host: title.default("127.0.0.1"),
  port: number(z.number().int().min(0).max(65_535)).default(8080),
  public_url: publicUrlSchema.optional(),
  ssl: sslSchema.optional(),
  trusted_proxies: trustedProxiesSchema,
  auth: authSchema.prefault({}),
  opa: opaSchema.optional(),
  limits: limits.prefault({}),
});
const group = z.strictObject({
  id: groupName,
  name: title.optional(),
  connectors: z.array(connectorSchema).max(ENTRIES_MAX).default([]),
});
/** Which keys go with which type: server-keys.ts. */
const server = z.strictObject({
  id: serverName,
  name: title.optional(),
  group: name,
  type: z.enum(SERVER_TYPES),
  command: text.optional(),
  args: z.array(z.string().max(TEXT_MAX_CHARS)).max(LIST_MAX).default([]),
  env: z
    .record(
      z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "is not a name for an environment variable"),
      z.string().max(TEXT_MAX_CHARS),
    )
    .default({}),
  working_dir: text.optional(),
  url: urlSchema.optional(),
  transport: z.enum(TRANSPORTS).default("auto"),
  headers: headersSchema.default({}),
  startup_timeout: seconds.default(60),
  requirements: text.optional(),
  health_check_interval: number(z.number().min(0).max(DAY_SECONDS)).default(30),
  pool: poolSchema.prefault({}),
  limits: limitsSchema.prefault({}),
  sandbox: sandboxSchema.prefault({}),
  tools: z.record(text.max(256), toolRuleSchema).default({}),
  tool_changes: toolChangesSchema.optional(),
  certification: certificationSchema.optional(),
  client_capabilities: z
    .array(z.enum(CLIENT_CAPABILITIES))
    .max(LIST_MAX)
    .default([...CLIENT_CAPABILITIES]),
  session_context: boolean.default(false),
  environment: name.optional(),
  risk: z.enum(RISKS).default("LOW"),
  enabled: boolean.default(true),
});

export const fileSchema = z.strictObject({
  control_plane: controlPlane.prefault({}),
  plans: z.array(planSchema).max(ENTRIES_MAX).default([]),
  tenants: z.array(tenantSchema).max(ENTRIES_MAX).default([]),
  groups: z.array(group).max(ENTRIES_MAX).default([]),
  mcp_servers: z.array(server).max(ENTRIES_MAX).default([]),
  tools: toolsSchema.prefault({}),
  secrets: secretStoresSchema.prefault({}),
  tool_sets: z.array(toolSetSchema).max(ENTRIES_MAX).default([]),
  policies: z.array(policySchema).max(ENTRIES_MAX).default([]),
  risk_levels: riskLevelsSchema.prefault({}),
  limits: z.array(limitSchema).max(LIMITS_MAX).default([]),
  audit: auditSchema.prefault({}),
  metering: meteringSchema.prefault({}),
  rate_cards: z.array(rateCardSchema).max(ENTRIES_MAX).default([]),
});
export type ParsedFile = z.infer<typeof fileSchema>;

/** The keys that each place has, by its path without list positions and without the names of tools. */
export const KNOWN_KEYS: Readonly<Record<string, readonly string[]>> = {
  "": Object.keys(fileSchema.shape),
  control_plane: Object.keys(controlPlane.shape),
  ...AUTH_KEYS,
  ...OPA_KEYS,
  ...SSL_KEYS,
  "control_plane.limits": Object.keys(limits.shape),
  plans: Object.keys(planSchema.shape),
  tenants: Object.keys(tenantSchema.shape),
  groups: Object.keys(group.shape),
  ...CONNECTOR_KEYS,
  mcp_servers: Object.keys(server.shape),
  "mcp_servers.pool": Object.keys(poolSchema.shape),
  "mcp_servers.limits": Object.keys(limitsSchema.shape),
  "mcp_servers.sandbox": Object.keys(sandboxSchema.shape),
  "mcp_servers.tools": Object.keys(toolRuleSchema.shape),
  "mcp_servers.tools.fallback": Object.keys(fallbackSchema.shape),
  ...TOOLS_KEYS,
  ...SECRET_STORES_KEYS,
  ...TOOL_SET_KEYS,
  policies: Object.keys(policyShape.shape),
  ...CONDITIONS_KEYS,
  ...RISK_KEYS,
  ...LIMIT_KEYS,
  ...AUDIT_KEYS,
  ...METERING_KEYS,
  ...RATE_CARD_KEYS,
};
