import { meteringV1 } from "@tollgate/contracts";
import { z } from "zod";
import type { Cell } from "./csv.ts";
import { pageQuery } from "./api-pages.ts";
import { isoOrNull } from "./api-schemas.ts";

const FILTER_MAX_CHARS = 2_048;
const TEXT_MAX_CHARS = 500;
const TIERS_MAX = 20;
/** The last time of a JavaScript date. */
const TIME_MAX_MS = 8_640_000_000_000_000;
const GROUP_BY_MAX_CHARS = 128;
export const ROWS_MAX = 10_000;
const GROUP_KEYS = "tenant, team, principal, user, agent, group, server, tool";

const count = z.number().int().nonnegative();
const decimal = z.string().max(32);
const milliseconds = z.number().int().nonnegative().max(TIME_MAX_MS);
const time = (description: string) =>
  z
    .union([
      z.iso.datetime({ offset: true }).transform((text) => Date.parse(text)),
      milliseconds,
      z
        .string()
        .regex(/^\d{1,16}$/)
        .transform(Number)
        .pipe(milliseconds),
    ])
    .optional()
    .meta({ description: `${description}: ISO 8601 with an offset, or Unix milliseconds` });
const filter = (description: string) => z.string().max(FILTER_MAX_CHARS).optional().meta({ description });
const ratingVersion = z.coerce
  .number()
  .int()
  .nonnegative()
  .max(2 ** 31 - 1)
  .default(0)
  .meta({ description: "A rating that is done; 0, or none: as calls were priced when they were recorded" });
const format = z.enum(["json", "csv"]).optional().meta({ description: "Else as Accept says: text/csv, or JSON" });
const groupBy = z
  .string()
  .max(GROUP_BY_MAX_CHARS)
  .optional()
  .meta({ description: `Any of ${GROUP_KEYS}; separated by commas`, examples: ["team,tool"] });

/** Strict: a filter that is not known, left out in silence, would show more than was asked for. */
export const usageQuery = z
  .strictObject({
    from: time("Inclusive"),
    to: time("Exclusive"),
    step: z.enum(["hour", "day", "month"]).optional().meta({ description: "Of UTC: sums for each, instead of one" }),
    groupBy,
    group_by: groupBy.meta({ description: "The same as groupBy" }),
    tenant: z.string().max(128).default("").meta({ description: "Empty: every tenant that the caller may see" }),
    team: filter("Only this team"),
    principal: filter("Only this principal, such as user:alice or token:ci"),
    user: filter("Only this user"),
    agent: filter("Only this agent"),
    group: filter("Only servers of this group"),
    server: filter("Only this server"),
    tool: filter("Only this tool, prompt or resource"),
    rating: ratingVersion,
    format,
    limit: z.coerce
      .number()
      .int()
      .min(1)
      .max(ROWS_MAX)
      .optional()
      .meta({ description: "Rows; 1,000 where it is not said. A CSV file has all of 10,000, or there is none" }),
  })
  .refine((query) => query.groupBy === undefined || query.group_by === undefined, {
    path: ["group_by"],
    message: "is the same as groupBy: one of them is enough",
  });
export type UsageQuery = z.infer<typeof usageQuery>;

const FILTERS = ["team", "principal", "user", "agent", "group", "server", "tool"] as const;

/** @param tenant whose usage the caller is shown */
export function toUsageRequest(query: UsageQuery, tenant: string): meteringV1.GetUsageRequest {
  const filters = FILTERS.flatMap((name) => (query[name] === undefined ? [] : [[name, query[name]] as const]));
  return {
    tenant,
    fromMs: BigInt(query.from ?? 0),
    toMs: BigInt(query.to ?? 0),
    step: query.step ?? "",
    groupBy: (query.groupBy ?? query.group_by ?? "").split(",").filter((each) => each !== ""),
    filter: Object.fromEntries(filters),
    rating: query.rating,
    limit: query.limit ?? 0,
  };
}

const sums = {
  calls: count,
  errors: count.meta({ description: "Calls that ended otherwise than ok" }),
  durationMs: count.meta({ description: "Wall time in servers" }),
  cpuMs: count.meta({ description: "CPU time of server processes" }),
  requestBytes: count,
  responseBytes: count,
  downstreamCalls: count.meta({ description: "Requests that servers were handed" }),
  coldStarts: count.meta({ description: "Calls that waited for a start" }),
  cost: decimal.meta({ description: "A decimal number in the answer's currency" }),
};
const usageRow = z.object({
  key: z.record(z.string(), z.string()),
  from: z.string().nullable().meta({ description: "At which the step begins; null without one" }),
  ...sums,
});
const currency = z.string().meta({ description: "ISO 4217" });
export const usage = z.object({
  items: z.array(usageRow).meta({ description: "By step, then the dearest first" }),
  total: usageRow.meta({ description: "Of all, also of what is beyond the limit" }),
  currency,
  more: z.boolean().meta({ description: "There are more rows than limit" }),
  asOf: z.string().nullable().meta({ description: "Up to when all calls are counted" }),
});

