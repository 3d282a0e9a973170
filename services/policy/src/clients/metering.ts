import { setTimeout as delay } from "node:timers/promises";
import { meteringV1 } from "@tollgate/contracts";
import type { DesiredLimit } from "@tollgate/desired-state";
import { callUnary, type Life, type Log, openGrpcClient, serviceMetadata } from "@tollgate/service";
import { budgetKeyOf, isOfTenants, meteredBy } from "../domain/limits.ts";
import type { BudgetFigures, Spent } from "../domain/budgets.ts";
import { nanoOf } from "../domain/money.ts";
import { periodOf } from "../domain/periods.ts";

const TIMEOUT_MS = 5_000;
const POLL_INTERVAL_MS = 5_000;
/** How often it is looked whether there is a new budget. */
const LOOK_INTERVAL_MS = 500;
/** When metering has not said for this long what was spent up to then, it is not known. */
export const SPENT_KNOWN_MS = 60_000;
/** As many as metering answers. Those who have spent most come first. */
const ROWS_MAX = 10_000;

/** What was spent under budgets, as far as metering has told lately. */
export interface Spending {
  /** Of the budget's current period, in billionths. Undefined where that is not known. */
  spent(limit: DesiredLimit, key: string): bigint | undefined;
}

interface Figures extends BudgetFigures {
  readonly askedAtMs: number;
  /** Up to then every call is counted. Like askedAtMs by this process's own clock. */
  readonly countedAtMs: number;
  /** Unix milliseconds. */
  readonly periodEndsAtMs: number;
}

/** @param options.address empty: there is no metering, and nothing is known */
export function openSpending(options: {
  readonly address: string;
  readonly serviceKey: string;
  readonly budgets: () => readonly DesiredLimit[];
  /** Hears of new figures; when it fails it hears of the next ones. */
  readonly onFigures: (figures: BudgetFigures) => Promise<void>;
  readonly life: Life;
  readonly log: Log;
}): Spending {
  const { address, serviceKey, budgets, onFigures, life, log } = options;
  const figures = new Map<string, Figures>();
  /** Told of in the log. */
  const unread = new Set<string>();
  const spending: Spending = {
    spent(limit, key) {
      const known = figures.get(limit.name);
      if (known?.limit !== limit || performance.now() - known.countedAtMs > SPENT_KNOWN_MS) return undefined;
      return Date.now() < known.periodEndsAtMs ? (known.byKey.get(key)?.nano ?? 0n) : undefined;
    },
  };
  if (address === "") return spending;

  const client = openGrpcClient(meteringV1.MeteringServiceClient, { address, name: "metering", life });
  const unary = { metadata: serviceMetadata(serviceKey), timeoutMs: TIMEOUT_MS, service: "metering" };

  /** What was counted stays counted: metering's answer may speak of an earlier time than the one before it. */
  function countedAt(limit: DesiredLimit, { askedAtMs, asOfMs }: { askedAtMs: number; asOfMs: bigint }): number {
    const known = figures.get(limit.name);
    const countedAtMs = askedAtMs - Math.max(0, Date.now() - Number(asOfMs));
    return known?.limit === limit ? Math.max(known.countedAtMs, countedAtMs) : countedAtMs;
  }

  async function read(limit: DesiredLimit): Promise<void> {
    const period = periodOf(limit.budget!.period, limit.timezone, Date.now());
    const askedAtMs = performance.now();
    const fromMs = BigInt(period.beginsAtMs);
    const asked = {
      tenant: "",
      fromMs,
      toMs: 0n,
      groupBy: meteredBy(limit),
      limit: ROWS_MAX,
      step: "",
      filter: {},
      rating: 0,
    };
    const { rows, total, currency, asOfMs } = await callUnary(client.getUsage.bind(client), asked, unary);
    const byKey = new Map<string, Spent>();
    // Without anything to group by the total is the only row.
    for (const row of asked.groupBy.length === 0 && total ? [total] : rows) {
      const key = budgetKeyOf(limit, row.key);
      if (key === undefined) continue;
      const nano = (byKey.get(key)?.nano ?? 0n) + nanoOf(row.cost);
      byKey.set(key, { nano, tenant: isOfTenants(limit) ? (row.key["tenant"] ?? "") : "" });
    }
    const { beginsAtMs: periodFrom, endsAtMs: periodEndsAtMs } = period;
    const countedAtMs = countedAt(limit, { askedAtMs, asOfMs });
    const known = { limit, byKey, currency, periodFrom, askedAtMs, countedAtMs, periodEndsAtMs };
    figures.set(limit.name, known);
    await onFigures(known).catch((error: unknown) =>
      log.warn({ err: error, budget: limit.name }, "thresholds of a budget cannot be told of yet"),
    );
  }

  /** A budget that is new, or whose period has begun anew, is not kept waiting for the next poll. */
  function isDue(limit: DesiredLimit): boolean {
    const known = figures.get(limit.name);
    if (known?.limit !== limit || Date.now() >= known.periodEndsAtMs) return true;
    return performance.now() - known.askedAtMs >= POLL_INTERVAL_MS;
  }

  async function poll(): Promise<void> {
    const wanted = budgets();
    for (const name of figures.keys()) if (!wanted.some((limit) => limit.name === name)) figures.delete(name);
    // One that metering does not answer keeps none behind it waiting.
    for (const limit of wanted.filter(isDue)) await read(limit).then(() => unread.delete(limit.name), warnOf(limit));
  }

  function warnOf({ name }: DesiredLimit): (error: unknown) => void {
    return (error) => {
      if (!unread.has(name) && !life.signal.aborted)
        log.warn({ err: error, budget: name }, "metering does not say what was spent");
      unread.add(name);
    };
  }

  async function follow(): Promise<void> {
    while (!life.signal.aborted) {
      await poll();
      await delay(LOOK_INTERVAL_MS, undefined, { signal: life.signal }).catch(() => undefined);
    }
  }
  void follow();
  return spending;
}
