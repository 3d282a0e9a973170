import { type Lane, LANES, NAME_PATTERN } from "@tollgate/contracts";
import { z } from "zod";
import { number } from "./scalars.ts";

const WEIGHT_MAX = 100;
/** The plan of tenants that are not listed, or listed without one. */
const DEFAULT_PLAN = "default";

const name = z.string().regex(NAME_PATTERN, "has to be 1 to 63 of a-z, 0-9 and inner -");

export const planSchema = z.strictObject({
  name,
  lane: z.enum(LANES).default("standard"),
  weight: number(z.number().int().min(1).max(WEIGHT_MAX)).default(1),
  max_concurrent: number(z.number().int().positive().max(1_000_000)).optional(),
  max_waiting: number(z.number().int().positive().max(1_000_000)).optional(),
});
export const tenantSchema = z.strictObject({ id: name, plan: name.default(DEFAULT_PLAN) });

/** A tenant with what its plan gives it. */
export interface DesiredTenant {
  /** Empty: all that are not listed. */
  readonly id: string;
  readonly plan: string;
  readonly lane: Lane;
  /** Its share among the tenants of its lane, 1 to 100. */
  readonly weight: number;
  /** Calls under way in one gateway, and calls that wait there; 0 means the gateway's own limit. */
  readonly maxConcurrent: number;
  readonly maxWaiting: number;
}

/** The listed tenants, and first the one that stands for all others. */
export function toTenants(
  plans: readonly z.infer<typeof planSchema>[],
  tenants: readonly z.infer<typeof tenantSchema>[],
): DesiredTenant[] {
  const byName = new Map(plans.map((plan) => [plan.name, plan]));
  const standard = planSchema.parse({ name: DEFAULT_PLAN });
  return [{ id: "", plan: DEFAULT_PLAN }, ...tenants].map(({ id, plan }) => {
    const { lane, weight, max_concurrent, max_waiting } = byName.get(plan) ?? standard;
    return { id, plan, lane, weight, maxConcurrent: max_concurrent ?? 0, maxWaiting: max_waiting ?? 0 };
  });
}
