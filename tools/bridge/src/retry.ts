const firstWaitMs = 250;
/** No wait between two attempts is longer; a Retry-After beyond it is passed to the client instead. */
export const retryWaitMsMax = 30_000;

/** A server that asks to be called back at once is not called in a tight loop. */
const reconnectWaitMsMin = 50;

/** The wait before retry number `attempt` (from 1): it grows by `base` each time, and half of it is chance, so that clients spread. */
export function retryWaitMs(options: { attempt: number; base: number; random: number }): number {
  const full = Math.min(firstWaitMs * options.base ** (options.attempt - 1), retryWaitMsMax);
  return full * (0.5 + options.random / 2);
}

/** The wait before a lost stream is asked for again: as long as its server has said, within bounds. */
export function reconnectWaitMs(retryMs: number | undefined, options: { attempt: number; base: number }): number {
  if (retryMs === undefined) return retryWaitMs({ ...options, random: Math.random() });
  return Math.min(Math.max(retryMs, reconnectWaitMsMin), retryWaitMsMax);
}

/** A Retry-After header in milliseconds: seconds or an HTTP date (RFC 9110, section 10.2.3). */
export function parseRetryAfterMs(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d+$/.test(value.trim())) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs);
}
