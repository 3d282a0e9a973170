import { type meteringV1, NAME_PATTERN, storedText } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { formatNano, type Nano, parseNano } from "./decimal.ts";
import { STORED_MAX_BYTES } from "./metered-call.ts";
import type { RateCardRow } from "./rate-card.ts";

const ID_PATTERN = /^[a-z0-9-]{1,64}$/;
const CURRENCY_PATTERN = /^[A-Z]{3}$/;
const TOOL_MAX_CHARS = 2_048;
const TIERS_MAX = 20;
/** With the bounds of one call's usage no cost is past what a row holds. */
const PRICE_MAX: Nano = parseNano("10000");
const TIME_MAX_MS = 8_640_000_000_000_000n;

/** A card as somebody has given it; without a time it holds from now on. */
export type NewRateCard = Omit<RateCardRow, "version" | "validFromMs" | "recordsFromMs"> & {
  readonly validFromMs: number | undefined;
};

/** @throws {AppError} invalid_argument, naming the field */
export function parseNewRateCard(card: meteringV1.RateCard | undefined): NewRateCard {
  if (card === undefined) throw invalid("card", "is missing");
  const { id, currency, tenant, group, server, tool, validFromMs } = card;
  if (!ID_PATTERN.test(id)) throw invalid("id", "has to be 1 to 64 of a to z, 0 to 9 and -");
  if (!CURRENCY_PATTERN.test(currency)) throw invalid("currency", "has to be a code of ISO 4217, such as USD");
  for (const [field, name] of Object.entries({ tenant, group, server }))
    if (name !== "" && !NAME_PATTERN.test(name)) throw invalid(field, "is not a name");
  if (tool.length > TOOL_MAX_CHARS || tool.includes("\0")) throw invalid("tool", "is not a tool's name");
  if (validFromMs < 0n || validFromMs > TIME_MAX_MS) throw invalid("valid_from", "is not a time");
  const tiers = parseTiers(card.tiers);
  if (tiers.length > 0 && card.perCall !== "") throw invalid("per_call", "cannot stand beside tiers");
  return {
    id,
    currency,
    tenant,
    group,
    server,
    tool: storedText(tool, STORED_MAX_BYTES.tool),
    validFromMs: validFromMs === 0n ? undefined : Number(validFromMs),
    perCall: priceOf("per_call", card.perCall),
    perSecond: priceOf("per_second", card.perSecond),
    perCpuSecond: priceOf("per_cpu_second", card.perCpuSecond),
    perMegabyte: priceOf("per_megabyte", card.perMegabyte),
    perColdStart: priceOf("per_cold_start", card.perColdStart),
    tiers,
  };
}

function parseTiers(given: readonly meteringV1.Tier[]): RateCardRow["tiers"] {
  if (given.length > TIERS_MAX) throw invalid("tiers", `are more than ${TIERS_MAX}`);
  return given.map(({ upTo, perCall }, at) => {
    const isLast = at === given.length - 1;
    const before = given[at - 1]?.upTo ?? 0n;
    if (isLast !== (upTo === 0n)) throw invalid(`tiers[${at}].up_to`, "is missing on the last tier, and on no other");
    if (!isLast && (upTo <= before || upTo > BigInt(Number.MAX_SAFE_INTEGER)))
      throw invalid(`tiers[${at}].up_to`, "has to be above the one before");
    return { upTo: Number(upTo), perCall: priceOf(`tiers[${at}].per_call`, perCall) };
  });
}

/** Written as every price is: nothing is 0. */
function priceOf(field: string, decimal: string): string {
  try {
    const price = parseNano(decimal === "" ? "0" : decimal);
    if (price <= PRICE_MAX) return formatNano(price);
  } catch {
    // Said below, for both.
  }
  throw invalid(field, "has to be a decimal number from 0 to 10000 with at most nine places");
}

function invalid(field: string, problem: string): AppError {
  return new AppError("invalid_argument", `${field}: ${problem}`, { details: { field } });
}
