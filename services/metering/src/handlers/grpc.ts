import type { meteringV1 } from "@tollgate/contracts";
import { type Log, type Pool, unary } from "@tollgate/service";
import { parseRateCards } from "../domain/rate-card.ts";
import { type GroupKey, parseUsageQuery } from "../domain/usage-query.ts";
import { sumUsage, type UsageSums } from "../store/calls.ts";
import { readRateCards } from "../store/rate-cards.ts";

export function createMeteringHandlers(options: { pool: Pool; log: Log }): meteringV1.MeteringServiceServer {
  const { pool, log } = options;
  return {
    getUsage: unary(log, async (request: meteringV1.GetUsageRequest): Promise<meteringV1.GetUsageResponse> => {
      const query = parseUsageQuery(request);
      const { currency } = parseRateCards(await readRateCards(pool));
      const { groups, total } = await sumUsage(pool, query);
      return {
        rows: groups.map((group) => toRow(group, keyOf(query.groupBy, group.keys))),
        total: toRow(total, {}),
        currency,
      };
    }),
  };
}

function keyOf(groupBy: readonly GroupKey[], values: readonly string[]): Record<string, string> {
  return Object.fromEntries(groupBy.map((name, at) => [name, values[at]!]));
}

function toRow(sums: UsageSums, key: Record<string, string>): meteringV1.UsageRow {
  return {
    key,
    calls: BigInt(sums.calls),
    errors: BigInt(sums.errors),
    durationMs: BigInt(sums.durationMs),
    requestBytes: BigInt(sums.requestBytes),
    responseBytes: BigInt(sums.responseBytes),
    coldStarts: BigInt(sums.coldStarts),
    cost: sums.cost,
  };
}
