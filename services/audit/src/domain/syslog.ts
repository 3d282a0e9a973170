import { describe, type Exported, factsOf, plain, severityOf } from "./exported.ts";

/** RFC 5612's number for examples: the names within are ours all the same, since the whole id is. */
const STRUCTURED_ID = "tollgate@32473";
const APP_NAME = "tollgate";
const HOST_MAX_CHARS = 255;
const MESSAGE_ID_MAX_CHARS = 32;

export interface SyslogForm {
  /** 0 to 23. */
  readonly facility: number;
  /** Who sends it. */
  readonly host: string;
}

/** An RFC 5424 message: `message` is the event's JSON, or a sentence. */
export function toSyslog(exported: Exported, form: SyslogForm & { readonly message: "event" | "text" }): string {
  const { event, line } = exported;
  const { outcome, principal, team, group, server, tool, decision, policies, trace, address } = factsOf(event);
  const facts = { outcome, principal, team, group, server, tool, decision, policies: policies.join(","), address };
  const structured = structuredData({ id: event.id, tenant: event.tenant, ...facts, trace: trace?.id ?? "" });
  return `${header(exported, form)} ${structured} ${form.message === "event" ? line : describe(event)}`;
}

/** An RFC 5424 message around what another format says of the event. */
export function inSyslog(exported: Exported, message: string, form: SyslogForm): string {
  return `${header(exported, form)} - ${message}`;
}

/** Octet counting (RFC 6587, section 3.4.1; RFC 5425, section 4.3): a message may hold anything. */
export function framed(message: string): Buffer {
  const bytes = Buffer.from(message);
  return Buffer.concat([Buffer.from(`${bytes.length} `), bytes]);
}

function header({ event }: Exported, { facility, host }: SyslogForm): string {
  const priority = facility * 8 + severityOf(event);
  const time = new Date(event.endedAt).toISOString();
  return `<${priority}>1 ${time} ${printable(host, HOST_MAX_CHARS)} ${APP_NAME} - ${printable(event.kind, MESSAGE_ID_MAX_CHARS)}`;
}

function structuredData(parameters: Readonly<Record<string, string>>): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== "");
  const written = given.map(([name, value]) => ` ${name}="${plain(value).replace(/["\\\]]/g, String.raw`\$&`)}"`);
  return `[${STRUCTURED_ID}${written.join("")}]`;
}

function printable(text: string, maxChars: number): string {
  return text.replace(/[^\x21-\x7e]/g, "_").slice(0, maxChars) || "-";
}
