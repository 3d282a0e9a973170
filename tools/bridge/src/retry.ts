const firstWaitMs = 250;
/** No wait between two attempts is longer; a Retry-After beyond it is passed to the client instead. */
export const retryWaitMsMax = 30_000;

/** The wait before retry number `attempt` (from 1): it grows by `base` each time, and half of it is chance, so that clients spread. */
export function retryWaitMs(options: { attempt: number; base: number; random: number }): number {
  const full = Math.min(firstWaitMs * options.base ** (options.attempt - 1), retryWaitMsMax);
  return full * (0.5 + options.random / 2);
}

/** A Retry-After header in milliseconds: seconds or an HTTP date (RFC 9110, section 10.2.3). */
export function parseRetryAfterMs(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d+$/.test(value.trim())) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs);
}
