import { AppError } from "@tollgate/errors";
import type { RateCard, Selector } from "./rate-card.ts";

// Which card prices a call.
//
// Of each card that version holds that became valid last, and of several at once the highest. Of the cards that then are
// for the call, the one that names most of tenant, tool, server and group wins. Where two name equally many: the one that
// names the tenant, else the tool, else the server; else they name the same, and the one wins that became valid last, and
// at the very last the first by its id.

/** What a call is priced by. */
export interface Tariff {
  /** @throws {AppError} failed_precondition when there is none: a call is never priced by guess */
  cardFor(call: Selector, timeMs: number): RateCard;
}

/** A version of a card while it holds. */
interface Held {
  readonly card: RateCard;
  readonly fromMs: number;
  /** Exclusive. */
  readonly untilMs: number;
}

/** In the order in which they decide between selectors that name equally many. */
const NAMES = ["tenant", "tool", "server", "group"] as const;
type Named = readonly (typeof NAMES)[number][];

/**
 * @param options.asOf `recording`: as calls are priced when they are recorded; `rating`: as if every card had been there
 * from the time on from which it is valid
 */
export function openTariff(cards: readonly RateCard[], { asOf }: { asOf: "recording" | "rating" }): Tariff {
  const bySelector = new Map<string, Held[]>();
  const selectors = new Map<string, Named>();
  for (const held of periodsOf(cards, (card) => (asOf === "rating" ? card.validFromMs : card.recordsFromMs))) {
    const named = NAMES.filter((name) => held.card[name] !== "");
    selectors.set(named.join(), named);
    const key = keyOf(held.card, named);
    bySelector.set(key, [...(bySelector.get(key) ?? []), held]);
  }
  for (const held of bySelector.values()) held.sort(byPrecedence);
  const order = [...selectors.values()].toSorted((a, b) => b.length - a.length || rankOf(a) - rankOf(b));

  return {
    cardFor(call, timeMs) {
      for (const named of order) {
        const found = bySelector
          .get(keyOf(call, named))
          ?.find((held) => held.fromMs <= timeMs && timeMs < held.untilMs);
        if (found !== undefined) return found.card;
      }
      throw new AppError("failed_precondition", `no rate card is valid at ${new Date(timeMs).toISOString()}`);
    },
  };
}

export function isSameSelector(one: Selector, other: Selector): boolean {
  return NAMES.every((name) => one[name] === other[name]);
}

function keyOf(selector: Selector, named: Named): string {
  let key = "";
  // Names of tools are anything; lengths keep two lists of names from being the same text.
  for (const name of named) key += `${name}${selector[name].length}:${selector[name]}`;
  return key;
}

function rankOf(named: Named): number {
  return NAMES.reduce((rank, name) => rank * 2 + (named.includes(name) ? 0 : 1), 0);
}

function byPrecedence(a: Held, b: Held): number {
  return b.fromMs - a.fromMs || (a.card.id < b.card.id ? -1 : 1);
}

function periodsOf(cards: readonly RateCard[], fromMsOf: (card: RateCard) => number): Held[] {
  const byId = Map.groupBy(cards, (card) => card.id);
  return [...byId.values()].flatMap((versions) => {
    const inOrder = versions.toSorted((a, b) => fromMsOf(a) - fromMsOf(b) || a.version - b.version);
    return inOrder.map((card, at) => {
      const next = inOrder[at + 1];
      return { card, fromMs: fromMsOf(card), untilMs: next === undefined ? Infinity : fromMsOf(next) };
    });
  });
}
