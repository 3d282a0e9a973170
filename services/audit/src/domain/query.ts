import { auditV1, isCallId, NAME_PATTERN, searchable } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { decodeCursor } from "./cursor.ts";

const PAGE_DEFAULT = 100;
const PAGE_MAX = 1_000;
const FILTER_CHARS_MAX = 512;
/** The last time of a JavaScript date, which PostgreSQL holds too. */
const TIME_MAX_MS = 8_640_000_000_000_000n;
const TRACE = /^[0-9a-f]{32}$/;
const DECISIONS = ["allow", "deny"];

/** What a page of events is asked by. An absent member does not filter. */
export interface EventQuery {
  readonly order: "newest" | "oldest";
  readonly tenant?: string;
  /** Unix milliseconds, inclusive. */
  readonly fromMs?: number;
  /** Unix milliseconds, exclusive. */
  readonly toMs?: number;
  readonly filters: ReadonlyMap<Filter, string>;
  /** Words in the reason. */
  readonly text?: string;
  readonly id?: string;
  /** Where to go on: the last event that was looked at. */
  readonly after?: string;
  readonly pageSize: number;
}

const FILTERS = [
  "kind",
  "outcome",
  "principal",
  "group",
  "server",
  "tool",
  "team",
  "policy",
  "decision",
  "trace",
] as const;
export type Filter = (typeof FILTERS)[number];

/** @throws {AppError} invalid_argument, naming the field */
export function parseQuery(request: auditV1.ListEventsRequest): EventQuery {
  const { id, cursor, pageSize, filter } = request;
  if (id !== "" && !isCallId(id)) throw invalid("id", "not a call's id");
  if (pageSize > PAGE_MAX) throw invalid("page_size", `has to be from 1 to ${PAGE_MAX}`);
  return {
    ...parseFilter(filter),
    order: "newest",
    ...(id === "" ? {} : { id }),
    ...(cursor === "" ? {} : { after: decodeCursor(cursor) }),
    pageSize: pageSize === 0 ? PAGE_DEFAULT : pageSize,
  };
}

/** @throws {AppError} invalid_argument, naming the field */
export function parseFilter(
  filter = auditV1.EventFilter.create(),
): Pick<EventQuery, "tenant" | "fromMs" | "toMs" | "text" | "filters"> {
  const { tenant, text } = filter;
  if (tenant !== "" && !NAME_PATTERN.test(tenant)) throw invalid("tenant", "not a tenant's name");
  if (text.length > FILTER_CHARS_MAX) throw invalid("text", `longer than ${FILTER_CHARS_MAX} characters`);
  const fromMs = parseTime("from_ms", filter.fromMs);
  const toMs = parseTime("to_ms", filter.toMs);
  if (fromMs !== undefined && toMs !== undefined && fromMs >= toMs) throw invalid("to_ms", "has to be after from_ms");
  return {
    ...(tenant === "" ? {} : { tenant }),
    ...(fromMs === undefined ? {} : { fromMs }),
    ...(toMs === undefined ? {} : { toMs }),
    ...(text === "" ? {} : { text: searchable(text)! }),
    filters: parseFilters(filter),
  };
}

function parseFilters(given: auditV1.EventFilter): Map<Filter, string> {
  const filters = new Map<Filter, string>();
  for (const field of FILTERS) {
    const value = given[field];
    if (value.length > FILTER_CHARS_MAX) throw invalid(field, `longer than ${FILTER_CHARS_MAX} characters`);
    if (value !== "") filters.set(field, searchable(value)!);
  }
  const { trace, decision } = given;
  if (trace !== "" && !TRACE.test(trace)) throw invalid("trace", "not a trace id: 32 hexadecimal digits, lower case");
  if (decision !== "" && !DECISIONS.includes(decision)) throw invalid("decision", "neither allow nor deny");
  return filters;
}

function parseTime(field: string, ms: bigint): number | undefined {
  if (ms < 0n || ms > TIME_MAX_MS) throw invalid(field, "not a time in Unix milliseconds");
  return ms === 0n ? undefined : Number(ms);
}

function invalid(field: string, problem: string): AppError {
  return new AppError("invalid_argument", `${field}: ${problem}`, { details: { field } });
}

/**
 * An index that holds every event that fits, in the order of their time. What else is asked for is looked at event by
 * event on the way, so a walk along the index with the fewest events is the shortest. `reason`: events that have one.
 */
export type Walk = "time" | "tenant" | "reason" | Exclude<Filter, "team" | "group" | "policy" | "decision">;

const WALKED_FILTERS = ["trace", "principal", "tool", "server"] as const;

/** Those that are there for this query, the one that is sparse most often first. */
export function walksOf({ tenant, filters, text }: EventQuery): readonly Walk[] {
  const walks: Walk[] = WALKED_FILTERS.filter((filter) => filters.has(filter));
  // Most events are calls, and most calls go well: those are in no index of their own.
  if ((filters.get("kind") ?? "call") !== "call") walks.push("kind");
  if ((filters.get("outcome") ?? "ok") !== "ok") walks.push("outcome");
  // Whatever was denied says why.
  if (text !== undefined || filters.get("decision") === "deny") walks.push("reason");
  if (tenant !== undefined) walks.push("tenant");
  return walks.length === 0 ? ["time"] : walks;
}

/**
 * The sparsest of the walks where this page begins.
 * @param depths for each walk how far it is, in milliseconds, from where it begins to the event at a certain place of
 *   it; undefined where it has no such place, being shorter
 */
export function sparsest(walks: readonly Walk[], depths: readonly (number | undefined)[]): Walk {
  const depthOf = (at: number): number => depths[at] ?? Infinity;
  return walks.reduce<{ walk: Walk; depth: number }>(
    (best, walk, at) => (depthOf(at) > best.depth ? { walk, depth: depthOf(at) } : best),
    { walk: walks[0]!, depth: depthOf(0) },
  ).walk;
}
