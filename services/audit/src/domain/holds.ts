import { type auditV1, KINDS, NAME_PATTERN } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";

const REASON_MAX_CHARS = 500;
/** The last time of a JavaScript date, which PostgreSQL holds too. */
const TIME_MAX_MS = 8_640_000_000_000_000n;

/** Which events a hold keeps. Times are Unix milliseconds. */
export interface HoldScope {
  /** Empty: every tenant's. */
  readonly tenant: string;
  /** Empty: every kind. */
  readonly kind: string;
  /** Inclusive; absent: from the beginning. */
  readonly fromMs?: number;
  /** Exclusive; absent: without an end. */
  readonly toMs?: number;
}

export interface Hold extends HoldScope {
  readonly id: string;
  readonly reason: string;
  readonly createdBy: string;
  readonly createdAtMs: number;
  readonly released?: { readonly by: string; readonly atMs: number };
}

/** @throws {AppError} invalid_argument, naming the field */
export function parseHold(given: auditV1.Hold | undefined): HoldScope & Pick<Hold, "reason" | "createdBy"> {
  if (given === undefined) throw invalid("hold", "is missing");
  const { tenant, kind, reason, createdBy } = given;
  if (tenant !== "" && !NAME_PATTERN.test(tenant)) throw invalid("tenant", "not a tenant's name");
  if (kind !== "" && !KINDS.some((each) => each === kind)) throw invalid("kind", `not one of ${KINDS.join(", ")}`);
  const text = reason.trim();
  if (text === "" || text.length > REASON_MAX_CHARS)
    throw invalid("reason", `has to have 1 to ${REASON_MAX_CHARS} characters`);
  const fromMs = parseTime("from_ms", given.fromMs);
  const toMs = parseTime("to_ms", given.toMs);
  if (fromMs !== undefined && toMs !== undefined && fromMs >= toMs) throw invalid("to_ms", "has to be after from_ms");
  return {
    tenant,
    kind,
    reason: text,
    createdBy,
    ...(fromMs === undefined ? {} : { fromMs }),
    ...(toMs === undefined ? {} : { toMs }),
  };
}

function parseTime(field: string, ms: bigint): number | undefined {
  if (ms < 0n || ms > TIME_MAX_MS) throw invalid(field, "not a time in Unix milliseconds");
  return ms === 0n ? undefined : Number(ms);
}

function invalid(field: string, problem: string): AppError {
  return new AppError("invalid_argument", `${field}: ${problem}`, { details: { field } });
}

export function toHoldMessage(hold: Hold): auditV1.Hold {
  const { id, tenant, kind, fromMs = 0, toMs = 0, reason, createdBy, createdAtMs, released } = hold;
  return {
    id,
    tenant,
    kind,
    fromMs: BigInt(fromMs),
    toMs: BigInt(toMs),
    reason,
    createdBy,
    createdAtMs: BigInt(createdAtMs),
    releasedBy: released?.by ?? "",
    releasedAtMs: BigInt(released?.atMs ?? 0),
  };
}
