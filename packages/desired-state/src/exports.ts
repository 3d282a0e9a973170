import { dirname, resolve } from "node:path";
import { KINDS, NAME_PATTERN } from "@tollgate/contracts";
import { z } from "zod";
import { headersSchema } from "./remote.ts";
import { boolean, number } from "./scalars.ts";

// Messages never repeat a value: it may have come from the environment and be a secret.

const TEXT_MAX_CHARS = 4_096;
const OUTCOME_MAX_CHARS = 64;
const LIST_MAX = 64;
const FACILITY_MAX = 23;
/** RFC 5424: "log audit". */
const FACILITY_DEFAULT = 13;
const EVENTS_MAX = 5_000;
const WAIT_MAX_SECONDS = 60;
const TIMEOUT_MAX_SECONDS = 300;
const LOOPBACK = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/;

const EXPORT_TYPES = ["syslog", "cef", "otlp", "http"] as const;
type ExportType = (typeof EXPORT_TYPES)[number];

/** Where events are sent beside the database. */
export interface DesiredExport {
  readonly id: string;
  readonly type: ExportType;
  /** May hold secrets. */
  readonly url: string;
  /** Only these tenants, kinds and outcomes; empty: all. */
  readonly tenants: readonly string[];
  readonly kinds: readonly string[];
  readonly outcomes: readonly string[];
  /** Where a new export begins: with what comes, with all that the stream holds, or at a time (Unix milliseconds). */
  readonly from: "now" | "beginning" | number;
  /** May hold secrets. */
  readonly headers: Readonly<Record<string, string>>;
  /** PEM files; absolute, or empty where there is none. */
  readonly tls: { readonly caFile: string; readonly certFile: string; readonly keyFile: string };
  /** Of syslog and CEF: RFC 5424, section 6.2.1. */
  readonly facility: number;
  /** Of syslog: what its message is. */
  readonly message: "event" | "text";
  readonly gzip: boolean;
  /** Events that are sent together. */
  readonly batchMax: number;
  readonly batchWaitMs: number;
  /** For one batch, from the connection to the receiver's answer. */
  readonly timeoutMs: number;
}

const name = z.string().regex(NAME_PATTERN, "has to be 1 to 63 of a-z, 0-9 and inner -");
const file = z.string().min(1, "is empty").max(TEXT_MAX_CHARS);
const url = z
  .string()
  .max(TEXT_MAX_CHARS)
  .superRefine((text, context) => {
    const parsed = /^\S+$/.test(text) ? URL.parse(text) : null;
    if (parsed === null || parsed.hostname === "") return context.addIssue("has to be a URL");
    if (parsed.username !== "" || parsed.password !== "")
      context.addIssue("must not hold a user or a password; give them in headers");
    if (parsed.hash !== "") context.addIssue("must not have a fragment");
  });

const tlsShape = z.strictObject({ ca_file: file.optional(), cert_file: file.optional(), key_file: file.optional() });
const tls = tlsShape.superRefine(({ cert_file, key_file }, context) => {
  const mistake = (key: string, message: string) => context.addIssue({ code: "custom", path: [key], message });
  if (cert_file !== undefined && key_file === undefined) mistake("cert_file", "needs key_file");
  if (key_file !== undefined && cert_file === undefined) mistake("key_file", "needs cert_file");
});

const exportShape = z.strictObject({
  id: name,
  type: z.enum(EXPORT_TYPES),
  url,
  tenants: z.array(name).max(LIST_MAX).default([]),
  kinds: z.array(z.enum(KINDS)).max(KINDS.length).default([]),
  outcomes: z.array(z.string().min(1, "is empty").max(OUTCOME_MAX_CHARS)).max(LIST_MAX).default([]),
  from: z.union([z.enum(["now", "beginning"]), z.iso.datetime({ offset: true })]).default("now"),
  headers: headersSchema.optional(),
  tls: tls.optional(),
  facility: number(z.number().int().min(0).max(FACILITY_MAX)).optional(),
  message: z.enum(["event", "text"]).optional(),
  gzip: boolean.optional(),
  batch_max: number(z.number().int().min(1).max(EVENTS_MAX)).default(500),
  batch_wait: number(z.number().min(0.01).max(WAIT_MAX_SECONDS)).default(1),
  timeout: number(z.number().min(0.1).max(TIMEOUT_MAX_SECONDS)).default(30),
});

