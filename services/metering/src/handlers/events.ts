import type { StreamedEvent } from "@tollgate/bus";
import type { Partitions } from "@tollgate/service";
import type { PoolClient } from "pg";
import {
  type CallUsage,
  type MeteredCall,
  monthOf,
  priceCall,
  toCallUsage,
  withoutDuplicates,
} from "../domain/metered-call.ts";
import { parseRateCards } from "../domain/rate-card.ts";
import { openTariff, type Tariff } from "../domain/tariff.ts";
import { insertCalls, unknownOf } from "../store/calls.ts";
import { type MonthCount, readMonthCounts, writeMonthCounts } from "../store/month-counts.ts";
import { lockRateCardsShared, readRateCards } from "../store/rate-cards.ts";

/**
 * Prices and stores a batch of the stream, in the transaction that moves the position: when it throws, nothing is stored.
 * Says how many calls were not stored before.
 */
export function createCallStore({
  partitions,
}: {
  partitions: Partitions;
}): (client: PoolClient, events: readonly StreamedEvent[]) => Promise<number> {
  const currentTariff = createTariffCache();

  async function storeCalls(client: PoolClient, calls: readonly CallUsage[]): Promise<number> {
    const tariff = await currentTariff(client);
    await client.query("SAVEPOINT calls");
    const stored = await storeNew(client, calls, tariff);
    if (stored === calls.length) return stored;
    // Seldom: some are there already. They must not be counted among their months, which prices rest on.
    await client.query("ROLLBACK TO SAVEPOINT calls");
    return storeNew(client, await unknownOf(client, calls), tariff);
  }

  return async (client, events) => {
    const outcomes = events.flatMap(({ event, sequence }) =>
      event.kind === "call" ? [toCallUsage(event, sequence)] : [],
    );
    const calls = withoutDuplicates(outcomes);
    if (calls.length === 0) return 0;
    try {
      await partitions.ensure(calls.map((call) => call.timeMs));
      return await storeCalls(client, calls);
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

async function storeNew(client: PoolClient, calls: readonly CallUsage[], tariff: Tariff): Promise<number> {
  if (calls.length === 0) return 0;
  const counts = await countMonths(client, calls);
  const metered: MeteredCall[] = calls.map((usage) => {
    const count = counts.get(monthKey(usage))!;
    count.calls += 1;
    return priceCall(usage, { monthCall: count.calls, tariff });
  });
  await writeMonthCounts(client, [...counts.values()]);
  return insertCalls(client, metered);
}

type Counter = { -readonly [K in keyof MonthCount]: MonthCount[K] };

/** What was counted before these calls. */
async function countMonths(client: PoolClient, calls: readonly CallUsage[]): Promise<Map<string, Counter>> {
  const counts = new Map<string, Counter>();
  for (const call of calls) {
    const key = monthKey(call);
    if (!counts.has(key)) counts.set(key, { tenant: call.tenant, month: monthOf(call.timeMs), calls: 0 });
  }
  for (const { tenant, month, calls: before } of await readMonthCounts(client, [...counts.values()]))
    counts.get(`${month} ${tenant}`)!.calls = before;
  return counts;
}

function monthKey({ tenant, timeMs }: CallUsage): string {
  return `${monthOf(timeMs)} ${tenant}`;
}
