import { setTimeout as delay } from "node:timers/promises";
import type { Parsed } from "@tollgate/contracts";
import { type DesiredWebhook, fillSecrets, type secretsFrom } from "@tollgate/desired-state";
import type { Life, Log, Pool } from "@tollgate/service";
import { sendWebhook, WEBHOOK_TIMEOUT_MS } from "../clients/webhook.ts";
import type { PolicyMetrics } from "../metrics.ts";
import { claimWebhook, deleteWebhook, postponeWebhook } from "../store/budgets.ts";
import type { Authority } from "./authority.ts";

const LOOK_INTERVAL_MS = 1_000;
/** A try is over by then, or whoever has made it is gone. */
const LEASE_MS = WEBHOOK_TIMEOUT_MS + 5_000;
const LAST_TRY_MS = 3_000;
const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 15 * 60_000;
/** About a day. */
const ATTEMPTS_MAX = 100;

type ReadSecret = ReturnType<typeof secretsFrom>;

/** Makes the requests that wait, each until its receiver takes it, at most for about a day. At least once, that is. */
export function keepWebhooks(options: {
  readonly pool: Pool;
  readonly authority: Authority;
  readonly readSecret: ReadSecret;
  readonly metrics: PolicyMetrics;
  readonly life: Life;
  readonly log: Log;
}): void {
  const { pool, authority, readSecret, metrics, life, log } = options;

  /** False when there is none whose turn it is. */
  async function sendNext(): Promise<boolean> {
    const next = await claimWebhook(pool, LEASE_MS);
    if (next === undefined) return false;
    const { id, budget, body, attempts } = next;
    const webhook = authority.current().limits.byName.get(budget)?.budget?.webhook;
    // The budget is gone, or tells nobody any more.
    if (webhook === undefined) return deleteWebhook(pool, id).then(() => true);
    const filled = fill(webhook, readSecret);
    const sent = filled.ok ? await sendWebhook(filled.value, { id, body, nowMs: Date.now() }) : filled;
    metrics.webhooks.inc({ result: sent.ok ? "taken" : "refused" });
    if (sent.ok) return deleteWebhook(pool, id).then(() => true);
    const isLast = attempts >= ATTEMPTS_MAX;
    const retryMs = Math.min(RETRY_MIN_MS * 2 ** Math.min(attempts - 1, 20), RETRY_MAX_MS);
    const about = { budget, delivery: id, attempts, reason: sent.reason };
    if (isLast) log.error(about, "a budget's webhook was given up");
    else log.warn({ ...about, retryMs }, "a budget's webhook was not taken; trying again");
    await (isLast ? deleteWebhook(pool, id) : postponeWebhook(pool, id, retryMs));
    return true;
  }

  async function follow(): Promise<void> {
    while (!life.signal.aborted) {
      const isMore = await sendNext().catch((error: unknown) => {
        if (!life.signal.aborted) log.warn({ err: error }, "webhooks of budgets wait for the database");
        return false;
      });
      if (!isMore) await delay(LOOK_INTERVAL_MS, undefined, { signal: life.signal }).catch(() => undefined);
    }
  }
  const following = follow();
  // One that is under way is let finish: a receiver that has taken it should not get it again.
  life.onClose("webhooks", LAST_TRY_MS, () => following);
}

function fill({ url, headers, secret }: DesiredWebhook, readSecret: ReadSecret): Parsed<DesiredWebhook> {
  const names = Object.keys(headers);
  const texts = [url, ...Object.values(headers), ...(secret === undefined ? [] : [secret])];
  const values: string[] = [];
  for (const text of texts) {
    const filled = fillSecrets(text, readSecret);
    if (!filled.ok) return filled;
    values.push(filled.value);
  }
  const [first, ...rest] = values;
  const filledHeaders = Object.fromEntries(names.map((name, at) => [name, rest[at]!]));
  return {
    ok: true,
    value: { url: first!, headers: filledHeaders, ...(secret === undefined ? {} : { secret: rest[names.length]! }) },
  };
}
