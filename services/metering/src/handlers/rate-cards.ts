import { changeEvent, INSTALLATION_TENANT, type meteringV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { enqueueEvents, type Pool, withTransaction } from "@tollgate/service";
import type { PoolClient } from "pg";
import { type NewRateCard, parseNewRateCard } from "../domain/new-rate-card.ts";
import { parseRateCards } from "../domain/rate-card.ts";
import { isSameSelector } from "../domain/tariff.ts";
import {
  changeCurrency,
  insertRateCard,
  lockRateCards,
  newestRecorded,
  readRateCards,
  type StoredRateCard,
  VERSIONS_MAX,
} from "../store/rate-cards.ts";
import { beginRating, toRating } from "./ratings.ts";

/**
 * A new version of a card. Nothing that is recorded changes: where calls that it is for are recorded already, of a time at
 * which it is valid, it is refused, or prices these in a rating and others from now on.
 * @throws {AppError} invalid_argument, failed_precondition
 */
export async function putRateCard(
  pool: Pool,
  request: meteringV1.PutRateCardRequest,
): Promise<meteringV1.PutRateCardResponse> {
  const given = parseNewRateCard(request.card);
  return withTransaction(pool, async (client) => {
    await lockRateCards(client);
    return addVersion(client, given, { by: request.card!.createdBy, rerate: request.rerate });
  });
}

/** The same within a transaction that holds the lock of cards. */
export async function addVersion(
  client: PoolClient,
  given: NewRateCard,
  { by, rerate }: { by: string; rerate: boolean },
): Promise<meteringV1.PutRateCardResponse> {
  const cards = await readRateCards(client);
  if (cards.length >= VERSIONS_MAX) throw new AppError("failed_precondition", `more than ${VERSIONS_MAX} rate cards`);
  await agreeOnCurrency(client, cards, given.currency);
  const before = cards.findLast((card) => card.id === given.id);
  // A version ends the one before it: for other calls, it would leave those of the one before without a price.
  if (before !== undefined && !isSameSelector(before, given)) {
    throw new AppError(
      "failed_precondition",
      `rate card ${given.id} is for other calls: a card for these needs an id of its own`,
    );
  }
  const nowMs = Date.now();
  // Now is after what is recorded, also where a gateway's clock is a little ahead.
  const validFromMs = given.validFromMs ?? (await firstFreeMs(client, given, nowMs));
  const newestMs = await newestRecorded(client, { ...given, validFromMs });
  if (newestMs !== undefined && !rerate) throw alreadyRecorded(validFromMs);
  const card = {
    ...given,
    version: (before?.version ?? 0) + 1,
    validFromMs,
    recordsFromMs: newestMs === undefined ? validFromMs : Math.max(nowMs, newestMs + 1),
    createdBy: by,
    createdAtMs: nowMs,
  };
  await insertRateCard(client, card);
  await announce(client, card, before);
  if (newestMs === undefined) return { card: toCard(card), rating: undefined };
  const reason = `rate card ${card.id}@${card.version}`;
  const calls = { tenant: card.tenant, fromMs: validFromMs, toMs: card.recordsFromMs };
  const rating = await beginRating(client, { ...calls, reason, by: card.createdBy, startedAtMs: nowMs });
  return { card: toCard(card), rating: toRating(rating) };
}

export async function listRateCards(pool: Pool): Promise<meteringV1.ListRateCardsResponse> {
  return { cards: (await readRateCards(pool)).map(toCard) };
}

async function firstFreeMs(client: PoolClient, card: NewRateCard, nowMs: number): Promise<number> {
  const newestMs = await newestRecorded(client, { ...card, validFromMs: nowMs });
  return newestMs === undefined ? nowMs : newestMs + 1;
}

/** As long as nothing was priced, the currency of the card that every installation begins with is not settled. */
export async function agreeOnCurrency(
  client: PoolClient,
  cards: readonly StoredRateCard[],
  currency: string,
): Promise<void> {
  const { currency: known } = parseRateCards(cards);
  if (currency === known) return;
  const isFirst = cards.length === 1 && (await newestRecorded(client)) === undefined;
  if (!isFirst) throw new AppError("failed_precondition", `rate cards need one currency, which is ${known}`);
  await changeCurrency(client, currency);
}

function alreadyRecorded(validFromMs: number): AppError {
  const from = new Date(validFromMs).toISOString();
  return new AppError(
    "failed_precondition",
    `calls that it is for are recorded since ${from}; say rerate to price them anew, or let it be valid from now on`,
  );
}

async function announce(
  client: PoolClient,
  card: Omit<StoredRateCard, "number">,
  before: StoredRateCard | undefined,
): Promise<void> {
  const change = {
    tenant: card.tenant === "" ? INSTALLATION_TENANT : card.tenant,
    change: before === undefined ? "created" : "updated",
    resource: "rate_card",
    name: card.id,
    principal: card.createdBy,
    ...(before === undefined ? {} : { before: factsOf(before) }),
    after: factsOf(card),
  } as const;
  await enqueueEvents(client, "metering", [changeEvent(change, card.createdAtMs)]);
}

function factsOf(card: NewRateCard & Partial<StoredRateCard>): Record<string, unknown> {
  const { number: _number, createdBy: _by, createdAtMs: _at, ...facts } = card;
  return facts;
}

function toCard(card: Omit<StoredRateCard, "number">): meteringV1.RateCard {
  const { recordsFromMs: _recordsFromMs, tiers, validFromMs, createdAtMs, ...rest } = card;
  return {
    ...rest,
    validFromMs: BigInt(validFromMs),
    createdAtMs: BigInt(createdAtMs),
    tiers: tiers.map(({ upTo, perCall }) => ({ upTo: BigInt(upTo), perCall })),
    perCall: tiers.length > 0 ? "" : card.perCall,
  };
}
