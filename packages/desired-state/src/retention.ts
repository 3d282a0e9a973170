import { KINDS, NAME_PATTERN } from "@tollgate/contracts";
import { z } from "zod";
import { number } from "./scalars.ts";

/** Seven years, leap days included. */
export const RETENTION_DAYS_DEFAULT = 2_557;
/** A hundred years: more than that is a slip. */
const DAYS_MAX = 36_525;
const RULES_MAX = 1_000;

const ruleSchema = z.strictObject({
  tenant: z.string().regex(NAME_PATTERN, "has to be 1 to 63 of a-z, 0-9 and inner -").optional(),
  kind: z.enum(KINDS).optional(),
  days: number(z.number().int().min(1).max(DAYS_MAX)),
});
export const retentionSchema = z
  .array(ruleSchema)
  .max(RULES_MAX)
  .superRefine((rules, context) => {
    const seen = new Set<string>();
    for (const [at, { tenant, kind }] of rules.entries()) {
      const key = `${tenant ?? ""}/${kind ?? ""}`;
      if (seen.has(key))
        context.addIssue({ code: "custom", path: [at], message: "is for the same events as another one" });
      seen.add(key);
    }
  })
  .default([]);

/** How long the record keeps events. */
export interface DesiredRetention {
  /** Empty: every tenant's. */
  readonly tenant: string;
  /** Empty: every kind. */
  readonly kind: string;
  readonly days: number;
}

export const RETENTION_KEYS = { "audit.retention": Object.keys(ruleSchema.shape) };

export function toRetention(rules: z.infer<typeof retentionSchema>): DesiredRetention[] {
  return rules.map(({ tenant = "", kind = "", days }) => ({ tenant, kind, days }));
}

/** The most specific rule's days: a tenant's own before one of a kind. */
export function retentionDays(rules: readonly DesiredRetention[], chain: { tenant: string; kind: string }): number {
  const fitting = (tenant: string, kind: string) => rules.find((each) => each.tenant === tenant && each.kind === kind);
  const { tenant, kind } = chain;
  const rule = fitting(tenant, kind) ?? fitting(tenant, "") ?? fitting("", kind) ?? fitting("", "");
  return rule?.days ?? RETENTION_DAYS_DEFAULT;
}
