import type { Recordable } from "@tollgate/contracts";
import { z } from "zod";
import { recordable, toRecordable } from "./recordable.ts";
import { boolean, number } from "./scalars.ts";

/** Those that can demand something of a call beside its policies. */
const DEMANDING_RISKS = ["MEDIUM", "HIGH", "CRITICAL"] as const;
export type DemandingRisk = (typeof DEMANDING_RISKS)[number];

const APPROVALS_MAX = 5;
const TIMEOUT_MAX_SECONDS = 86_400;

/** `least`: a level never needs fewer people than make it what it is. */
function levelSchema(defaults: { least: number; justification: boolean; accessSeconds: number }) {
  const { least, justification, accessSeconds } = defaults;
  return z.strictObject({
    approvals: number(z.number().int().min(least).max(APPROVALS_MAX)).default(least),
    justification: boolean.default(justification),
    access_seconds: number(z.number().int().min(1).max(TIMEOUT_MAX_SECONDS)).default(accessSeconds),
    record: recordable.default([]),
  });
}

const levels = {
  MEDIUM: levelSchema({ least: 0, justification: false, accessSeconds: 3_600 }),
  HIGH: levelSchema({ least: 1, justification: true, accessSeconds: 3_600 }),
  CRITICAL: levelSchema({ least: 2, justification: true, accessSeconds: 900 }),
};

export const riskLevelsSchema = z.strictObject({
  approval_timeout: number(z.number().int().min(1).max(TIMEOUT_MAX_SECONDS)).default(3_600),
  MEDIUM: levels.MEDIUM.prefault({}),
  HIGH: levels.HIGH.prefault({}),
  CRITICAL: levels.CRITICAL.prefault({}),
});

export const RISK_KEYS: Readonly<Record<string, readonly string[]>> = {
  risk_levels: Object.keys(riskLevelsSchema.shape),
  ...Object.fromEntries(
    Object.entries(levels).map(([level, { shape }]) => [`risk_levels.${level}`, Object.keys(shape)]),
  ),
};

/** What a call of a tool of this risk demands. */
export interface DesiredRiskLevel {
  /** So many people have to approve of it, none of them who calls; 0: nobody. */
  readonly approvals: number;
  /** They are told why. */
  readonly justification: boolean;
  /** How long the same call may be made once it is approved. */
  readonly accessMs: number;
  /** What of it is kept whole. */
  readonly record: readonly Recordable[];
}

export interface DesiredRiskLevels {
  /** How long a request for approval stays open. */
  readonly approvalTimeoutMs: number;
  readonly levels: Readonly<Record<DemandingRisk, DesiredRiskLevel>>;
}

export function toRiskLevels(parsed: z.infer<typeof riskLevelsSchema>): DesiredRiskLevels {
  const { approval_timeout, MEDIUM, HIGH, CRITICAL } = parsed;
  return {
    approvalTimeoutMs: approval_timeout * 1_000,
    levels: { MEDIUM: toLevel(MEDIUM), HIGH: toLevel(HIGH), CRITICAL: toLevel(CRITICAL) },
  };
}

function toLevel({ access_seconds, record, ...level }: z.infer<typeof levels.HIGH>): DesiredRiskLevel {
  return { ...level, accessMs: access_seconds * 1_000, record: toRecordable(record) };
}

export const DEFAULT_RISK_LEVELS: DesiredRiskLevels = toRiskLevels(riskLevelsSchema.parse({}));
