import type { StreamedEvent } from "@tollgate/bus";
import type { Partitions } from "@tollgate/service";
import type { PoolClient } from "pg";
import { type CallUsage, monthOf, priceCall, toCallUsage, withoutDuplicates } from "../domain/metered-call.ts";
import { parseRateCards } from "../domain/rate-card.ts";
import { openTariff, type Tariff } from "../domain/tariff.ts";
import { insertCalls, type PreparedCalls, prepareColumns, unknownOf } from "../store/calls.ts";
import { type MonthCount, readMonthCounts, writeMonthCounts } from "../store/month-counts.ts";
import { lockRateCardsShared, readRateCards } from "../store/rate-cards.ts";

/** What the events of a batch used, each call once. */
export function prepareCalls(events: readonly StreamedEvent[]): PreparedCalls {
  const outcomes = events.flatMap(({ event, sequence }) =>
    event.kind === "call" ? [toCallUsage(event, sequence)] : [],
  );
  return prepareColumns(withoutDuplicates(outcomes));
}

/**
 * Prices and stores calls of the stream, in the transaction that moves the position: when it throws, nothing is stored.
 * Says how many were not stored before.
 */
export function createCallStore(
  partitions: Partitions,
): (client: PoolClient, prepared: PreparedCalls) => Promise<number> {
  const currentTariff = createTariffCache();

  async function storeCalls(client: PoolClient, prepared: PreparedCalls): Promise<number> {
    const tariff = await currentTariff(client);
    await client.query("SAVEPOINT calls");
    const stored = await storeNew(client, prepared, tariff);
    if (stored === prepared.calls.length) return stored;
    // Seldom: some are there already. They must not be counted among their months, which prices rest on.
    await client.query("ROLLBACK TO SAVEPOINT calls");
    return storeNew(client, prepareColumns(await unknownOf(client, prepared.calls)), tariff);
  }

  return async (client, prepared) => {
    const { calls } = prepared;
    if (calls.length === 0) return 0;
    try {
      await partitions.ensure(calls.map((call) => call.timeMs));
      return await storeCalls(client, prepared);
    } catch (error) {
      partitions.forget();
      throw error;
    }
  };
}

/** Reads the cards only where there are others than before. A card holds from its time on, not from when it is heard of. */
function createTariffCache(): (client: PoolClient) => Promise<Tariff> {
  let known = "";
  let tariff: Tariff | undefined;
  return async (client) => {
    const state = await lockRateCardsShared(client);
    if (tariff === undefined || state !== known) {
      const { cards } = parseRateCards(await readRateCards(client));
      tariff = openTariff(cards, { asOf: "recording" });
      known = state;
    }
    return tariff;
  };
}

async function storeNew(client: PoolClient, prepared: PreparedCalls, tariff: Tariff): Promise<number> {
  const { calls } = prepared;
  if (calls.length === 0) return 0;
  const { counts, countOf } = await countMonths(client, calls);
  const prices = calls.map((usage, at) => {
    const count = countOf[at]!;
    count.calls += 1;
    return priceCall(usage, { monthCall: count.calls, tariff });
  });
  await writeMonthCounts(client, counts);
  return insertCalls(client, prepared, prices);
}

type Counter = { -readonly [K in keyof MonthCount]: MonthCount[K] };

/** What was counted before these calls; each call has its tenant's and month's. */
async function countMonths(
  client: PoolClient,
  calls: readonly CallUsage[],
): Promise<{ counts: readonly Counter[]; countOf: readonly Counter[] }> {
  const counts = new Map<string, Counter>();
  const countOf = calls.map(({ tenant, timeMs }) => {
    const month = monthOf(timeMs);
    const key = `${month} ${tenant}`;
    let count = counts.get(key);
    if (count === undefined) counts.set(key, (count = { tenant, month, calls: 0 }));
    return count;
  });
  for (const { tenant, month, calls: before } of await readMonthCounts(client, [...counts.values()]))
    counts.get(`${month} ${tenant}`)!.calls = before;
  return { counts: [...counts.values()], countOf };
}
