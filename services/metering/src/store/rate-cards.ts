import type { Pool } from "@tollgate/service";
import type { PoolClient } from "pg";
import type { RateCardRow, Selector } from "../domain/rate-card.ts";

/** Of all cards together. They are all in memory where calls are priced. */
export const VERSIONS_MAX = 10_000;

/** Shared by who records calls, alone by who makes cards: so none is recorded past a card that it should have had. */
const LOCK = "hashtext('tollgate-metering-rate-cards')";

/** A version of a card with what is known of it beside its prices. */
export interface StoredRateCard extends RateCardRow {
  readonly number: number;
  readonly createdBy: string;
  readonly createdAtMs: number;
}

const MS = (column: string): string => `round(extract(epoch FROM ${column}) * 1000)::float8`;
const SELECT = `
  SELECT number::float8 AS number, id, version, tenant, group_id AS "group", server, tool, currency,
         ${MS("valid_from")} AS "validFromMs", ${MS("coalesce(records_from, valid_from)")} AS "recordsFromMs",
         trim_scale(per_call)::text AS "perCall", trim_scale(per_second)::text AS "perSecond",
         trim_scale(per_cpu_second)::text AS "perCpuSecond", trim_scale(per_megabyte)::text AS "perMegabyte",
         trim_scale(per_cold_start)::text AS "perColdStart", tiers,
         created_by AS "createdBy", ${MS("created_at")} AS "createdAtMs"
  FROM metering.rate_cards WHERE number <= $1 ORDER BY id, version LIMIT ${VERSIONS_MAX}`;

/** @param upTo the number of the last one that counts */
export async function readRateCards(
  client: Pool | PoolClient,
  upTo = Number.MAX_SAFE_INTEGER,
): Promise<StoredRateCard[]> {
  return (await client.query<StoredRateCard>({ name: "read-rate-cards", text: SELECT, values: [upTo] })).rows;
}

/** Holds off new cards until the transaction ends; says what there is, so that a reader knows whether to read it. */
export async function lockRateCardsShared(client: PoolClient): Promise<string> {
  await client.query(`SELECT pg_advisory_xact_lock_shared(${LOCK})`);
  const { rows } = await client.query<{ state: string }>(
    "SELECT count(*) || '/' || coalesce(max(number), 0) AS state FROM metering.rate_cards",
  );
  return rows[0]!.state;
}

/** Until the transaction ends nobody records calls and nobody else makes cards. */
export async function lockRateCards(client: PoolClient): Promise<void> {
  await client.query(`SELECT pg_advisory_xact_lock(${LOCK})`);
}

const INSERT = `
  INSERT INTO metering.rate_cards
    (number, id, version, tenant, group_id, server, tool, currency, valid_from, records_from, per_call, per_second,
     per_cpu_second, per_megabyte, per_cold_start, tiers, created_by, created_at)
  SELECT (SELECT coalesce(max(number), 0) + 1 FROM metering.rate_cards),
         $1, $2, $3, $4, $5, $6, $7, to_timestamp($8::float8 / 1000), to_timestamp($9::float8 / 1000),
         $10::numeric, $11::numeric, $12::numeric, $13::numeric, $14::numeric, $15::jsonb, $16,
         to_timestamp($17::float8 / 1000)
  ON CONFLICT (id, version) DO NOTHING`;

/** Under the lock of cards. A version that is there stays as it is. */
export async function insertRateCard(client: PoolClient, card: Omit<StoredRateCard, "number">): Promise<void> {
  const { id, version, tenant, group, server, tool, currency, validFromMs, recordsFromMs } = card;
  const prices = [card.perCall, card.perSecond, card.perCpuSecond, card.perMegabyte, card.perColdStart];
  const tiers = JSON.stringify(card.tiers);
  const selector = [tenant, group, server, tool];
  const times = [validFromMs, recordsFromMs];
  const values = [id, version, ...selector, currency, ...times, ...prices, tiers, card.createdBy, card.createdAtMs];
  await client.query(INSERT, values);
}

/** Of all cards: one. */
export async function readCurrencies(pool: Pool): Promise<string[]> {
  const { rows } = await pool.query<{ currency: string }>(
    "SELECT DISTINCT currency FROM metering.rate_cards ORDER BY 1",
  );
  return rows.map(({ currency }) => currency);
}

export async function changeCurrency(client: PoolClient, currency: string): Promise<void> {
  await client.query("UPDATE metering.rate_cards SET currency = $1", [currency]);
}

const ANY = { validFromMs: 0, tenant: "", group: "", server: "", tool: "" };
const NEWEST = `
  SELECT ${MS("max(time)")} AS "newestMs" FROM metering.calls
  WHERE time >= to_timestamp($1::float8 / 1000) AND ($2 = '' OR tenant = $2) AND ($3 = '' OR group_id = $3)
    AND ($4 = '' OR server = $4) AND ($5 = '' OR tool = $5)`;

/** The time of the newest recorded call that a card is for and of a time at which it is valid; undefined: there is none. */
export async function newestRecorded(
  client: PoolClient,
  { validFromMs, tenant, group, server, tool }: Selector & { readonly validFromMs: number } = ANY,
): Promise<number | undefined> {
  const values = [validFromMs, tenant, group, server, tool];
  return (await client.query<{ newestMs: number | null }>(NEWEST, values)).rows[0]!.newestMs ?? undefined;
}
