import { type BudgetEvent, INSTALLATION_TENANT } from "@tollgate/contracts";
import { type DesiredLimit, thresholdsOf } from "@tollgate/desired-state";
import { decimalOf, nanoOf } from "./money.ts";

/** What was spent under one key of a budget. */
export interface Spent {
  /** Billionths. */
  readonly nano: bigint;
  /** Whose it is; empty where it is all tenants' together. */
  readonly tenant: string;
}

/** What metering says of a budget's current period. */
export interface BudgetFigures {
  readonly limit: DesiredLimit;
  readonly byKey: ReadonlyMap<string, Spent>;
  readonly currency: string;
  /** Unix milliseconds. */
  readonly periodFrom: number;
}

/** One threshold that was passed. */
export interface Crossing extends Omit<BudgetEvent, "v" | "kind" | "id" | "endedAt"> {
  /** As decisions name it. */
  readonly limitKey: string;
}

/** Percent, rising. */
export function crossedThresholds({ budget }: DesiredLimit, { nano }: Spent): number[] {
  if (budget === undefined || nano === 0n) return [];
  const amount = nanoOf(budget.amount);
  return thresholdsOf(budget).filter((percent) => nano * 100n >= amount * BigInt(percent));
}

export function crossingOf(
  { limit, currency, periodFrom }: BudgetFigures,
  { limitKey, spent, threshold }: { readonly limitKey: string; readonly spent: Spent; readonly threshold: number },
): Crossing {
  const { name: budget } = limit;
  const { period } = limit.budget!;
  // However it was written.
  const amount = decimalOf(nanoOf(limit.budget!.amount));
  const key = shownKey(limitKey);
  const total = decimalOf(spent.nano);
  const by = key === "" ? "" : ` by ${key}`;
  const reason = `${threshold} % of the budget "${budget}" are spent${by}: ${total} of ${amount} ${currency} a ${period}`;
  const tenant = spent.tenant === "" ? INSTALLATION_TENANT : spent.tenant;
  return { tenant, budget, key, limitKey, threshold, spent: total, amount, currency, periodFrom, reason };
}

/** `budget|money|acme%2Fpayments` is acme/payments. */
function shownKey(limitKey: string): string {
  return limitKey.split("|").slice(2).map(decodeURIComponent).join(" ");
}
