import { type AuditEvent, facetsOf } from "@tollgate/contracts";

/** The columns of a CSV export: what every kind of event may say, in the order in which it is read. */
export const EVENT_COLUMNS = [
  "time",
  "id",
  "kind",
  "outcome",
  "tenant",
  "team",
  "principal",
  "credential",
  "address",
  "client",
  "group",
  "server",
  "tool",
  "method",
  "decision",
  "policies",
  "risk",
  "reason",
  "resource",
  "name",
  "count",
  "duration_ms",
  "queue_ms",
  "request_bytes",
  "response_bytes",
  "session",
  "trace",
] as const;

type Cell = string | number | null;

/** An event's values for these columns. The whole of it is in an export as NDJSON. */
export function cellsOf(event: AuditEvent): Cell[] {
  const { outcome, team, principal, group, server, tool, decision, policies, reason, trace } = facetsOf(event);
  const fields = event as unknown as Readonly<Record<string, unknown>>;
  const cell = (name: string): Cell => {
    const value = fields[name];
    return typeof value === "string" || typeof value === "number" ? value : null;
  };
  return [
    new Date(event.endedAt).toISOString(),
    event.id,
    event.kind,
    outcome,
    event.tenant,
    team,
    principal,
    cell("credential"),
    cell("address"),
    cell("client"),
    group,
    server,
    tool,
    cell("method"),
    decision,
    policies?.join(" ") ?? null,
    cell("risk"),
    reason,
    cell("resource"),
    cell("name") ?? cell("secret") ?? cell("budget") ?? cell("approval"),
    cell("count"),
    cell("durationMs"),
    cell("queueMs"),
    cell("requestBytes"),
    cell("responseBytes"),
    cell("session"),
    trace,
  ];
}
