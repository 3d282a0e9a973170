import type { Pool } from "@tollgate/service";
import type { RateCardRow } from "../domain/rate-card.ts";

const CARDS_MAX = 1_000;

/** The versions of the one card that there is so far, the newest ones should there be more than a thousand. */
const SELECT = `
  SELECT id, version, per_call AS "perCall", per_second AS "perSecond", per_megabyte AS "perMegabyte",
         per_cold_start AS "perColdStart", currency, floor(extract(epoch FROM valid_from) * 1000)::float8 AS "validFromMs"
  FROM metering.rate_cards WHERE id = 'default' ORDER BY valid_from DESC, version DESC LIMIT ${CARDS_MAX}`;

export async function readRateCards(pool: Pool): Promise<RateCardRow[]> {
  return (await pool.query<RateCardRow>(SELECT)).rows;
}
