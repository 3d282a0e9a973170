import type { AuditEvent } from "@tollgate/contracts";
import { describe, type Exported, factsOf, severityOf } from "./exported.ts";

const VERSION = "1";
/** ArcSight's own bounds, of the fields that can come near them. */
const USER_MAX_CHARS = 1_023;
const MESSAGE_MAX_CHARS = 1_023;
const CUSTOM_MAX_CHARS = 4_000;

const NAMES: Readonly<Record<AuditEvent["kind"], string>> = {
  call: "MCP call",
  refusal: "MCP request refused",
  approval: "Approval",
  alert: "Alert",
  change: "Configuration change",
  secret: "Secret read",
  server: "MCP server process",
  access: "Access to the record",
  budget: "Budget threshold",
};

/** By RFC 5424's severity, 0 to 7. */
const CEF_SEVERITIES = [10, 9, 8, 7, 5, 3, 1, 0] as const;

/**
 * An event in ArcSight's Common Event Format, version 0. Which of its fields says what is in docs/audit-exports.md.
 * `host` is the device's name.
 */
export function toCef({ event }: Exported, host: string): string {
  const { outcome } = factsOf(event);
  const header = [
    "CEF:0",
    "Tollgate",
    "Tollgate",
    VERSION,
    `${event.kind}.${outcome}`,
    NAMES[event.kind] ?? event.kind,
    String(CEF_SEVERITIES[severityOf(event)]),
  ];
  const fields = Object.entries(extensionOf(event, host)).filter(([, value]) => value !== "");
  const extension = fields.map(([key, value]) => `${key}=${escapeValue(String(value))}`).join(" ");
  return `${header.map(escapeHeader).join("|")}|${extension}`;
}

type Fields = Readonly<Record<string, string | number>>;

function extensionOf(event: AuditEvent, host: string): Fields {
  const facts = factsOf(event);
  const { address, decision, outcome, principal, reason } = facts;
  return {
    rt: event.endedAt,
    externalId: event.id,
    dvchost: host,
    cat: event.kind,
    outcome,
    act: decision,
    suser: principal.slice(0, USER_MAX_CHARS),
    ...(address.includes(":") ? custom("c6a2", "sourceAddress", address) : { src: address }),
    requestMethod: facts.method,
    ...measuresOf(event),
    ...custom("cs1", "tenant", event.tenant),
    ...custom("cs2", "server", facts.server),
    ...custom("cs3", "tool", facts.tool),
    ...custom("cs4", "policies", facts.policies.join(",")),
    ...custom("cs5", "team", facts.team),
    ...custom("cs6", "group", facts.group),
    ...custom("flexString1", "trace", facts.trace?.id ?? ""),
    reason: reason.slice(0, MESSAGE_MAX_CHARS),
    msg: describe(event).slice(0, MESSAGE_MAX_CHARS),
  };
}

function measuresOf(event: AuditEvent): Fields {
  if (event.kind === "refusal" || event.kind === "access") return { cnt: event.count };
  if (event.kind !== "call") return {};
  const { startedAt, requestBytes, responseBytes, durationMs } = event;
  return {
    start: startedAt ?? "",
    in: requestBytes,
    out: responseBytes,
    ...custom("cn1", "durationMs", String(Math.round(durationMs))),
  };
}

/** Fields without a meaning of their own, which their labels give them. */
function custom(field: string, label: string, value: string): Fields {
  return value === "" ? {} : { [`${field}Label`]: label, [field]: value.slice(0, CUSTOM_MAX_CHARS) };
}

/** A header's field is one line; pipes and backslashes are escaped, equals signs are not. */
function escapeHeader(text: string): string {
  return text.replace(/[\r\n]+/g, " ").replace(/[\\|]/g, String.raw`\$&`);
}

/** In the extension it is the other way round: equals signs are escaped, pipes are not, and lines may break. */
function escapeValue(text: string): string {
  return text
    .replace(/[\\=]/g, String.raw`\$&`)
    .replaceAll("\r", String.raw`\r`)
    .replaceAll("\n", String.raw`\n`);
}
