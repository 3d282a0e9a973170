import { AppError } from "@tollgate/errors";
import type { Log } from "@tollgate/service";
import { createLocalJWKSet, errors, type JWTVerifyGetKey, type LocalJWKSet } from "jose";
import { fetchKeys, type Issuer } from "./issuer-documents.ts";

export interface IssuerKeysBounds {
  /** How long one look at the issuer may take. */
  readonly loadTimeoutMs: number;
  /** How long a request waits for that; less than gateways wait for this service. */
  readonly waitMs: number;
  /** Keys this old are used, and looked up anew meanwhile: so long may a key live that the issuer took back. */
  readonly refreshAfterMs: number;
  /** Keys this old are not used any more: so long may the issuer be away before nobody gets in. */
  readonly keepMs: number;
  /** For so long after a look for a key that was not there, no other unknown key is looked for. */
  readonly coolDownMs: number;
  /** For so long after a look that failed, there is no other. */
  readonly retryAfterMs: number;
}

const BOUNDS: IssuerKeysBounds = {
  loadTimeoutMs: 5_000,
  waitMs: 1_500,
  refreshAfterMs: 5 * 60_000,
  keepMs: 60 * 60_000,
  coolDownMs: 30_000,
  retryAfterMs: 5_000,
};

/**
 * The keys that an issuer signs with, fetched when first needed. However many tokens come, of whatever keys, the issuer
 * is asked once at a time and within the bounds.
 *
 * What it returns throws `unavailable` where the issuer would have to be asked and cannot be: whether the token is good
 * is not known then. Whatever else it throws is about the token.
 */
export function openIssuerKeys(options: {
  readonly issuer: Issuer;
  readonly signal: AbortSignal;
  readonly log: Log;
  readonly bounds?: Partial<IssuerKeysBounds>;
}): JWTVerifyGetKey {
  const { issuer, signal, log } = options;
  const bounds = { ...BOUNDS, ...options.bounds };
  let keys: LocalJWKSet | undefined;
  let loading: Promise<void> | undefined;
  // Monotonic milliseconds.
  let loadedAt = -Infinity;
  let failedAt = -Infinity;
  let soughtAt = -Infinity;

  async function fetchAll(): Promise<void> {
    const timeout = AbortSignal.timeout(bounds.loadTimeoutMs);
    try {
      keys = createLocalJWKSet(await fetchKeys(issuer, AbortSignal.any([signal, timeout])));
      loadedAt = performance.now();
      log.info({ issuer: issuer.issuer, keys: keys.jwks().keys.length }, "the issuer's keys were fetched");
    } catch (error) {
      failedAt = performance.now();
      log.warn({ err: error, issuer: issuer.issuer }, "the issuer's keys cannot be fetched");
      throw unreachable(issuer, error);
    }
  }

  function load(): Promise<void> {
    if (loading !== undefined) return loading;
    if (performance.now() - failedAt < bounds.retryAfterMs) return Promise.reject(unreachable(issuer));
    return (loading = fetchAll().finally(() => (loading = undefined)));
  }

  const awaitLoad = (): Promise<void> => within(load(), bounds.waitMs, () => unreachable(issuer));

  async function usableKeys(): Promise<LocalJWKSet> {
    const age = performance.now() - loadedAt;
    if (age > bounds.keepMs) await awaitLoad();
    // What becomes of it is in the log; the keys at hand are good for now.
    else if (age > bounds.refreshAfterMs) load().catch(() => undefined);
    return keys!;
  }

  return async (header, token) => {
    const askedAt = performance.now();
    const known = await usableKeys();
    try {
      return await known(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || loadedAt > askedAt) throw error;
      // The issuer may have begun to sign with a new key.
      if (loading === undefined && performance.now() - soughtAt < bounds.coolDownMs) throw error;
      soughtAt = performance.now();
      await awaitLoad();
      return keys!(header, token);
    }
  };
}

function unreachable(issuer: Issuer, cause?: unknown): AppError {
  return new AppError("unavailable", `the keys of the issuer ${issuer.issuer} cannot be fetched; try again`, { cause });
}

async function within<T>(work: Promise<T>, ms: number, late: () => Error): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(late()), ms);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}
