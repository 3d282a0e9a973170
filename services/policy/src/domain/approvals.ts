import type { DesiredRiskLevel, DesiredRiskLevels } from "@tollgate/desired-state";
import type { ErrorCode } from "@tollgate/errors";
import { parseJson } from "@tollgate/mcp";

const SHOWN_MAX_CHARS = 200;

export type ApprovalStatus = "pending" | "approved" | "denied" | "expired" | "revoked";

/** Which call it is: another digest of its arguments is another call. */
export interface WhichCall {
  readonly tenant: string;
  readonly principal: string;
  readonly server: string;
  readonly tool: string;
  readonly digest: string;
}

/** The access that an approval gives. */
export interface Grant extends WhichCall {
  readonly id: string;
  readonly approvedBy: readonly string[];
  /** Unix milliseconds. */
  readonly expiresAtMs: number;
}

export type GrantIndex = ReadonlyMap<string, Grant>;

/** Of two for the same call the one that more have given counts, else the one that lasts longer. */
export function indexGrants(grants: readonly Grant[]): GrantIndex {
  const weakestFirst = grants.toSorted(
    (a, b) => a.approvedBy.length - b.approvedBy.length || a.expiresAtMs - b.expiresAtMs,
  );
  return new Map(weakestFirst.map((grant) => [keyOf(grant), grant]));
}

function keyOf({ tenant, principal, server, tool, digest }: WhichCall): string {
  return JSON.stringify([tenant, principal, server, tool, digest]);
}

/**
 * The same text for arguments that are the same, however their keys are ordered. Which of two equal keys counts, and
 * numbers that no double can hold, are the gateway's to refuse: only it sees what the server will.
 * @throws {SyntaxError} when it is not JSON
 */
export function canonicalJson(text: string): string {
  return JSON.stringify(sorted(parseJson(text)));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  // Not Object.fromEntries: keys that look like numbers would come first all the same, which is the same order for all.
  return Object.fromEntries(entries.map(([key, each]) => [key, sorted(each)]));
}

/** What people have to do before a call of this risk is let in; undefined where nobody has to. */
export function demandOf({ levels }: DesiredRiskLevels, risk: string): DesiredRiskLevel | undefined {
  if (risk === "" || risk === "LOW") return undefined;
  // A level that is not known cannot be less than the highest.
  const level = risk === "MEDIUM" || risk === "HIGH" ? levels[risk] : levels.CRITICAL;
  return level.approvals === 0 ? undefined : level;
}

/** The parts of a decision that approvals are about. */
interface Decided {
  readonly allow: boolean;
  readonly reason: string;
  readonly variesByArguments?: boolean;
  /** 0 or none: it does not depend on the time. */
  readonly validUntilMs?: number;
}

export interface ByApproval {
  readonly variesByArguments: boolean;
  readonly validUntilMs: number;
  readonly approvalsNeeded: number;
  readonly approvalId: string;
}

/**
 * A decision that allows a call, with what its risk demands beside. Without arguments it cannot be known which call it
 * is: some may be approved.
 */
export function withApproval<D extends Decided>(
  decision: D,
  options: {
    readonly demand: DesiredRiskLevel | undefined;
    readonly grants: GrantIndex;
    /** Undefined where the question came without arguments. */
    readonly call: WhichCall | undefined;
    readonly nowMs: number;
  },
): D & ByApproval {
  const { demand, grants, call, nowMs } = options;
  const { variesByArguments = false, validUntilMs = 0 } = decision;
  const plain = { ...decision, variesByArguments, validUntilMs, approvalsNeeded: 0, approvalId: "" };
  if (!decision.allow || demand === undefined) return plain;
  if (call === undefined) return { ...plain, variesByArguments: true };
  const needed = demand.approvals;
  const grant = grants.get(keyOf(call));
  // What was approved when fewer had to is not enough any more.
  if (grant === undefined || grant.expiresAtMs <= nowMs || grant.approvedBy.length < needed) {
    const people = needed === 1 ? "somebody else has" : `${needed} others have`;
    const reason = `${decision.reason}, but ${people} to approve of it first`;
    return { ...plain, allow: false, approvalsNeeded: needed, reason };
  }
  const until = new Date(grant.expiresAtMs).toISOString();
  const reason = `${decision.reason}; approved by ${grant.approvedBy.join(", ")}, until ${until}`;
  const earlier = validUntilMs === 0 ? grant.expiresAtMs : Math.min(validUntilMs, grant.expiresAtMs);
  return { ...plain, approvalId: grant.id, reason, validUntilMs: earlier };
}

