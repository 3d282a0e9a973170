import { type Lane, LANES, type registryV1 } from "@tollgate/contracts";

/** What a tenant's plan gives it in one gateway. */
export interface Plan {
  readonly lane: Lane;
  /** Its share among the tenants of its lane, a whole number from 1. */
  readonly weight: number;
  /** Calls under way, and calls that wait until fewer are. */
  readonly max: number;
  readonly waiting: number;
}

/** The gateway's own limits, for plans that set none. */
export type OwnLimits = Pick<Plan, "max" | "waiting">;

export type Plans = ReadonlyMap<string, Plan>;

/** The plan of everybody who is not listed. */
const ANYBODY = "";

export function toPlans(tenants: readonly registryV1.Tenant[], own: OwnLimits): Plans {
  const plans = new Map<string, Plan>([[ANYBODY, { lane: "standard", weight: 1, ...own }]]);
  for (const { id, lane, weight, maxConcurrent, maxWaiting } of tenants)
    plans.set(id, {
      lane: LANES.find((each) => each === lane) ?? "standard",
      weight: weight || 1,
      max: maxConcurrent || own.max,
      waiting: maxWaiting || own.waiting,
    });
  return plans;
}

export function planOf(plans: Plans, tenant: string): Plan {
  return plans.get(tenant) ?? plans.get(ANYBODY)!;
}
