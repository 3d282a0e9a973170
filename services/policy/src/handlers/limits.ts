import type { limitsV1 } from "@tollgate/contracts";
import type { DesiredLimit } from "@tollgate/desired-state";
import { AppError } from "@tollgate/errors";
import { type Life, type Log, type Pool, unary } from "@tollgate/service";
import { SPENT_KNOWN_MS, type Spending } from "../clients/metering.ts";
import { describeLimit, limitOfKey } from "../domain/limits.ts";
import { batchOf, createRates, createSlots } from "../domain/limit-permits.ts";
import { nanoOf } from "../domain/money.ts";
import { createPeriods } from "../domain/periods.ts";
import { returnQuota, sweepQuotas, takeQuota } from "../store/quotas.ts";
import type { Authority } from "./authority.ts";
import type { Dependencies, Methods } from "./dependencies.ts";

const LEASES_MAX = 1_000;
const WANTED_MAX = 10_000;
const KEY_MAX_CHARS = 1_000;
const GATEWAY_MAX_CHARS = 200;
/** Of each kind, in memory. Beyond it new ones get nothing until others are idle. */
const KEYS_MAX = 100_000;
const SWEEP_INTERVAL_MS = 10_000;
const SWEEP_DAYS_INTERVAL_MS = 3_600_000;
/** What is not known now may be known then. */
const RETRY_MS = 1_000;
/** For how long a gateway may go on under a budget without asking. */
const BUDGET_LEASE_MS = 1_000;

/** Permits that gateways use up among them. */
export interface Permits {
  lease(request: limitsV1.LeaseLimitsRequest): Promise<limitsV1.LeaseLimitsResponse>;
}

export function limitMethods({ permits, log }: Dependencies): Methods<"leaseLimits"> {
  return { leaseLimits: unary(log, (request) => permits.lease(request)) };
}

type Grant = limitsV1.LimitGrant;
const none = (reason: string, retryAfterMs: number): Grant => ({ granted: 0, leaseMs: 0, retryAfterMs, reason });

export function openPermits(options: {
  readonly pool: Pool;
  readonly authority: Authority;
  readonly spending: Spending;
  readonly life: Life;
  readonly log: Log;
}): Permits {
  const { pool, authority, spending, life, log } = options;
  const periods = createPeriods();
  const began = { beganAtMs: performance.now(), keysMax: KEYS_MAX };
  const rates = createRates(began);
  const slots = createSlots(began);
  keepSwept({ pool, life, log }, () => {
    const rateOf = (key: string) => limitOfKey(authority.current().limits, key)?.limit.rate;
    rates.sweep(rateOf, performance.now());
    slots.sweep(performance.now());
  });

  async function leaseDay(limit: DesiredLimit, asked: limitsV1.LimitLease): Promise<Grant> {
    const { key, wanted, waiting, returned } = asked;
    const nowMs = Date.now();
    const { name: day, endsAtMs } = periods("day", limit.timezone, nowMs);
    const leaseMs = Math.floor(endsAtMs - nowMs);
    if (returned > 0) await returnQuota(pool, { key, day }, returned);
    if (wanted === 0) return none("", 0);
    const taken = await takeQuota(pool, { key, day }, (before) => batchOf(limit.perDay! - before, { wanted, waiting }));
    const isOver = taken < waiting;
    const retryAfterMs = isOver ? leaseMs : 0;
    const anew = `it begins anew at ${new Date(endsAtMs).toISOString()}`;
    return { granted: taken, leaseMs, retryAfterMs, reason: isOver ? `${describeLimit("day", limit)}; ${anew}` : "" };
  }

  function leaseBudget(limit: DesiredLimit, { key, wanted }: limitsV1.LimitLease): Grant {
    const { amount, period } = limit.budget!;
    const spent = spending.spent(limit, key);
    if (spent === undefined) {
      const unknown = `what was spent is not known: metering says nothing of the last ${SPENT_KNOWN_MS / 1_000} s`;
      return none(`the limit "${limit.name}" cannot be held to: ${unknown}`, RETRY_MS);
    }
    if (spent < nanoOf(amount)) return { granted: wanted, leaseMs: BUDGET_LEASE_MS, retryAfterMs: 0, reason: "" };
    const { endsAtMs } = periods(period, limit.timezone, Date.now());
    const anew = `${describeLimit("budget", limit)}; it begins anew at ${new Date(endsAtMs).toISOString()}`;
    return none(anew, Math.ceil(endsAtMs - Date.now()));
  }

  async function leaseOne(gateway: string, asked: limitsV1.LimitLease): Promise<Grant> {
    const found = limitOfKey(authority.current().limits, asked.key);
    if (found === undefined) return none("the limits have changed", RETRY_MS);
    const { kind, limit } = found;
    if (kind === "budget") return leaseBudget(limit, asked);
    try {
      if (kind === "day") return await leaseDay(limit, asked);
    } catch (error) {
      log.warn({ err: error, limit: limit.name }, "a day's calls could not be counted");
      return none(`the limit "${limit.name}" cannot be held to: the database does not answer`, RETRY_MS);
    }
    const nowMs = performance.now();
    const grant =
      kind === "rate"
        ? rates.lease(asked.key, limit.rate!, asked, nowMs)
        : slots.lease(asked.key, limit.concurrent!, { ...asked, gateway }, nowMs);
    return { ...grant, reason: grant.retryAfterMs > 0 ? describeLimit(kind, limit) : "" };
  }

  return {
    async lease({ gateway, leases }) {
      check(gateway, leases);
      // Under the limits of this revision at the oldest: a gateway uses permits under the revision that it has asked with.
      const { revision } = authority.current();
      const grants: Grant[] = [];
      for (const asked of leases) grants.push(await leaseOne(gateway, asked));
      return { grants, revision: BigInt(revision) };
    },
  };
}

/** @throws {AppError} invalid_argument */
function check(gateway: string, leases: readonly limitsV1.LimitLease[]): void {
  if (gateway === "" || gateway.length > GATEWAY_MAX_CHARS)
    throw new AppError("invalid_argument", `gateway: has to be 1 to ${GATEWAY_MAX_CHARS} characters long`);
  if (leases.length > LEASES_MAX) throw new AppError("invalid_argument", `leases: has more than ${LEASES_MAX} entries`);
  for (const { key, wanted, waiting, held, returned } of leases) {
    if (key.length > KEY_MAX_CHARS)
      throw new AppError("invalid_argument", `leases: a key is longer than ${KEY_MAX_CHARS} characters`);
    if (Math.max(wanted, held, returned) > WANTED_MAX || waiting > wanted)
      throw new AppError("invalid_argument", `leases: wanted, held and returned are at most ${WANTED_MAX}`);
  }
}

function keepSwept({ pool, life, log }: { pool: Pool; life: Life; log: Log }, sweep: () => void): void {
  const often = setInterval(sweep, SWEEP_INTERVAL_MS);
  let sweeping: Promise<void> | undefined;
  const seldom = setInterval(() => {
    sweeping ??= sweepQuotas(pool)
      .catch((error: unknown) => log.warn({ err: error }, "days that are over could not be forgotten"))
      .finally(() => (sweeping = undefined));
  }, SWEEP_DAYS_INTERVAL_MS);
  life.onClose("limits", 2_000, async () => {
    clearInterval(often);
    clearInterval(seldom);
    await sweeping;
  });
}
