import { type Bus, readPastEvents } from "@tollgate/bus";
import type { ChangeEvent } from "@tollgate/contracts";
import { type Log, type Pool, withTransaction } from "@tollgate/service";
import type { PoolClient } from "pg";
import { z } from "zod";
import { isEmpty } from "../store/position.ts";
import { insertRateCard, lockRateCards, readRateCards } from "../store/rate-cards.ts";
import { insertRating } from "../store/ratings.ts";
import { agreeOnCurrency } from "./rate-cards.ts";

// An empty database is filled from the stream, and calls are to cost in it what they have cost before. So cards and
// ratings are taken from the events of their making, all of them before the first call: a card may be on the stream
// after calls that it was for. Cards that have left the stream have to be brought back by hand, before the start.

const price = z.string().max(32);
const milliseconds = z.number().int().nonnegative();
const cardSchema = z.object({
  id: z.string(),
  version: z.number().int(),
  tenant: z.string(),
  group: z.string(),
  server: z.string(),
  tool: z.string(),
  currency: z.string(),
  validFromMs: milliseconds,
  recordsFromMs: milliseconds,
  perCall: price,
  perSecond: price,
  perCpuSecond: price,
  perMegabyte: price,
  perColdStart: price,
  tiers: z.array(z.object({ upTo: z.number(), perCall: price })),
});
const ratingSchema = z.object({ fromMs: milliseconds, toMs: milliseconds, cards: z.number().int() });

/** Before anything is recorded; else nothing is done. */
export async function restoreRates(options: {
  readonly bus: Bus;
  readonly pool: Pool;
  readonly signal: AbortSignal;
  readonly log: Log;
}): Promise<void> {
  const { bus, pool, signal, log } = options;
  if (!(await isEmpty(pool))) return;
  const changes: ChangeEvent[] = [];
  for await (const { event } of readPastEvents(bus, { kind: "change", signal }))
    if (event.kind === "change" && (event.resource === "rate_card" || event.resource === "rating")) changes.push(event);
  if (changes.length === 0) return;
  await withTransaction(pool, async (client) => {
    await lockRateCards(client);
    for (const change of changes) await restore(client, change);
  });
  log.info({ changes: changes.length }, "rate cards and ratings are taken from the stream");
}

async function restore(client: PoolClient, event: ChangeEvent): Promise<void> {
  const { resource, name, principal: by, tenant: owner, endedAt, reason = "" } = event;
  if (resource === "rate_card") {
    const { success, data: card } = cardSchema.safeParse(event.after);
    if (!success) return;
    await agreeOnCurrency(client, await readRateCards(client), card.currency);
    await insertRateCard(client, { ...card, createdBy: by, createdAtMs: endedAt });
  } else if (event.change === "created") {
    const { success, data } = ratingSchema.safeParse(event.after);
    if (!success) return;
    const tenant = (event.after as { readonly everyTenant?: unknown }).everyTenant === true ? "" : owner;
    await insertRating(client, { ...data, version: Number(name), tenant, reason, by, startedAtMs: endedAt });
  }
}
