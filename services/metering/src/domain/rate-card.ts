import { AppError } from "@tollgate/errors";
import { type Nano, parseNano } from "./decimal.ts";

/** Which calls a card is for; an empty text means any. */
export interface Selector {
  readonly tenant: string;
  readonly group: string;
  readonly server: string;
  readonly tool: string;
}

/** The price of a call up to this many of its tenant in a calendar month (UTC). */
export interface Tier {
  /** Inclusive; 0 on the last tier. */
  readonly upTo: number;
  readonly perCall: Nano;
}

/** Prices in nano-units. A megabyte is 1,000,000 bytes of request and response together. */
export interface Prices {
  readonly perCall: Nano;
  /** Of wall time in the server. */
  readonly perSecond: Nano;
  readonly perCpuSecond: Nano;
  readonly perMegabyte: Nano;
  /** Of one start, whoever waited for it. */
  readonly perColdStart: Nano;
  /** In the place of perCall; empty where all calls cost the same. */
  readonly tiers: readonly Tier[];
}

export interface RateCard extends Selector, Prices {
  readonly id: string;
  readonly version: number;
  readonly currency: string;
  /** Unix milliseconds. */
  readonly validFromMs: number;
  /**
   * Unix milliseconds: from then on calls are priced by it when they are recorded. Later than validFromMs where the card
   * was made for calls that were recorded already: those it prices in ratings only.
   */
  readonly recordsFromMs: number;
}

type PriceNames = Exclude<keyof Prices, "tiers">;
const PRICES: readonly PriceNames[] = ["perCall", "perSecond", "perCpuSecond", "perMegabyte", "perColdStart"];

/** A card as it is stored: prices as decimal numbers. */
export type RateCardRow = Omit<RateCard, keyof Prices> &
  Readonly<Record<PriceNames, string>> & { readonly tiers: readonly { upTo: number; perCall: string }[] };

/** What a price depends on. */
export interface Priced {
  readonly durationUs: number;
  readonly cpuUs: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** How many calls waited for the start that this one waited for, itself among them; 0 when it waited for none. */
  readonly coldStartCalls: number;
}

/** Microseconds of a second, and bytes of a megabyte: that they are the same number keeps the sum below exact. */
const PARTS = 1_000_000n;

/**
 * One call's cost. The sum of its parts is exact; it is rounded once, to the nearest nano-unit, halves up. So what two
 * calls cost together differs from one call with their usage by at most one nano-unit and its base price, the shares of a
 * start are within half a nano-unit each of equal parts, and sums of stored costs are exact.
 * @param monthCall which of its tenant's calls in the month it is, from 1, in stream order
 */
export function costOf(call: Priced, card: Prices, monthCall: number): Nano {
  const bytes = BigInt(call.requestBytes) + BigInt(call.responseBytes);
  const measured =
    card.perSecond * BigInt(call.durationUs) + card.perCpuSecond * BigInt(call.cpuUs) + card.perMegabyte * bytes;
  const base = perCallOf(monthCall, card);
  if (call.coldStartCalls === 0 || card.perColdStart === 0n) return base + (measured + PARTS / 2n) / PARTS;
  const sharers = BigInt(call.coldStartCalls);
  const whole = PARTS * sharers;
  return base + (measured * sharers + card.perColdStart * PARTS + whole / 2n) / whole;
}

/** Graduated: each call has the price of the tier that it falls into, whatever comes after it. */
function perCallOf(monthCall: number, { tiers, perCall }: Prices): Nano {
  for (const tier of tiers) if (tier.upTo === 0 || monthCall <= tier.upTo) return tier.perCall;
  return perCall;
}

export function parseRateCards(rows: readonly RateCardRow[]): { cards: RateCard[]; currency: string } {
  return { cards: rows.map(parseRow), currency: currencyOf(new Set(rows.map((row) => row.currency))) };
}

/** @throws {AppError} failed_precondition when there is not one currency: sums over several would mean nothing */
export function currencyOf(currencies: Iterable<string>): string {
  const [currency, ...others] = currencies;
  if (currency !== undefined && others.length === 0) return currency;
  const found = currency === undefined ? "none" : [currency, ...others].join(" and ");
  throw new AppError("failed_precondition", `rate cards need one currency, not ${found}`);
}

function parseRow(row: RateCardRow): RateCard {
  const prices = Object.fromEntries(PRICES.map((name) => [name, parseNano(row[name])])) as Record<PriceNames, Nano>;
  return { ...row, ...prices, tiers: row.tiers.map(({ upTo, perCall }) => ({ upTo, perCall: parseNano(perCall) })) };
}
