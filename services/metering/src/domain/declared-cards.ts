import { isDeepStrictEqual } from "node:util";
import { meteringV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
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

/**
 * The versions that have to be added so that the card says what is given from its time on, and until then what it says now:
 * versions that are still to come are replaced by ones of the same time, since none is ever taken back. None where it says so
 * already.
 * @param versions of the card, in the order of their making
 * @throws {AppError} failed_precondition where the card does not hold yet, and its beginning is to move
 */
export function versionsFor(
  versions: readonly RateCardRow[],
  given: NewRateCard,
  nowMs: number,
): { readonly content: NewRateCard; readonly validFromMs: number | undefined }[] {
  const beginsMs = Math.max(given.validFromMs ?? nowMs, nowMs);
  const current = heldAt(versions, nowMs);
  const times = [...versions.map(({ validFromMs }) => validFromMs).filter((time) => time > nowMs), beginsMs];
  const timeline: Held[] = [...versions];
  const added: { content: NewRateCard; validFromMs: number | undefined }[] = [];
  for (const time of [...new Set(times)].toSorted((a, b) => a - b)) {
    const wanted = time < beginsMs ? current : given;
    if (wanted === undefined) throw notTakenBack(given.id, time);
    const held = heldAt(timeline, time);
    if (held !== undefined && saysSame(held, wanted)) continue;
    timeline.push({ ...wanted, validFromMs: time });
    added.push({ content: wanted, validFromMs: time > nowMs ? time : undefined });
  }
  return added;
}

type Content = Omit<NewRateCard, "validFromMs">;
type Held = Content & { readonly validFromMs: number };

/** Of those that are valid then, the one that became so last, and of several at once the newest: as calls are priced. */
function heldAt(versions: readonly Held[], timeMs: number): Held | undefined {
  const valid = versions.filter(({ validFromMs }) => validFromMs <= timeMs);
  return valid.reduce<Held | undefined>(
    (held, each) => (held === undefined || each.validFromMs >= held.validFromMs ? each : held),
    undefined,
  );
}

function notTakenBack(id: string, timeMs: number): AppError {
  const from = new Date(timeMs).toISOString();
  return new AppError(
    "failed_precondition",
    `rate card ${id} begins at ${from} and says nothing before: give it that time, or another id`,
  );
}

function saysSame(one: Content, other: Content): boolean {
  const pricesOf = ({ currency, perSecond, perCpuSecond, perMegabyte, perColdStart, tiers, perCall }: Content) => {
    const base = tiers.length > 0 ? "0" : perCall;
    return { currency, perSecond, perCpuSecond, perMegabyte, perColdStart, tiers, base };
  };
  return isSameSelector(one, other) && isDeepStrictEqual(pricesOf(one), pricesOf(other));
}

function present<T extends Record<string, string>>(fields: T, nothing: string): Partial<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== nothing)) as Partial<T>;
}