export function toUsage(answer: meteringV1.GetUsageResponse): z.infer<typeof usage> {
  const { currency: unit, more, asOfMs } = answer;
  const total = toUsageRow(answer.total!);
  return { items: answer.rows.map(toUsageRow), total, currency: unit, more, asOf: isoOrNull(asOfMs) };
}

function toUsageRow(row: meteringV1.UsageRow): z.infer<typeof usageRow> {
  return {
    key: row.key,
    from: isoOrNull(row.fromMs),
    calls: Number(row.calls),
    errors: Number(row.errors),
    durationMs: Number(row.durationMs),
    cpuMs: Number(row.cpuMs),
    requestBytes: Number(row.requestBytes),
    responseBytes: Number(row.responseBytes),
    downstreamCalls: Number(row.downstreamCalls),
    coldStarts: Number(row.coldStarts),
    cost: row.cost,
  };
}

const SUM_NAMES = Object.keys(sums) as (keyof typeof sums)[];

/** A table of the rows, without the total. */
export function usageTable(
  { items, currency: unit }: z.infer<typeof usage>,
  { groupBy: keys, step }: Pick<meteringV1.GetUsageRequest, "groupBy" | "step">,
): { columns: string[]; rows: Cell[][] } {
  const steps = step === "" ? [] : ["from"];
  return {
    columns: [...steps, ...keys, ...SUM_NAMES, "currency"],
    rows: items.map((row) => [
      ...(step === "" ? [] : [row.from]),
      ...keys.map((key) => row.key[key]),
      ...SUM_NAMES.map((name) => row[name]),
      unit,
    ]),
  };
}

export const chargebackQuery = z.strictObject({
  month: z
    .string()
    .regex(/^\d{4}-\d{2}$/, "has to be such as 2026-11")
    .meta({ description: "Of UTC", examples: ["2026-11"] }),
  tenant: z.string().max(128).default("").meta({ description: "Empty: every tenant that the caller may see" }),
  rating: ratingVersion,
  format,
});
const chargebackLine = z.object({
  tenant: z.string(),
  team: z.string(),
  calls: count,
  amount: decimal.meta({ description: "With two decimals: amounts sum to the total to the cent" }),
  cost: decimal.meta({ description: "As it was before rounding" }),
});
export const chargeback = z.object({
  month: z.string(),
  lines: z.array(chargebackLine),
  total: decimal,
  currency,
  final: z.boolean().meta({ description: "The month is over, and every call of it is counted" }),
});

export function toChargeback(month: string, answer: meteringV1.GetChargebackResponse): z.infer<typeof chargeback> {
  const lines = answer.lines.map(({ calls, ...line }) => ({ ...line, calls: Number(calls) }));
  return { month, lines, total: answer.total, currency: answer.currency, final: answer.final };
}

export function chargebackTable(answer: z.infer<typeof chargeback>): { columns: string[]; rows: Cell[][] } {
  return {
    columns: ["month", "tenant", "team", "calls", "amount", "cost", "currency", "final"],
    rows: answer.lines.map(({ tenant, team, calls, amount, cost }) => [
      answer.month,
      tenant,
      team,
      calls,
      amount,
      cost,
      answer.currency,
      answer.final,
    ]),
  };
}

