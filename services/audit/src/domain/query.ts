import { auditV1, isCallId, NAME_PATTERN } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { decodeCursor } from "./cursor.ts";
import { searchable } from "./record.ts";

const PAGE_DEFAULT = 100;
const PAGE_MAX = 1_000;
const FILTER_CHARS_MAX = 512;
/** The last time of a JavaScript date, which PostgreSQL holds too. */
const TIME_MAX_MS = 8_640_000_000_000_000n;

/** What a page of events is asked by. An absent member does not filter. */
export interface EventQuery {
  readonly tenant?: string;
  /** Unix milliseconds, inclusive. */
  readonly fromMs?: number;
  /** Unix milliseconds, exclusive. */
  readonly toMs?: number;
  readonly filters: ReadonlyMap<Filter, string>;
  readonly id?: string;
  /** Events older than this one. */
  readonly before?: string;
  readonly pageSize: number;
}

const FILTERS = ["kind", "outcome", "principal", "group", "server", "tool"] as const;
export type Filter = (typeof FILTERS)[number];

/** @throws {AppError} invalid_argument, naming the field */
export function parseQuery(request: auditV1.ListEventsRequest): EventQuery {
  const { id, cursor, pageSize } = request;
  const filter = request.filter ?? auditV1.EventFilter.create();
  const { tenant } = filter;
  if (tenant !== "" && !NAME_PATTERN.test(tenant)) throw invalid("tenant", "not a tenant's name");
  if (id !== "" && !isCallId(id)) throw invalid("id", "not a call's id");
  if (pageSize > PAGE_MAX) throw invalid("page_size", `has to be from 1 to ${PAGE_MAX}`);
  const fromMs = parseTime("from_ms", filter.fromMs);
  const toMs = parseTime("to_ms", filter.toMs);
  if (fromMs !== undefined && toMs !== undefined && fromMs >= toMs) throw invalid("to_ms", "has to be after from_ms");
  return {
    ...(tenant === "" ? {} : { tenant }),
    ...(fromMs === undefined ? {} : { fromMs }),
    ...(toMs === undefined ? {} : { toMs }),
    ...(id === "" ? {} : { id }),
    ...(cursor === "" ? {} : { before: decodeCursor(cursor) }),
    filters: parseFilters(filter),
    pageSize: pageSize === 0 ? PAGE_DEFAULT : pageSize,
  };
}

function parseFilters(given: auditV1.EventFilter): Map<Filter, string> {
  const filters = new Map<Filter, string>();
  for (const field of FILTERS) {
    const value = given[field];
    if (value.length > FILTER_CHARS_MAX) throw invalid(field, `longer than ${FILTER_CHARS_MAX} characters`);
    if (value !== "") filters.set(field, searchable(value)!);
  }
  return filters;
}

function parseTime(field: string, ms: bigint): number | undefined {
  if (ms < 0n || ms > TIME_MAX_MS) throw invalid(field, "not a time in Unix milliseconds");
  return ms === 0n ? undefined : Number(ms);
}

function invalid(field: string, problem: string): AppError {
  return new AppError("invalid_argument", `${field}: ${problem}`, { details: { field } });
}
