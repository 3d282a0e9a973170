import type { Pool } from "@tollgate/service";
import { parseNano } from "../domain/decimal.ts";
import { currencyOf, type RateCard } from "../domain/rate-card.ts";

const CARDS_MAX = 1_000;

/** The versions of the one card that there is so far, the newest ones should there be more than a thousand. */
const SELECT = `
  SELECT id, version, per_call, per_second, per_megabyte, per_cold_start, currency,
         floor(extract(epoch FROM valid_from) * 1000)::float8 AS valid_from_ms
  FROM metering.rate_cards WHERE id = 'default' ORDER BY valid_from DESC, version DESC LIMIT ${CARDS_MAX}`;

/** @throws {AppError} failed_precondition when they are not of one currency: sums over them would mean nothing */
export async function readRateCards(pool: Pool): Promise<{ cards: RateCard[]; currency: string }> {
  const { rows } = await pool.query(SELECT);
  const cards: RateCard[] = rows.map((row) => ({
    id: row.id,
    version: row.version,
    perCall: parseNano(row.per_call),
    perSecond: parseNano(row.per_second),
    perMegabyte: parseNano(row.per_megabyte),
    perColdStart: parseNano(row.per_cold_start),
    currency: row.currency,
    validFromMs: row.valid_from_ms,
  }));
  return { cards, currency: currencyOf(cards) };
}
