import { isDeepStrictEqual } from "node:util";
import { meteringV1 } from "@tollgate/contracts";
import type { DesiredRateCard } from "@tollgate/desired-state";
import type { NewRateCard } from "./new-rate-card.ts";
import type { RateCardRow } from "./rate-card.ts";
import { isSameSelector } from "./tariff.ts";

/** As tollgate.yaml has it, in the form of the API between services. */
export function toMessage({ valid_from, tiers, ...card }: DesiredRateCard, createdBy: string): meteringV1.RateCard {
  return meteringV1.RateCard.fromPartial({
    id: card.id,
    currency: card.currency,
    tenant: card.tenant ?? "",
    group: card.group ?? "",
    server: card.server ?? "",
    tool: card.tool ?? "",
    validFromMs: valid_from === undefined ? 0n : BigInt(Date.parse(valid_from)),
    perCall: card.per_call ?? "",
    perSecond: card.per_second ?? "",
    perCpuSecond: card.per_cpu_second ?? "",
    perMegabyte: card.per_megabyte ?? "",
    perColdStart: card.per_cold_start ?? "",
    tiers: tiers.map(({ up_to, per_call }) => ({ upTo: BigInt(up_to ?? 0), perCall: per_call })),
    createdBy,
  });
}

/** A version as tollgate.yaml would say it: without when it became valid, which is of the version and not of the price. */
export function toDeclared(card: Omit<RateCardRow, "version">): Omit<DesiredRateCard, "valid_from"> {
  const prices = {
    per_second: card.perSecond,
    per_cpu_second: card.perCpuSecond,
    per_megabyte: card.perMegabyte,
    per_cold_start: card.perColdStart,
  };
  return {
    id: card.id,
    currency: card.currency,
    ...present({ tenant: card.tenant, group: card.group, server: card.server, tool: card.tool }, ""),
    ...present({ ...prices, per_call: card.tiers.length > 0 ? "0" : card.perCall }, "0"),
    tiers: card.tiers.map(({ upTo, perCall }) => ({ ...(upTo === 0 ? {} : { up_to: upTo }), per_call: perCall })),
  };
}

/** Whether the newest version of a card says what is given: for which calls, and at which prices. */
export function saysSame(newest: RateCardRow, given: NewRateCard): boolean {
  const prices = ({ currency, perSecond, perCpuSecond, perMegabyte, perColdStart, tiers, perCall }: NewRateCard) => {
    const base = tiers.length > 0 ? "0" : perCall;
    return { currency, perSecond, perCpuSecond, perMegabyte, perColdStart, tiers, base };
  };
  return isSameSelector(newest, given) && isDeepStrictEqual(prices(newest), prices(given));
}

function present<T extends Record<string, string>>(fields: T, nothing: string): Partial<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== nothing)) as Partial<T>;
}
