/** Fields that every event has. */
interface EventBase {
  readonly v: 1;
  /** UUIDv7. */
  readonly id: string;
  readonly tenant: string;
  /** Unix milliseconds. */
  readonly endedAt: number;
}

/** The tenant of events that concern the whole installation. */
export const INSTALLATION_TENANT = "tollgate";

/** What of the installation was changed. */
export const CHANGED_RESOURCES = [
  "policy",
  "role",
  "user",
  "agent",
  "token",
  "session",
  "issuer",
  "certificate",
  "limit",
  "risk_level",
  "tenant",
  "opa",
  "group",
  "server",
  "tool",
  "tool_set",
  "secret",
  "secret_key",
  "rate_card",
  "rating",
  "hold",
  "retention",
  "signing_key",
  "export",
  "replay",
  "dead_letter",
] as const;
export type ChangedResource = (typeof CHANGED_RESOURCES)[number];

/** `audit.v1.<tenant>.change`: somebody has changed what the installation does. */
export interface ChangeEvent extends EventBase {
  readonly kind: "change";
  readonly change:
    | "created"
    | "updated"
    | "deleted"
    | "revoked"
    | "rotated"
    | "restarted"
    | "put_back"
    | "held"
    | "submitted"
    | "approved"
    | "rejected"
    | "retired"
    | "removed";
  readonly resource: ChangedResource;
  /** The resource's id or name. */
  readonly name: string;
  /** Who has changed it: a principal, or `file` for tollgate.yaml. */
  readonly principal: string;
  /** As it was and as it is, without secrets; absent where it was not there, or is not any more. */
  readonly before?: unknown;
  readonly after?: unknown;
  /** One of the two was larger than 16 KiB: in its place is `{sha256, bytes}` of its JSON. */
  readonly truncated?: true;
  /** Of policy, where the change made one. */
  readonly revision?: number;
  readonly group?: string;
  readonly server?: string;
  readonly tool?: string;
  readonly address?: string;
  readonly reason?: string;
}

/** `audit.v1.<tenant>.secret`: a secret was read. Never holds it. */
export interface SecretEvent extends EventBase {
  readonly kind: "secret";
  /** Its name. */
  readonly secret: string;
  /** What it was read for. */
  readonly purpose: "server_start" | "assignment" | "recording";
  /** Who has read it: `runner:<id>`, `registry` for an assignment, or a principal. */
  readonly principal: string;
  readonly group?: string;
  readonly server?: string;
}

/** `audit.v1.<tenant>.server`: a process of a server, or the connection to a remote one. */
export interface ServerEvent extends EventBase {
  readonly kind: "server";
  readonly state:
    | "started"
    | "stopped"
    | "died"
    | "killed"
    | "failed_to_start"
    | "crash_loop"
    | "recovered"
    | "restarted";
  readonly group: string;
  readonly server: string;
  /** The runner instance. */
  readonly runner: string;
  /** Why: a limit's name, an exit code, last words; at most 500 characters. */
  readonly reason?: string;
  /** How many such events this one stands for, where there were too many to write down each. */
  readonly count?: number;
}

/** `audit.v1.<tenant>.access`: somebody has read the record itself. */
export interface AccessEvent extends EventBase {
  readonly kind: "access";
  readonly action: "read" | "export" | "evidence" | "tail" | "verify" | "recording" | "usage" | "replay";
  readonly principal: string;
  readonly address?: string;
  /** What was asked for, as in the request's query. */
  readonly query: Readonly<Record<string, string>>;
  /** Events, or rows, that were given out; of several reads of one query in a minute the sum. */
  readonly count: number;
}

/** `audit.v1.<tenant>.budget`: a budget has reached one of its thresholds. */
export interface BudgetEvent extends EventBase {
  readonly kind: "budget";
  /** The limit's id. */
  readonly budget: string;
  /** By whom or on what it was spent, as the limit's `per` says: `acme/payments`; empty: by all. */
  readonly key: string;
  /** Percent. */
  readonly threshold: number;
  /** Decimal numbers. */
  readonly spent: string;
  readonly amount: string;
  readonly currency: string;
  /** Unix milliseconds at which the budget's period began. */
  readonly periodFrom: number;
  readonly reason: string;
}
