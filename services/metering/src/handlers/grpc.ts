import { AppError } from "@tollgate/errors";
import { meteringV1 } from "@tollgate/contracts";
import { type Log, type Pool, unary } from "@tollgate/service";
import { parseRateCards } from "../domain/rate-card.ts";
import { type GroupKey, parseUsageQuery } from "../domain/usage-query.ts";
import { sumUsage, type UsageSums } from "../store/calls.ts";
import { readRateCards } from "../store/rate-cards.ts";

export function createMeteringHandlers(options: { pool: Pool; log: Log }): meteringV1.MeteringServiceServer {
  const { pool, log } = options;
  return {
    ...notYet(),
    getUsage: unary(log, async (request: meteringV1.GetUsageRequest): Promise<meteringV1.GetUsageResponse> => {
      const query = parseUsageQuery(request);
      const { currency } = parseRateCards(await readRateCards(pool));
      const { groups, total } = await sumUsage(pool, query);
      return {
        rows: groups.map((group) => toRow(group, keyOf(query.groupBy, group.keys))),
        total: toRow(total, {}),
        currency,
        more: false,
        asOfMs: 0n,
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
    cpuMs: 0n,
    downstreamCalls: 0n,
    fromMs: 0n,
  };
}

/** Methods that nobody answers yet. */
function notYet(): meteringV1.MeteringServiceServer {
  const refuse = (_call: unknown, callback: (error: unknown) => void): void =>
    callback(Object.assign(new AppError("failed_precondition", "not yet"), { code: 12 }));
  return Object.fromEntries(
    Object.keys(meteringV1.MeteringServiceService).map((name) => [name, refuse]),
  ) as unknown as meteringV1.MeteringServiceServer;
}
