import { type meteringV1, NAME_PATTERN } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";

const GROUP_KEYS = ["tenant", "team", "principal", "group", "server", "tool"] as const;
export type GroupKey = (typeof GROUP_KEYS)[number];

const LIMIT_DEFAULT = 1_000;
const LIMIT_MAX = 10_000;
/** The last time of a JavaScript date, which PostgreSQL holds too. */
const TIME_MAX_MS = 8_640_000_000_000_000n;

/** What usage is asked by. An absent member does not filter. */
export interface UsageQuery {
  readonly tenant?: string;
  /** Unix milliseconds, inclusive. */
  readonly fromMs?: number;
  /** Unix milliseconds, exclusive. */
  readonly toMs?: number;
  readonly groupBy: readonly GroupKey[];
  readonly limit: number;
}

/** @throws {AppError} invalid_argument, naming the field */
export function parseUsageQuery(request: meteringV1.GetUsageRequest): UsageQuery {
  const { tenant, groupBy, limit } = request;
  if (tenant !== "" && !NAME_PATTERN.test(tenant)) throw invalid("tenant", "not a tenant's name");
  if (limit > LIMIT_MAX) throw invalid("limit", `has to be from 1 to ${LIMIT_MAX}`);
  const fromMs = parseTime("from_ms", request.fromMs);
  const toMs = parseTime("to_ms", request.toMs);
  if (fromMs !== undefined && toMs !== undefined && fromMs >= toMs) throw invalid("to_ms", "has to be after from_ms");
  return {
    ...(tenant === "" ? {} : { tenant }),
    ...(fromMs === undefined ? {} : { fromMs }),
    ...(toMs === undefined ? {} : { toMs }),
    groupBy: parseGroupBy(groupBy),
    limit: limit === 0 ? LIMIT_DEFAULT : limit,
  };
}

function parseGroupBy(given: readonly string[]): GroupKey[] {
  const keys: GroupKey[] = [];
  for (const name of given) {
    const key = GROUP_KEYS.find((each) => each === name);
    if (key === undefined)
      throw invalid("group_by", `${JSON.stringify(name.slice(0, 64))} is none of ${GROUP_KEYS.join(", ")}`);
    if (keys.includes(key)) throw invalid("group_by", `${key} is named twice`);
    keys.push(key);
  }
  return keys;
}

function parseTime(field: string, ms: bigint): number | undefined {
  if (ms < 0n || ms > TIME_MAX_MS) throw invalid(field, "not a time in Unix milliseconds");
  return ms === 0n ? undefined : Number(ms);
}

function invalid(field: string, problem: string): AppError {
  return new AppError("invalid_argument", `${field}: ${problem}`, { details: { field } });
}
