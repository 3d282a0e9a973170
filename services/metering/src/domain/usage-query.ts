import { type meteringV1, NAME_PATTERN, storedText } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { STORED_MAX_BYTES } from "./metered-call.ts";

const GROUP_KEYS = ["tenant", "team", "principal", "user", "agent", "group", "server", "tool"] as const;
export type GroupKey = (typeof GROUP_KEYS)[number];

/** A user and an agent are principals. */
export type FilterKey = Exclude<GroupKey, "user" | "agent">;

const STEPS = ["hour", "day", "month"] as const;
export type Step = (typeof STEPS)[number];

const LIMIT_DEFAULT = 1_000;
const LIMIT_MAX = 10_000;
const RATING_MAX = 2 ** 31 - 1;
/** The last time of a JavaScript date, which PostgreSQL holds too. */
const TIME_MAX_MS = 8_640_000_000_000_000n;
const DAY_MS = 86_400_000;

/** What usage is asked by. An absent member does not filter. */
export interface UsageQuery {
  readonly tenant?: string;
  /** Unix milliseconds, inclusive. */
  readonly fromMs?: number;
  /** Unix milliseconds, exclusive. */
  readonly toMs?: number;
  readonly groupBy: readonly GroupKey[];
  readonly filter: readonly (readonly [FilterKey, string])[];
  readonly step?: Step;
  readonly limit: number;
  /** 0: as calls were priced when they were recorded. */
  readonly rating: number;
}

/** @throws {AppError} invalid_argument, naming the field */
export function parseUsageQuery(request: meteringV1.GetUsageRequest): UsageQuery {
  const { groupBy, limit } = request;
  if (limit > LIMIT_MAX) throw invalid("limit", `has to be from 1 to ${LIMIT_MAX}`);
  const step = STEPS.find((each) => each === request.step);
  if (step === undefined && request.step !== "") throw invalid("step", `is none of ${STEPS.join(", ")}`);
  return {
    ...parseTenant(request.tenant),
    ...parseTimes(request),
    groupBy: parseGroupBy(groupBy),
    filter: Object.entries(request.filter).map(([name, value]) => parseFilter(parseKey("filter", name), value)),
    ...(step === undefined ? {} : { step }),
    limit: limit === 0 ? LIMIT_DEFAULT : limit,
    rating: parseRating(request.rating),
  };
}

/** As calls are stored: see STORED_MAX_BYTES. */
function parseFilter(key: GroupKey, value: string): readonly [FilterKey, string] {
  if (key === "tenant") return [key, parseTenant(value).tenant ?? ""];
  if (key === "user" || key === "agent")
    return ["principal", storedText(`${key}:${value}`, STORED_MAX_BYTES.principal)];
  return [key, storedText(value, STORED_MAX_BYTES[key])];
}

export function parseTenant(tenant: string): { tenant?: string } {
  if (tenant !== "" && !NAME_PATTERN.test(tenant)) throw invalid("tenant", "not a tenant's name");
  return tenant === "" ? {} : { tenant };
}

export function parseRating(rating: number): number {
  if (rating > RATING_MAX) throw invalid("rating", "there is none so high");
  return rating;
}

/** @throws {AppError} invalid_argument */
export function parseTimes(given: { fromMs: bigint; toMs: bigint }): { fromMs?: number; toMs?: number } {
  const fromMs = parseTime("from_ms", given.fromMs);
  const toMs = parseTime("to_ms", given.toMs);
  if (fromMs !== undefined && toMs !== undefined && fromMs >= toMs) throw invalid("to_ms", "has to be after from_ms");
  return { ...(fromMs === undefined ? {} : { fromMs }), ...(toMs === undefined ? {} : { toMs }) };
}

function parseGroupBy(given: readonly string[]): GroupKey[] {
  const keys: GroupKey[] = [];
  for (const name of given) {
    const key = parseKey("group_by", name);
    if (keys.includes(key)) throw invalid("group_by", `${key} is named twice`);
    keys.push(key);
  }
  return keys;
}

function parseKey(field: string, name: string): GroupKey {
  const key = GROUP_KEYS.find((each) => each === name);
  if (key !== undefined) return key;
  throw invalid(field, `${JSON.stringify(name.slice(0, 64))} is none of ${GROUP_KEYS.join(", ")}`);
}

function parseTime(field: string, ms: bigint): number | undefined {
  if (ms < 0n || ms > TIME_MAX_MS) throw invalid(field, "not a time in Unix milliseconds");
  return ms === 0n ? undefined : Number(ms);
}

function invalid(field: string, problem: string): AppError {
  return new AppError("invalid_argument", `${field}: ${problem}`, { details: { field } });
}

/** From inclusive, to exclusive, in Unix milliseconds; without a bound where undefined. */
export interface Range {
  readonly fromMs: number | undefined;
  readonly toMs: number | undefined;
}

/** How a query is answered. */
export interface UsagePlan extends UsageQuery {
  /** The whole days (UTC) of the time, read from their sums. */
  readonly days: Range | undefined;
  /** What is left at its ends, read from the calls themselves. */
  readonly calls: readonly Range[];
  /** The coarsest sums of days that still say what is asked: see usage_days. */
  readonly grain: 0 | 1 | 2;
}

export function planUsage(query: UsageQuery): UsagePlan {
  return { ...query, ...partsOf(query), grain: grainOf(query) };
}

function partsOf({ fromMs, toMs, step }: UsageQuery): Pick<UsagePlan, "days" | "calls"> {
  const firstDay = fromMs === undefined ? undefined : Math.ceil(fromMs / DAY_MS) * DAY_MS;
  const lastDay = toMs === undefined ? undefined : Math.floor(toMs / DAY_MS) * DAY_MS;
  const hasDays = firstDay === undefined || lastDay === undefined || firstDay < lastDay;
  if (step === "hour" || !hasDays) return { days: undefined, calls: [{ fromMs, toMs }] };
  const edges = [
    { fromMs, toMs: firstDay },
    { fromMs: lastDay, toMs },
  ];
  return { days: { fromMs: firstDay, toMs: lastDay }, calls: edges.filter((edge) => edge.fromMs !== edge.toMs) };
}

const CALLED: ReadonlySet<GroupKey> = new Set(["group", "server", "tool"]);
const CALLER: ReadonlySet<GroupKey> = new Set(["team", "principal", "user", "agent"]);

function grainOf({ groupBy, filter }: Pick<UsageQuery, "groupBy" | "filter">): UsagePlan["grain"] {
  const keys = [...groupBy, ...filter.map(([key]) => key)];
  if (!keys.some((key) => CALLED.has(key))) return 1;
  return keys.some((key) => CALLER.has(key)) ? 0 : 2;
}
