import type { meteringV1 } from "@tollgate/contracts";
import { type Log, type Pool, unary } from "@tollgate/service";
import { currencyOf } from "../domain/rate-card.ts";
import { type GroupKey, parseUsageQuery, planUsage } from "../domain/usage-query.ts";
import { readCurrencies } from "../store/rate-cards.ts";
import { checkRating } from "../store/ratings.ts";
import { sumUsage, type UsageGroup, type UsageSums } from "../store/usage.ts";
import { chargeBack } from "./chargeback.ts";
import { listRateCards, putRateCard } from "./rate-cards.ts";
import { answerRatings, startRating } from "./ratings.ts";

export function createMeteringHandlers(options: {
  pool: Pool;
  /** Unix milliseconds up to which all calls are recorded. */
  readAsOf: () => Promise<number>;
  log: Log;
}): meteringV1.MeteringServiceServer {
  const { pool, readAsOf, log } = options;
  return {
    getUsage: unary(log, async (request: meteringV1.GetUsageRequest): Promise<meteringV1.GetUsageResponse> => {
      const query = parseUsageQuery(request);
      await checkRating(pool, query.rating);
      const currency = currencyOf(await readCurrencies(pool));
      // Before the sums: there may be more in them than this says, and never less.
      const asOfMs = await readAsOf();
      const { groups, total, more } = await sumUsage(pool, planUsage(query));
      const rows = groups.map((group) => toRow(group, keyOf(query.groupBy, group)));
      return { rows, total: toRow(total, {}), currency, more, asOfMs: BigInt(asOfMs) };
    }),
    listRateCards: unary(log, () => listRateCards(pool)),
    putRateCard: unary(log, (request: meteringV1.PutRateCardRequest) => putRateCard(pool, request)),
    startRating: unary(log, (request: meteringV1.StartRatingRequest) => startRating(pool, request)),
    listRatings: unary(log, (request: meteringV1.ListRatingsRequest) => answerRatings(pool, request)),
    getChargeback: unary(log, (request: meteringV1.GetChargebackRequest) => chargeBack(pool, request, readAsOf)),
  };
}

function keyOf(groupBy: readonly GroupKey[], { keys }: UsageGroup): Record<string, string> {
  return Object.fromEntries(groupBy.map((name, at) => [name, keys[at]!]));
}

function toRow(sums: UsageSums & { readonly fromMs?: number }, key: Record<string, string>): meteringV1.UsageRow {
  return {
    key,
    calls: BigInt(sums.calls),
    errors: BigInt(sums.errors),
    durationMs: BigInt(sums.durationMs),
    requestBytes: BigInt(sums.requestBytes),
    responseBytes: BigInt(sums.responseBytes),
    coldStarts: BigInt(sums.coldStarts),
    cost: sums.cost,
    cpuMs: BigInt(sums.cpuMs),
    downstreamCalls: BigInt(sums.downstreamCalls),
    fromMs: BigInt(sums.fromMs ?? 0),
  };
}