const name = z.string().max(TEXT_MAX_CHARS);
const price = decimal.default("");
const tier = z.strictObject({
  upTo: z
    .number()
    .int()
    .positive()
    .optional()
    .meta({ description: "Calls of the tenant in the calendar month (UTC), inclusive; absent on the last tier" }),
  perCall: decimal,
});
export const rateCardBody = z
  .strictObject({
    id: name.meta({ examples: ["default"] }),
    currency: name.default("USD").meta({ description: "ISO 4217; one for the whole installation" }),
    validFrom: time("From now on where it is not said"),
    tenant: name.default("").meta({ description: "Only for its calls" }),
    group: name.default(""),
    server: name.default(""),
    tool: z.string().max(FILTER_MAX_CHARS).default(""),
    perCall: price.meta({ description: "A decimal number as a text, with at most nine places", examples: ["0.001"] }),
    perSecond: price.meta({ description: "Of wall time in the server" }),
    perCpuSecond: price,
    perMegabyte: price.meta({ description: "1,000,000 bytes of request and response together" }),
    perColdStart: price.meta({ description: "Shared in equal parts by the calls that waited for the start" }),
    tiers: z.array(tier).max(TIERS_MAX).default([]).meta({ description: "In the place of perCall, graduated" }),
    rerate: z
      .boolean()
      .default(false)
      .meta({ description: "Where it is valid from a time of which calls are recorded: price them anew" }),
  })
  .meta({
    description: "A new version of a card; what is not said is 0, or for any",
    examples: [{ id: "default", currency: "USD", perCall: "0.001", perSecond: "0.0005" }],
  });

export function toNewCard(body: z.infer<typeof rateCardBody>, createdBy: string): meteringV1.RateCard {
  const { validFrom = 0, tiers, rerate: _rerate, ...rest } = body;
  return meteringV1.RateCard.fromPartial({
    ...rest,
    createdBy,
    validFromMs: BigInt(validFrom),
    tiers: tiers.map(({ upTo = 0, perCall }) => ({ upTo: BigInt(upTo), perCall })),
  });
}

const rateCard = z.object({
  id: z.string(),
  version: count,
  currency,
  validFrom: z.string(),
  tenant: z.string(),
  group: z.string(),
  server: z.string(),
  tool: z.string(),
  perCall: z.string(),
  perSecond: z.string(),
  perCpuSecond: z.string(),
  perMegabyte: z.string(),
  perColdStart: z.string(),
  tiers: z.array(z.object({ upTo: count.nullable(), perCall: z.string() })),
  createdBy: z.string(),
  createdAt: z.string().nullable(),
});

export function toRateCard({
  validFromMs,
  createdAtMs,
  tiers,
  ...card
}: meteringV1.RateCard): z.infer<typeof rateCard> {
  return {
    ...card,
    validFrom: new Date(Number(validFromMs)).toISOString(),
    createdAt: isoOrNull(createdAtMs),
    tiers: tiers.map(({ upTo, perCall }) => ({ upTo: upTo === 0n ? null : Number(upTo), perCall })),
  };
}

export const ratingBody = z
  .strictObject({
    tenant: name.default("").meta({ description: "Empty: every tenant" }),
    from: time("Inclusive"),
    to: time("Exclusive; not after now"),
    reason: name.min(1),
  })
  .meta({
    examples: [
      {
        from: "2026-11-01T00:00:00Z",
        to: "2026-11-15T00:00:00Z",
        reason: "The contract holds from the first of the month",
      },
    ],
  });
export const rating = z.object({
  version: count.meta({ description: "What usage and chargeback take as rating" }),
  tenant: z.string(),
  from: z.string(),
  to: z.string(),
  reason: z.string(),
  by: z.string(),
  status: z.string().meta({ description: "running, done or failed" }),
  calls: count.meta({ description: "That are priced so far" }),
  costBefore: z.string(),
  costAfter: z.string(),
  startedAt: z.string().nullable(),
  endedAt: z.string().nullable(),
});

export function toRating(given: meteringV1.Rating): z.infer<typeof rating> {
  const { fromMs, toMs, calls, startedAtMs, endedAtMs, ...rest } = given;
  return {
    ...rest,
    from: new Date(Number(fromMs)).toISOString(),
    to: new Date(Number(toMs)).toISOString(),
    calls: Number(calls),
    startedAt: isoOrNull(startedAtMs),
    endedAt: isoOrNull(endedAtMs),
  };
}

export const rateCardQuery = z.object(
  pageQuery(
    ["id", "version", "validFrom", "tenant", "group", "server", "tool", "createdAt", "createdBy"],
    "id,version",
  ),
);
export const rateCards = z.object({ items: z.array(rateCard), nextCursor: z.string().nullable() });
export const newRateCard = rateCard.extend({
  rating: rating.nullable().meta({ description: "That was started for it, where one was asked for and needed" }),
});
export const ratingQuery = z.object({
  tenant: z.string().max(128).default(""),
  ...pageQuery(["version", "tenant", "from", "to", "by", "status", "calls", "startedAt", "endedAt"], "-version"),
});
export const ratings = z.object({
  items: z.array(rating).meta({ description: "Newest first" }),
  nextCursor: z.string().nullable(),
});