/** Keys that only some types have; the others' would be heeded by nobody. */
const KEYS_OF_TYPES = {
  headers: ["otlp", "http"],
  gzip: ["otlp", "http"],
  facility: ["syslog", "cef"],
  message: ["syslog"],
} as const satisfies Partial<Record<keyof typeof exportShape.shape, readonly ExportType[]>>;

const PROTOCOLS: Readonly<Record<ExportType, readonly string[]>> = {
  syslog: ["tcp:", "tls:"],
  cef: ["tcp:", "tls:"],
  otlp: ["http:", "https:"],
  http: ["http:", "https:"],
};

export const exportSchema = exportShape.superRefine((given, context) => {
  const mistake = (key: string, message: string) => context.addIssue({ code: "custom", path: [key], message });
  const { type, headers } = given;
  const target = URL.parse(given.url);
  if (target === null) return;
  if (target.protocol === "udp:") mistake("url", "is UDP, which loses what a receiver does not take: use tcp or tls");
  else if (!PROTOCOLS[type].includes(target.protocol))
    mistake("url", `has to begin with ${PROTOCOLS[type].map((each) => `${each}//`).join(" or ")} for this type`);
  else if (target.protocol === "tcp:" || target.protocol === "tls:") {
    if (target.port === "") mistake("url", "needs a port; 6514 is usual for syslog over TLS");
    if (/[^/]/.test(target.pathname) || target.search !== "") mistake("url", "has to end with its port");
  }
  for (const [key, types] of Object.entries(KEYS_OF_TYPES) as [keyof typeof KEYS_OF_TYPES, readonly ExportType[]][])
    if (given[key] !== undefined && !types.includes(type))
      mistake(key, `goes with the types ${types.join(" and ")} only`);
  if (given.tls !== undefined && !/^(?:tls|https):$/.test(target.protocol))
    mistake("tls", "goes with tls:// and https:// only");
  const isOpen = target.protocol === "http:" && !LOOPBACK.test(target.hostname);
  if (isOpen && Object.keys(headers ?? {}).length > 0)
    mistake("headers", "would travel unencrypted to another machine: url has to be https");
});

export const EXPORT_KEYS: Readonly<Record<string, readonly string[]>> = {
  "audit.exports": Object.keys(exportShape.shape),
  "audit.exports.tls": Object.keys(tlsShape.shape),
};

/** Collectors are named by their host as often as by the whole address. */
function withPath(address: string): string {
  const parsed = new URL(address);
  return parsed.pathname === "/" ? new URL(`/v1/logs${parsed.search}`, parsed).href : address;
}

export function toExport(parsed: z.infer<typeof exportSchema>, configurationFile: string): DesiredExport {
  const { id, type, tenants, kinds, outcomes, from, headers = {}, tls: files = {} } = parsed;
  const absolute = (path: string | undefined) =>
    path === undefined ? "" : resolve(dirname(resolve(configurationFile)), path);
  return {
    id,
    type,
    url: type === "otlp" ? withPath(parsed.url) : parsed.url,
    tenants,
    kinds,
    outcomes,
    from: from === "now" || from === "beginning" ? from : Date.parse(from),
    headers,
    tls: {
      caFile: absolute(files.ca_file),
      certFile: absolute(files.cert_file),
      keyFile: absolute(files.key_file),
    },
    facility: parsed.facility ?? FACILITY_DEFAULT,
    message: parsed.message ?? "event",
    gzip: parsed.gzip ?? false,
    batchMax: parsed.batch_max,
    batchWaitMs: Math.round(parsed.batch_wait * 1_000),
    timeoutMs: Math.round(parsed.timeout * 1_000),
  };
}
