import { timeOfId } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { type Pool, withTransaction } from "@tollgate/service";
import { type ClientBase, DatabaseError } from "pg";
import type { EventQuery, Filter, Walk } from "../domain/query.ts";

const STATEMENT_TIMEOUT_MS = 5_000;
const QUERY_CANCELED = "57014";
const COUNT_TIMEOUT_MS = 30_000;

/** Events that one statement looks at. */
const SCAN_ROWS_MAX = 4_000;
/** The same where each reason is read for its words. */
const SCAN_TEXTS_MAX = 1_000;
/** Begun after this long, a page ends where it is, and the next one goes on from there. */
const SEARCH_MS = 30;
/** The place in each index that says how sparse it is. */
const PROBE_PLACE = 500;
/** Words that as many reasons hold are found by walking; others by the index of words. */
const TEXT_MATCHES_MAX = 2_000;

/** The planner guesses how many rows a filter leaves, and guesses wrong; so a walk is along its index or not at all. */
const ALWAYS = `SET LOCAL statement_timeout = ${STATEMENT_TIMEOUT_MS}; SET LOCAL jit = off;
  SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL enable_seqscan = off`;
const WALKING = "SET LOCAL enable_indexscan = on; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off";
const COLLECTING = "SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = on; SET LOCAL enable_sort = on";

export interface FoundEvent {
  readonly id: string;
  readonly event: string;
}

/** The ways to search, and which of them to take: see `sparsest` in domain/query.ts. */
interface Ways {
  readonly walks: readonly Walk[];
  choose(this: void, walks: readonly Walk[], depths: readonly (number | undefined)[]): Walk;
}

export interface FoundPage {
  readonly events: readonly FoundEvent[];
  /** The event after which the next page goes on; undefined: there is none. */
  readonly next?: string;
}

/**
 * A page of events. A search looks at a bounded number of events: where those that fit are far apart, a page has fewer
 * than it may, even none, and yet there is a next one.
 * @throws {AppError} deadline_exceeded when the database takes more than five seconds
 */
export async function searchEvents(pool: Pool, query: EventQuery, ways: Ways): Promise<FoundPage> {
  try {
    return await withTransaction(pool, async (client) => {
      await client.query(`${ALWAYS}; ${WALKING}`);
      return query.text === undefined ? walkOn(client, query, ways) : searchText(client, query, query.text, ways);
    });
  } catch (error) {
    if (!(error instanceof DatabaseError) || error.code !== QUERY_CANCELED) throw error;
    throw new AppError("deadline_exceeded", "the search took too long; narrow it by tenant or time", { cause: error });
  }
}

/** How many events fit; undefined when that takes too long to count. */
export async function countEvents(pool: Pool, query: EventQuery): Promise<number | undefined> {
  const { values, bind } = binder();
  const where = [...boundsOf(query, bind), ...conditionsOf(query, bind)].join(" AND ") || "true";
  try {
    return await withTransaction(pool, async (client) => {
      await client.query(`SET LOCAL statement_timeout = ${COUNT_TIMEOUT_MS}`);
      const { rows } = await client.query<{ count: string }>(
        `SELECT count(*) FROM audit.events WHERE ${where}`,
        values,
      );
      return Number(rows[0]!.count);
    });
  } catch (error) {
    if (error instanceof DatabaseError && error.code === QUERY_CANCELED) return undefined;
    throw error;
  }
}

async function walkOn(client: ClientBase, query: EventQuery, ways: Ways): Promise<FoundPage> {
  const until = performance.now() + SEARCH_MS;
  const walk = await chooseWalk(client, query, ways);
  const rowsMax = query.text === undefined ? SCAN_ROWS_MAX : SCAN_TEXTS_MAX;
  const events: FoundEvent[] = [];
  let { after } = query;
  do {
    const rest = { ...query, ...(after === undefined ? {} : { after }), pageSize: query.pageSize - events.length };
    const step = await takeStep(client, rest, walk, rowsMax);
    events.push(...step.events);
    after = step.next;
  } while (after !== undefined && events.length < query.pageSize && performance.now() < until);
  return { events, ...(after === undefined ? {} : { next: after }) };
}

/** Words that are frequent fill a page in one step; to count how many reasons hold them would take longer than that. */
async function searchText(client: ClientBase, query: EventQuery, words: string, ways: Ways): Promise<FoundPage> {
  const step = await takeStep(client, query, "reason", SCAN_TEXTS_MAX);
  if (step.next === undefined || step.events.length === query.pageSize) return step;
  await client.query(COLLECTING);
  const collected = await collectByText(client, query, words);
  if (collected !== undefined) return collected;
  await client.query(WALKING);
  return walkOn(client, query, ways);
}

async function chooseWalk(client: ClientBase, query: EventQuery, { walks, choose }: Ways): Promise<Walk> {
  if (walks.length === 1) return walks[0]!;
  const { values, bind } = binder();
  const probes = walks.map((walk) => {
    const where = [...boundsOf(query, bind), ...walkedBy(walk, query, bind)].join(" AND ");
    return `(SELECT time FROM audit.events WHERE ${where} ORDER BY time ${directionOf(query)} OFFSET ${PROBE_PLACE} LIMIT 1)`;
  });
  const text = `SELECT ${probes.map((probe, at) => `${probe} AS at_${at}`).join(", ")}`;
  const { rows } = await client.query<Record<string, Date | null>>(text, values);
  // All of them begin at one place, so the distance from any other one orders them as well.
  const depths = walks.map((_walk, at) => rows[0]![`at_${at}`]?.getTime());
  return choose(
    walks,
    depths.map((ms) => (ms === undefined ? undefined : query.order === "oldest" ? ms : -ms)),
  );
}