export interface Vote {
  readonly tenant: string;
  readonly by: string;
  readonly approve: boolean;
  readonly reason: string;
  readonly atMs: number;
}

/** A request for approval, and what became of it. Times are Unix milliseconds. */
export interface ApprovalRecord extends WhichCall {
  readonly id: string;
  readonly team: string;
  readonly group: string;
  readonly risk: string;
  readonly justification: string;
  readonly status: ApprovalStatus;
  readonly needed: number;
  readonly votes: readonly Vote[];
  readonly requestedAtMs: number;
  readonly expiresAtMs: number;
  readonly changedAtMs: number;
  readonly sealedArguments: Buffer;
}

export const CHOICES = ["approve", "deny", "revoke"] as const;
export type Choice = (typeof CHOICES)[number];

interface Approver {
  readonly tenant: string;
  readonly id: string;
  readonly permissions: readonly string[];
}

/** The permission `admin` is for all tenants; what a policy allows beside it ends at one's own. */
export function mayKnow({ tenant, permissions }: Approver, record: Pick<ApprovalRecord, "tenant">): boolean {
  return tenant === record.tenant || permissions.includes("admin");
}

/** Somebody's word on a request. */
export interface Word {
  readonly choice: Choice;
  readonly reason: string;
  readonly by: Pick<Approver, "tenant" | "id">;
}

/**
 * pending ─approve, the last one needed─▶ approved ─revoke─▶ revoked
 * pending ─approve, not the last──▶ pending
 * pending ─deny──▶ denied
 * pending, approved ─their time is over─▶ expired
 */
export type Heard =
  | { readonly ok: true; readonly status: ApprovalStatus; readonly expiresAtMs: number }
  | { readonly ok: false; readonly code: ErrorCode; readonly reason: string };

/** What a word makes of a request, or why it does not count. `demand` is what is demanded now. */
export function hear(
  record: ApprovalRecord,
  { choice, reason, by }: Word,
  { demand, nowMs }: { readonly demand: DesiredRiskLevel | undefined; readonly nowMs: number },
): Heard {
  if (record.tenant === by.tenant && record.principal === by.id)
    return no("permission_denied", "nobody decides on what they have asked for themselves");
  const status = statusAt(record, nowMs);
  const wanted = choice === "revoke" ? "approved" : "pending";
  if (status !== wanted)
    return no("failed_precondition", `it is ${status}: only what is ${wanted} can be ${done(choice)}`);
  if (choice === "revoke") return { ok: true, status: "revoked", expiresAtMs: nowMs };
  if (record.votes.some((vote) => vote.tenant === by.tenant && vote.by === by.id))
    return no("already_exists", "this approver has decided already");
  if (choice === "deny") {
    if (reason === "") return no("invalid_argument", "reason: is needed to deny");
    return { ok: true, status: "denied", expiresAtMs: record.expiresAtMs };
  }
  if (lacksJustification(record, demand)) return no("failed_precondition", "it has no justification yet");
  const needed = Math.max(record.needed, demand?.approvals ?? 0);
  const isLast = record.votes.filter(({ approve }) => approve).length + 1 >= needed;
  if (!isLast) return { ok: true, status: "pending", expiresAtMs: record.expiresAtMs };
  // Where nothing is demanded any more, the access is never looked for.
  return { ok: true, status: "approved", expiresAtMs: nowMs + (demand?.accessMs ?? 0) };
}

/** The sweep that writes it down comes a moment later. */
export function statusAt({ status, expiresAtMs }: ApprovalRecord, nowMs: number): ApprovalStatus {
  const isOver = (status === "pending" || status === "approved") && expiresAtMs <= nowMs;
  return isOver ? "expired" : status;
}

export function lacksJustification(
  { justification }: Pick<ApprovalRecord, "justification">,
  demand: DesiredRiskLevel | undefined,
): boolean {
  return justification === "" && demand?.justification === true;
}

function done(choice: Choice): string {
  return { approve: "approved", deny: "denied", revoke: "revoked" }[choice];
}

function no(code: ErrorCode, reason: string): Heard {
  return { ok: false, code, reason: reason.slice(0, SHOWN_MAX_CHARS) };
}
