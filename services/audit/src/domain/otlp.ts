import { type Exported, factsOf, severityOf } from "./exported.ts";

const NANOS = "000000";

/** By RFC 5424's severity: OpenTelemetry's logs data model, appendix B. */
const OTLP_SEVERITIES = [
  { number: 21, text: "FATAL" },
  { number: 19, text: "ERROR3" },
  { number: 18, text: "ERROR2" },
  { number: 17, text: "ERROR" },
  { number: 13, text: "WARN" },
  { number: 10, text: "INFO2" },
  { number: 9, text: "INFO" },
  { number: 5, text: "DEBUG" },
] as const;

interface Attribute {
  readonly key: string;
  readonly value: object;
}

/**
 * The body of an OTLP/HTTP request to `/v1/logs` in its JSON form. A record's body is the event's JSON; its attributes
 * have the names of OpenTelemetry's semantic conventions where these have one, else names of our own.
 */
export function toOtlpLogs(events: readonly Exported[], sender: { host: string; nowMs: number }): object {
  const resource = attributes({
    "service.name": "tollgate",
    "service.instance.id": sender.host,
    "host.name": sender.host,
  });
  const logRecords = events.map((each) => toLogRecord(each, sender.nowMs));
  return {
    resourceLogs: [
      { resource: { attributes: resource }, scopeLogs: [{ scope: { name: "tollgate.audit" }, logRecords }] },
    ],
  };
}

function toLogRecord({ event, line }: Exported, nowMs: number): object {
  const facts = factsOf(event);
  const severity = OTLP_SEVERITIES[severityOf(event)];
  return {
    timeUnixNano: `${event.endedAt}${NANOS}`,
    observedTimeUnixNano: `${nowMs}${NANOS}`,
    severityNumber: severity.number,
    severityText: severity.text,
    eventName: `tollgate.${event.kind}`,
    body: { stringValue: line },
    attributes: [
      ...attributes({
        "log.record.uid": event.id,
        "user.id": facts.principal,
        "client.address": facts.address,
        "mcp.method.name": facts.method,
        "mcp.protocol.version": facts.protocol,
        "mcp.session.id": facts.session,
        "gen_ai.tool.name": facts.tool,
        "error.type": event.kind === "call" && event.outcome !== "ok" ? event.outcome : "",
        "tollgate.tenant": event.tenant,
        "tollgate.team": facts.team,
        "tollgate.group": facts.group,
        "tollgate.server": facts.server,
        "tollgate.outcome": facts.outcome,
        "tollgate.reason": facts.reason,
        "tollgate.decision": facts.decision,
        "tollgate.policies": facts.policies,
      }),
      ...(event.kind === "call" ? [{ key: "tollgate.duration_ms", value: { doubleValue: event.durationMs } }] : []),
    ],
    ...(facts.trace === undefined
      ? {}
      : { traceId: facts.trace.id, spanId: facts.trace.span, flags: facts.trace.flags }),
  };
}

/** Without the empty ones. */
function attributes(given: Readonly<Record<string, string | readonly string[]>>): Attribute[] {
  return Object.entries(given)
    .filter(([, value]) => value.length > 0)
    .map(([key, value]) => ({ key, value: typeof value === "string" ? { stringValue: value } : arrayOf(value) }));
}

const arrayOf = (texts: readonly string[]): object => ({
  arrayValue: { values: texts.map((each) => ({ stringValue: each })) },
});