interface Looked extends FoundEvent {
  readonly fits: boolean | null;
  readonly place: string;
}

/** Filters are outside of the subquery: nothing but the walk decides which index is used, and how far. */
async function takeStep(client: ClientBase, query: EventQuery, walk: Walk, rowsMax: number): Promise<FoundPage> {
  const { values, bind } = binder();
  const walked = [...boundsOf(query, bind), ...walkedBy(walk, query, bind)].join(" AND ") || "true";
  const fits = conditionsOf(query, bind).join(" AND ") || "true";
  const { pageSize } = query;
  const direction = directionOf(query);
  // The last event that may be looked at is returned in any case: the next step goes on after it.
  const text = `
    SELECT id, event, fits, place FROM (
      SELECT id, event, ${fits} AS fits, row_number() OVER () AS place FROM (
        SELECT * FROM audit.events WHERE ${walked} ORDER BY time ${direction}, id ${direction} LIMIT ${rowsMax}
      ) AS walked
    ) AS looked
    WHERE fits OR place = ${rowsMax} LIMIT ${pageSize + 1}`;
  const { rows } = await client.query<Looked>(text, values);
  const events = rows.filter((row) => row.fits === true).slice(0, pageSize);
  if (rows.length > pageSize) return { events, next: events.at(-1)!.id };
  const last = rows.at(-1);
  return last !== undefined && Number(last.place) === rowsMax ? { events, next: last.id } : { events };
}

/** Words that few reasons hold: all of their events at once. Undefined when there are many of them. */
async function collectByText(client: ClientBase, query: EventQuery, words: string): Promise<FoundPage | undefined> {
  const { values, bind } = binder();
  const bounds = [...boundsOf(query, bind), "reason IS NOT NULL", wordsCondition(words, bind)];
  const from = `FROM audit.events WHERE ${bounds.join(" AND ")}`;
  const counted = `SELECT count(*)::int AS count FROM (SELECT ${from} LIMIT ${TEXT_MATCHES_MAX + 1}) AS matching`;
  const { rows: counts } = await client.query<{ count: number }>(counted, values);
  if (counts[0]!.count > TEXT_MATCHES_MAX) return undefined;
  const { pageSize } = query;
  const direction = directionOf(query);
  const fits = conditionsOf(query, bind).join(" AND ");
  const text = `SELECT id, event ${from} AND ${fits} ORDER BY time ${direction}, id ${direction} LIMIT ${pageSize + 1}`;
  const { rows } = await client.query<FoundEvent>(text, values);
  const events = rows.slice(0, pageSize);
  return rows.length > pageSize ? { events, next: events.at(-1)!.id } : { events };
}

type Bind = (value: unknown) => string;

function binder(): { values: unknown[]; bind: Bind } {
  const values: unknown[] = [];
  return { values, bind: (value) => `$${values.push(value)}` };
}

function directionOf({ order }: EventQuery): "ASC" | "DESC" {
  return order === "oldest" ? "ASC" : "DESC";
}

/** Which part of any index is walked. */
function boundsOf({ fromMs, toMs, id, after, order }: EventQuery, bind: Bind): string[] {
  const bounds: string[] = [];
  const time = (ms: number): string => `to_timestamp(${bind(ms)}::float8 / 1000)`;
  if (fromMs !== undefined) bounds.push(`time >= ${time(fromMs)}`);
  if (toMs !== undefined) bounds.push(`time < ${time(toMs)}`);
  if (id !== undefined) bounds.push(`time = ${time(timeOfId(id))}`, `id = ${bind(id)}`);
  if (after !== undefined) {
    const last = time(timeOfId(after));
    const operator = order === "oldest" ? ">" : "<";
    // The first condition follows from the second; partitions are left out by it alone.
    bounds.push(`time ${operator}= ${last}`, `(time, id) ${operator} (${last}, ${bind(after)})`);
  }
  return bounds;
}

/** Where the index holds only some events, the condition is said once more as the index has it. */
const PARTIAL: Readonly<Partial<Record<Walk, string>>> = {
  kind: "kind <> 'call'",
  outcome: "outcome <> 'ok'",
  trace: "trace IS NOT NULL",
  reason: "reason IS NOT NULL",
};

function walkedBy(walk: Walk, { tenant, filters }: EventQuery, bind: Bind): string[] {
  const partial = PARTIAL[walk] === undefined ? [] : [PARTIAL[walk]];
  if (walk === "time" || walk === "reason") return partial;
  if (walk === "tenant") return [`tenant = ${bind(tenant)}`];
  return [...partial, filterCondition(walk, filters.get(walk)!, bind)];
}

/** All that an event is looked at for; what costs most comes last. */
function conditionsOf({ tenant, filters, text }: EventQuery, bind: Bind): string[] {
  return [
    ...(tenant === undefined ? [] : [`tenant = ${bind(tenant)}`]),
    ...[...filters].map(([filter, value]) => filterCondition(filter, value, bind)),
    ...(text === undefined ? [] : ["reason IS NOT NULL", wordsCondition(text, bind)]),
  ];
}

function filterCondition(filter: Filter, value: string, bind: Bind): string {
  if (filter === "policy") return `${bind(value)} = ANY (policies)`;
  return `${filter === "group" ? "group_id" : filter} = ${bind(value)}`;
}

function wordsCondition(text: string, bind: Bind): string {
  return `to_tsvector('simple', reason) @@ websearch_to_tsquery('simple', ${bind(text)})`;
}
