import { type AuditEvent, facetsOf } from "@tollgate/contracts";

/** An event as it goes to a SIEM: `line` is its JSON as it stands on the stream. */
export interface Exported {
  readonly event: AuditEvent;
  readonly line: string;
}

/** What all formats say of an event; empty where it has no such thing. */
export interface ExportedFacts {
  readonly outcome: string;
  readonly principal: string;
  readonly team: string;
  readonly group: string;
  readonly server: string;
  readonly tool: string;
  readonly method: string;
  readonly session: string;
  readonly protocol: string;
  /** An IP address. */
  readonly address: string;
  readonly reason: string;
  /** `allow` or `deny`. */
  readonly decision: string;
  readonly policies: readonly string[];
  /** Of W3C's traceparent. */
  readonly trace: { readonly id: string; readonly span: string; readonly flags: number } | undefined;
}

const ADDRESS = /^[0-9A-Fa-f:.]+$/;

export function factsOf(event: AuditEvent): ExportedFacts {
  const facets = facetsOf(event);
  const fields = event as unknown as Readonly<Record<string, unknown>>;
  const text = (key: string): string => (typeof fields[key] === "string" ? fields[key] : "");
  const address = text("address");
  return {
    outcome: facets.outcome,
    principal: facets.principal ?? "",
    team: facets.team ?? "",
    group: facets.group ?? "",
    server: facets.server ?? "",
    tool: facets.tool ?? "",
    method: text("method"),
    session: text("session"),
    protocol: text("protocol"),
    address: ADDRESS.test(address) ? address : "",
    reason: facets.reason ?? "",
    decision: facets.decision ?? "",
    policies: facets.policies ?? [],
    trace: traceOf(text("traceparent")),
  };
}

function traceOf(traceparent: string): ExportedFacts["trace"] {
  const found = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})/.exec(traceparent);
  return found === null ? undefined : { id: found[1]!, span: found[2]!, flags: Number.parseInt(found[3]!, 16) };
}

/** RFC 5424, section 6.2.1. */
const SEVERITIES = { alert: 1, error: 3, warning: 4, notice: 5, informational: 6 } as const;
export type Severity = (typeof SEVERITIES)[keyof typeof SEVERITIES];

const TROUBLED_STATES: ReadonlySet<string> = new Set(["died", "killed", "failed_to_start", "crash_loop"]);

/** How soon somebody should look at it. A kind that this version does not know is a notice. */
export function severityOf(event: AuditEvent): Severity {
  const { alert, error, warning, notice, informational } = SEVERITIES;
  switch (event.kind) {
    case "alert":
      return alert;
    case "call":
      if (event.outcome === "ok") return informational;
      return event.outcome === "unknown" ? error : event.outcome === "cancelled" ? notice : warning;
    case "refusal":
      return warning;
    case "server":
      return TROUBLED_STATES.has(event.state) ? error : informational;
    case "budget":
      return event.threshold >= 100 ? warning : notice;
    default:
      return notice;
  }
}

/** One sentence for people, without line breaks and other control characters. */
export function describe(event: AuditEvent): string {
  const { outcome, principal, group, server, tool, method, reason } = factsOf(event);
  const target = [server || group, tool].filter(Boolean).join("/");
  const name = "resource" in event ? `${event.resource} ${event.name}` : "secret" in event ? event.secret : "";
  const what = [method || event.kind, name, target && `of ${target}`, principal && `by ${principal}`];
  return plain(`${what.filter(Boolean).join(" ")}: ${[outcome, reason].filter(Boolean).join(", ")}`);
}

/** What a format that has no place for them would break on, or pass on to somebody's terminal. */
export function plain(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, " ");
}
