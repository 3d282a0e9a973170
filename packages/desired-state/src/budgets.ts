import type { Parsed } from "@tollgate/contracts";
import { z } from "zod";
import type { Mistake } from "./document.ts";
import { fillPlaceholders, type ReadSecret } from "./placeholders.ts";
import { number } from "./scalars.ts";

// How much may be spent, and who is told before all of it is. Messages never repeat a value.

const DEFAULT_THRESHOLDS = [50, 80, 100];
const THRESHOLDS_MAX = 10;
const PERCENT_MAX = 1_000;
const TEXT_MAX_CHARS = 2_000;
const HEADERS_MAX = 20;
const HEADER = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$/;
/** Those that say what is sent, and how: they are the sender's own. */
const OWN_HEADER = /^(content-.*|host|connection|transfer-encoding|te|upgrade|expect|x-tollgate-.*)$/i;
/**
 * Limits can be made through the API, and by whoever may make them any address may be given: so that no other secret
 * leaves this way, only those that are named for it can.
 */
const REFERENCE = /\$\$\{|\$\{secret:webhook-[A-Za-z0-9_.-]{1,100}\}/g;
const REFERENCE_MESSAGE = "has a ${ that is no ${secret:webhook-NAME}: only secrets of such names are sent";

/** Stays as written, in memory and in the database: what it refers to is read when it is sent. */
const referring = z
  .string()
  .min(1, "is empty")
  .max(TEXT_MAX_CHARS, `is longer than ${TEXT_MAX_CHARS} characters`)
  .refine((text) => !text.replaceAll(REFERENCE, "").includes("${"), REFERENCE_MESSAGE)
  .refine((text) => !/[\r\n]/.test(text), "has a line break");

function isHttpUrl(text: string): boolean {
  const filled = text.replaceAll(REFERENCE, "x");
  return URL.canParse(filled) && ["http:", "https:"].includes(new URL(filled).protocol);
}

const headerName = z
  .string()
  .regex(HEADER, "is not the name of a header")
  .refine((name) => !OWN_HEADER.test(name), "is a header that is set here");

const webhookSchema = z.strictObject({
  url: referring.refine((text) => text.startsWith("${") || isHttpUrl(text), "has to be an http or https URL"),
  headers: z
    .record(headerName, referring)
    .refine((headers) => Object.keys(headers).length <= HEADERS_MAX, `has more than ${HEADERS_MAX} entries`)
    .default({}),
  secret: referring.optional(),
});

export const budgetSchema = z.strictObject({
  amount: z.preprocess(
    (value) => (typeof value === "number" ? String(value) : value),
    z.string().regex(/^\d{1,12}(\.\d{1,6})?$/, 'has to be an amount such as "12.50"'),
  ),
  period: z.enum(["day", "month"], "has to be day or month"),
  thresholds: z
    .array(number(z.number().int().min(1).max(PERCENT_MAX)))
    .max(THRESHOLDS_MAX, `has more than ${THRESHOLDS_MAX} entries`)
    .default(DEFAULT_THRESHOLDS)
    .transform((percents) => [...new Set(percents)].toSorted((a, b) => a - b)),
  webhook: webhookSchema.optional(),
});

export interface DesiredWebhook {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** What requests are signed with. */
  readonly secret?: string;
}

export interface DesiredBudget {
  /** A decimal number in the meter's currency. */
  readonly amount: string;
  readonly period: "day" | "month";
  /** Percent of the amount, rising: whoever passes one is told of. */
  readonly thresholds: readonly number[];
  /** As written: `${secret:webhook-NAME}` in it is filled when it is used. */
  readonly webhook?: DesiredWebhook;
}

/** Without keys that have no value. */
export function toBudget({ webhook, ...budget }: z.infer<typeof budgetSchema>): DesiredBudget {
  if (webhook === undefined) return budget;
  const { secret, ...rest } = webhook;
  return { ...budget, webhook: { ...rest, ...(secret === undefined ? {} : { secret }) } };
}

/** Limits that were stored before there were thresholds have none. */
export function thresholdsOf({ thresholds }: Partial<DesiredBudget>): readonly number[] {
  return thresholds ?? DEFAULT_THRESHOLDS;
}

export const BUDGET_KEYS: Readonly<Record<string, readonly string[]>> = {
  "limits.budget": Object.keys(budgetSchema.shape),
  "limits.budget.webhook": Object.keys(webhookSchema.shape),
};

/** A part of a webhook with its secrets. The reason of a refusal says what to do, and no value. */
export function fillSecrets(text: string, readSecret: ReadSecret): Parsed<string> {
  const mistakes: Mistake[] = [];
  const values = { env: {}, readSecret };
  const value = fillPlaceholders(text, { path: [], values, filled: [], mistakes }) as string;
  return mistakes[0] === undefined ? { ok: true, value } : { ok: false, reason: mistakes[0].message };
}
