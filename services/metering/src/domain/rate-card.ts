import { AppError } from "@tollgate/errors";
import type { Nano } from "./decimal.ts";

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

/** @throws {AppError} failed_precondition when cards have several currencies, or there are none */
export function currencyOf(cards: readonly RateCard[]): string {
  const currencies = [...new Set(cards.map((card) => card.currency))];
  if (currencies.length === 1) return currencies[0]!;
  throw new AppError("failed_precondition", `rate cards need one currency, not ${currencies.join(" and ") || "none"}`);
}
