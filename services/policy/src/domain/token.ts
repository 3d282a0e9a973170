import { createHash, timingSafeEqual } from "node:crypto";
import { sameTexts, type Source } from "./policy.ts";

export interface TokenRecord {
  readonly name: string;
  readonly tenant: string;
  readonly team: string;
  readonly roles: readonly string[];
  readonly permissions: readonly string[];
  /** The agent that it stands for, such as `agent:deployer`, whose team and roles count then; else empty. */
  readonly agent: string;
  readonly sha256: Buffer;
  /** The secret before the last rotation, and until when it is taken beside the new one. */
  readonly previous: { readonly sha256: Buffer; readonly untilMs: number } | undefined;
  readonly createdBy: string;
  readonly source: Source;
  /** Unix milliseconds, like the other times. */
  readonly createdAtMs: number;
  readonly expiresAtMs: number | undefined;
  readonly revokedAtMs: number | undefined;
}

/** What is said of a token that is made. */
export type NewToken = Pick<
  TokenRecord,
  "name" | "tenant" | "team" | "roles" | "permissions" | "agent" | "expiresAtMs"
>;

/** A token of the file: its hash in place of the secret. */
export type WantedToken = NewToken & Pick<TokenRecord, "sha256">;

/** A token by one of its secrets. */
export interface FoundToken {
  readonly token: TokenRecord;
  /** By the secret before the last rotation: until when that is taken; undefined by its own. */
  readonly untilMs: number | undefined;
}

const TOKEN_MAX_CHARS = 4_096;

export function hashToken(token: string): Buffer {
  return createHash("sha256").update(token, "utf8").digest();
}

/** All tokens, to be found by secret and by name. Never changed, only replaced. */
export interface TokenIndex {
  readonly byName: ReadonlyMap<string, TokenRecord>;
  /** Looks for a hash, so the time that it takes says nothing about how near a guess was. */
  find(secret: string): FoundToken | undefined;
  /** Another index, in which these names stand for these records or for none. To copy is far cheaper than to read all. */
  with(names: readonly string[], records: readonly TokenRecord[]): TokenIndex;
}

export function indexTokens(records: readonly TokenRecord[]): TokenIndex {
  return toIndex(new Map(), new Map()).with([], records);
}

function toIndex(byName: ReadonlyMap<string, TokenRecord>, byHash: ReadonlyMap<string, TokenRecord>): TokenIndex {
  return {
    byName,
    find: (secret) => {
      if (secret.length === 0 || secret.length > TOKEN_MAX_CHARS) return undefined;
      const sha256 = hashToken(secret);
      const token = byHash.get(sha256.toString("hex"));
      if (token === undefined) return undefined;
      if (timingSafeEqual(token.sha256, sha256)) return { token, untilMs: undefined };
      const { previous } = token;
      if (previous === undefined || !timingSafeEqual(previous.sha256, sha256)) return undefined;
      return { token, untilMs: previous.untilMs };
    },
    with(names, records) {
      const [named, hashed] = [new Map(byName), new Map(byHash)];
      const staying = new Set(records.map(({ name }) => name));
      for (const name of names) {
        for (const hash of hashesOf(named.get(name))) hashed.delete(hash);
        if (!staying.has(name)) named.delete(name);
      }
      for (const record of records) {
        named.set(record.name, record);
        for (const hash of hashesOf(record)) hashed.set(hash, record);
      }
      return toIndex(named, hashed);
    },
  };
}

function hashesOf(record: TokenRecord | undefined): string[] {
  if (record === undefined) return [];
  return [record.sha256, ...(record.previous ? [record.previous.sha256] : [])].map((hash) => hash.toString("hex"));
}

/** Why the secret may not be used now, or undefined. Whoever is told has the secret. */
export function secretProblem(found: FoundToken | undefined, nowMs: number): string | undefined {
  const problem = tokenProblem(found?.token, nowMs);
  if (problem !== undefined || found?.untilMs === undefined || nowMs < found.untilMs) return problem;
  return `this secret of the token "${found.token.name}" was rotated, and ended at ${isoTime(found.untilMs)}`;
}

/** Until when the secret is taken; undefined: for good. */
export function secretEndMs({ token, untilMs }: FoundToken): number | undefined {
  const ends = [token.expiresAtMs, untilMs].filter((end) => end !== undefined);
  return ends.length === 0 ? undefined : Math.min(...ends);
}

/** Why the token may not be used now, or undefined. */
export function tokenProblem(record: TokenRecord | undefined, nowMs: number): string | undefined {
  if (record === undefined) return "the token is not known";
  if (record.revokedAtMs !== undefined)
    return `the token "${record.name}" was revoked at ${isoTime(record.revokedAtMs)}`;
  if (record.expiresAtMs !== undefined && record.expiresAtMs <= nowMs) {
    return `the token "${record.name}" expired at ${isoTime(record.expiresAtMs)}`;
  }
  return undefined;
}

/**
 * What has to be done so that the tokens of the file are those that are wanted. A token with another secret is another
 * token. All old ones go first, since secrets may have swapped their names.
 */
export function planTokens(
  stored: readonly TokenRecord[],
  wanted: readonly WantedToken[],
): { readonly remove: readonly string[]; readonly put: readonly WantedToken[] } {
  const wantedByName = new Map(wanted.map((token) => [token.name, token]));
  const wantedSecrets = new Map(wanted.map((token) => [token.sha256.toString("hex"), token.name]));
  const isGone = (record: TokenRecord): boolean => {
    const token = wantedByName.get(record.name);
    if (token !== undefined) return !token.sha256.equals(record.sha256);
    return record.source === "file" || hashesOf(record).some((hash) => wantedSecrets.has(hash));
  };
  const staying = new Map(stored.filter((record) => !isGone(record)).map((record) => [record.name, record]));
  const put = wanted.filter((token) => {
    const record = staying.get(token.name);
    return record === undefined || record.source !== "file" || !sameToken(record, token);
  });
  return { remove: stored.filter(isGone).map(({ name }) => name), put };
}

function sameToken(record: TokenRecord, token: WantedToken): boolean {
  return (
    record.tenant === token.tenant &&
    record.team === token.team &&
    record.agent === token.agent &&
    record.expiresAtMs === token.expiresAtMs &&
    sameTexts(record.roles, token.roles) &&
    sameTexts(record.permissions, token.permissions)
  );
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}
