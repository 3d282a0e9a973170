import { NAME_PATTERN } from "@tollgate/contracts";
import { z } from "zod";

const TIERS_MAX = 20;
const TOOL_MAX_CHARS = 2_048;
const PRICE_PATTERN = /^(?:0|[1-9]\d{0,4})(?:\.\d{1,9})?$/;
const PRICE_MAX = 10_000;
const PRICE = "has to be a decimal number in quotes, from 0 to 10000 with at most nine places";

const price = z
  .string(PRICE)
  .regex(PRICE_PATTERN, PRICE)
  .refine((text) => Number(text) <= PRICE_MAX, PRICE);
const name = z.string().regex(NAME_PATTERN, "has to be 1 to 63 of a-z, 0-9 and inner -");

const tier = z.strictObject({
  /** Calls of the tenant in the month, inclusive; on the last tier there is none. */
  up_to: z.number().int().positive().max(Number.MAX_SAFE_INTEGER).optional(),
  per_call: price,
});

export const rateCardSchema = z
  .strictObject({
    id: name,
    currency: z
      .string()
      .regex(/^[A-Z]{3}$/, "has to be a code of ISO 4217, such as USD")
      .default("USD"),
    valid_from: z.iso.datetime({ offset: true, error: "has to be a time such as 2026-12-01T00:00:00Z" }).optional(),
    tenant: name.optional(),
    group: name.optional(),
    server: name.optional(),
    tool: z.string().min(1, "is empty").max(TOOL_MAX_CHARS).optional(),
    per_call: price.optional(),
    per_second: price.optional(),
    per_cpu_second: price.optional(),
    per_megabyte: price.optional(),
    per_cold_start: price.optional(),
    tiers: z.array(tier).max(TIERS_MAX).default([]),
  })
  .superRefine((card, context) => {
    const fail = (path: (string | number)[], message: string) => context.addIssue({ code: "custom", path, message });
    const { tiers, per_call } = card;
    if (tiers.length > 0 && per_call !== undefined) fail(["per_call"], "cannot stand beside tiers");
    for (const [at, { up_to }] of tiers.entries()) {
      const isLast = at === tiers.length - 1;
      if (isLast !== (up_to === undefined))
        fail(["tiers", at, "up_to"], "is missing on the last tier, and on no other");
      else if (up_to !== undefined && up_to <= (tiers[at - 1]?.up_to ?? 0))
        fail(["tiers", at, "up_to"], "has to be above the one before");
    }
  });

export const RATE_CARD_KEYS = {
  rate_cards: Object.keys(rateCardSchema.shape),
  "rate_cards.tiers": Object.keys(tier.shape),
};

/** Prices of calls, as tollgate.yaml has them. Decimal numbers; what is not said is 0, or for any. */
export type DesiredRateCard = z.infer<typeof rateCardSchema>;
