import { setTimeout as delay } from "node:timers/promises";
import { changeEvent, INSTALLATION_TENANT, type meteringV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { enqueueEvents, type Log, type Pool, withTransaction } from "@tollgate/service";
import type { PoolClient } from "pg";
import { formatNano, parseNanoSum } from "../domain/decimal.ts";
import { priceCall } from "../domain/metered-call.ts";
import { parseRateCards } from "../domain/rate-card.ts";
import { openTariff, type Tariff } from "../domain/tariff.ts";
import { parseTenant, parseTimes } from "../domain/usage-query.ts";
import { lockRateCards, readRateCards } from "../store/rate-cards.ts";
import {
  countRunning,
  endRating,
  insertRating,
  listRatings,
  type NewRating,
  nextCalls,
  nextRating,
  type Rating,
  storeRated,
  takeRunning,
} from "../store/ratings.ts";

// A rating prices the calls of a time anew, by the cards that there are when it is asked for, as if they had been there
// from the times on from which they are valid. It goes through the calls in the order of their key, some thousand in a
// transaction that also moves its cursor: so a process that is killed loses nothing and does nothing twice. The first
// costs stay. Calls of the time that come to be recorded while it runs, or later, keep their first cost.

/** That run or wait to. */
const RUNNING_MAX = 20;
const LOOK_INTERVAL_MS = 500;
const REASON_MAX_CHARS = 500;

/** @throws {AppError} invalid_argument, overloaded */
export async function startRating(
  pool: Pool,
  request: meteringV1.StartRatingRequest,
): Promise<meteringV1.StartRatingResponse> {
  const { tenant = "" } = parseTenant(request.tenant);
  const { fromMs = 0, toMs } = parseTimes(request);
  const { reason, by } = request;
  if (reason.length > REASON_MAX_CHARS || reason.includes("\0"))
    throw new AppError("invalid_argument", `reason: has to have at most ${REASON_MAX_CHARS} characters`);
  return withTransaction(pool, async (client) => {
    await lockRateCards(client);
    const nowMs = Date.now();
    if (toMs !== undefined && toMs > nowMs) throw new AppError("invalid_argument", "to_ms: is in the future");
    const asked = { tenant, fromMs, toMs: toMs ?? nowMs, reason, by, startedAtMs: nowMs };
    return { rating: toRating(await beginRating(client, asked)) };
  });
}

/** Under the lock of cards. @throws {AppError} overloaded */
export async function beginRating(client: PoolClient, asked: NewRating): Promise<Rating> {
  if ((await countRunning(client)) >= RUNNING_MAX)
    throw new AppError("overloaded", `${RUNNING_MAX} ratings are running`, { retryable: true });
  const started = { calls: "0", costBefore: "0", costAfter: "0", status: "running", endedAtMs: 0 } as const;
  const rating: Rating = { ...asked, ...(await nextRating(client)), ...started };
  await insertRating(client, rating);
  await announce(client, rating, "created");
  return rating;
}

export async function answerRatings(
  pool: Pool,
  { tenant }: meteringV1.ListRatingsRequest,
): Promise<meteringV1.ListRatingsResponse> {
  return { ratings: (await listRatings(pool, parseTenant(tenant).tenant)).map(toRating) };
}

/**
 * Prices what was asked for, one rating after the other, until `signal` aborts.
 * @param options.recordedMs Unix milliseconds up to which all calls are recorded: a rating waits for those of its time
 */
export async function keepRating(options: {
  readonly pool: Pool;
  readonly recordedMs: () => Promise<number>;
  readonly signal: AbortSignal;
  readonly log: Log;
}): Promise<void> {
  const { signal } = options;
  const tariffs = createTariffCache();
  while (!signal.aborted) {
    if (await rateSome(options, tariffs)) continue;
    await delay(LOOK_INTERVAL_MS, undefined, { signal }).catch(() => undefined);
  }
}

/** True when there may be more to do at once. */
async function rateSome(
  { pool, recordedMs, log }: { pool: Pool; recordedMs: () => Promise<number>; log: Log },
  tariffOf: (client: PoolClient, rating: Rating) => Promise<Tariff>,
): Promise<boolean> {
  return withTransaction(pool, async (client) => {
    const rating = await takeRunning(client);
    if (rating === undefined) return false;
    if (rating.calls === "0" && (await recordedMs()) < rating.startedAtMs) return false;
    const calls = await nextCalls(client, rating);
    if (calls.length === 0) {
      const done = await endRating(client, rating, { status: "done", atMs: Date.now() });
      await announce(client, done, "updated");
      log.info({ rating: done.version, calls: done.calls }, "calls are priced anew");
      return true;
    }
    const tariff = await tariffOf(client, rating);
    const prices = calls.map((call) => priceCall(call, { monthCall: call.monthCall, tariff }));
    await storeRated(client, rating, { calls, prices, before: sumOf(calls), after: sumOf(prices) });
    return true;
  });
}

function sumOf(calls: readonly { readonly cost: string }[]): string {
  return formatNano(calls.reduce((sum, { cost }) => sum + parseNanoSum(cost), 0n));
}

function createTariffCache(): (client: PoolClient, rating: Rating) => Promise<Tariff> {
  let known: { readonly version: number; readonly tariff: Tariff } | undefined;
  return async (client, { version, cards: upTo }) => {
    if (known?.version !== version) {
      const { cards } = parseRateCards(await readRateCards(client, upTo));
      known = { version, tariff: openTariff(cards, { asOf: "rating" }) };
    }
    return known.tariff;
  };
}

async function announce(client: PoolClient, rating: Rating, change: "created" | "updated"): Promise<void> {
  const { tenant, version, by, reason, startedAtMs, endedAtMs, ...rest } = rating;
  // Not to be mistaken for those of the tenant that stands for the installation.
  const after = { ...rest, ...(tenant === "" ? { everyTenant: true } : {}) };
  const facts = { tenant: tenant === "" ? INSTALLATION_TENANT : tenant, change, reason } as const;
  const event = { ...facts, resource: "rating", name: String(version), principal: by, after } as const;
  await enqueueEvents(client, "metering", [changeEvent(event, endedAtMs === 0 ? startedAtMs : endedAtMs)]);
}

export function toRating(rating: Rating): meteringV1.Rating {
  const { version, tenant, reason, by, status, costBefore, costAfter } = rating;
  return {
    version,
    tenant,
    reason,
    by,
    status,
    costBefore,
    costAfter,
    fromMs: BigInt(rating.fromMs),
    toMs: BigInt(rating.toMs),
    calls: BigInt(rating.calls),
    startedAtMs: BigInt(rating.startedAtMs),
    endedAtMs: BigInt(rating.endedAtMs),
  };
}
