import { AppError } from "@tollgate/errors";
import { type Nano, parseNano } from "./decimal.ts";

/** Prices in nano-units. A megabyte is 1,000,000 bytes of request and response together. */
export interface RateCard {
  readonly id: string;
  readonly version: number;
  readonly perCall: Nano;
  /** Of tool time. */
  readonly perSecond: Nano;
  readonly perMegabyte: Nano;
  readonly perColdStart: Nano;
  readonly currency: string;
  /** Unix milliseconds. */
  readonly validFromMs: number;
}

/** A card as it is stored: prices as decimal numbers. */
export type RateCardRow = {
  readonly [K in keyof RateCard]: RateCard[K] extends Nano ? string : RateCard[K];
};

/** What a price depends on. */
export interface Priced {
  readonly durationUs: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
  readonly coldStart: boolean;
}

/** Microseconds of a second, and bytes of a megabyte: that they are the same number keeps the sum below exact. */
const PARTS = 1_000_000n;

/**
 * One call's cost. The sum of its parts is exact; it is rounded once, to the nearest nano-unit, halves up. So what two
 * calls cost together differs from one call with their usage by at most one nano-unit and its base price, and sums of
 * stored costs are exact.
 */
export function costOf(call: Priced, card: RateCard): Nano {
  const bytes = BigInt(call.requestBytes) + BigInt(call.responseBytes);
  const fixed = card.perCall + (call.coldStart ? card.perColdStart : 0n);
  const measured = card.perSecond * BigInt(call.durationUs) + card.perMegabyte * bytes;
  return fixed + (measured + PARTS / 2n) / PARTS;
}

/**
 * The card that holds at a time: the one that became valid last, and of several at once the highest version.
 * @throws {AppError} failed_precondition when there is none: a call is never priced by guess
 */
export function cardAt(cards: readonly RateCard[], timeMs: number): RateCard {
  let found: RateCard | undefined;
  for (const card of cards) {
    if (card.validFromMs > timeMs) continue;
    if (found === undefined || card.validFromMs > found.validFromMs) found = card;
    else if (card.validFromMs === found.validFromMs && card.version > found.version) found = card;
  }
  if (found) return found;
  throw new AppError("failed_precondition", `no rate card is valid at ${new Date(timeMs).toISOString()}`);
}

/** @throws {AppError} failed_precondition when there is not one currency: sums over several would mean nothing */
export function parseRateCards(rows: readonly RateCardRow[]): { cards: RateCard[]; currency: string } {
  const cards = rows.map((row) => ({
    ...row,
    perCall: parseNano(row.perCall),
    perSecond: parseNano(row.perSecond),
    perMegabyte: parseNano(row.perMegabyte),
    perColdStart: parseNano(row.perColdStart),
  }));
  const [currency, ...others] = new Set(cards.map((card) => card.currency));
  if (currency !== undefined && others.length === 0) return { cards, currency };
  const found = currency === undefined ? "none" : [currency, ...others].join(" and ");
  throw new AppError("failed_precondition", `rate cards need one currency, not ${found}`);
}
