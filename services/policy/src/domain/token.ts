import { createHash, timingSafeEqual } from "node:crypto";
import { sameTexts, type Source } from "./policy.ts";

export interface TokenRecord {
  readonly name: string;
  readonly tenant: string;
  readonly team: string;
  readonly roles: readonly string[];
  readonly permissions: readonly string[];
  readonly sha256: Buffer;
  readonly source: Source;
  /** Unix milliseconds, like the other times. */
  readonly createdAtMs: number;
  readonly expiresAtMs: number | undefined;
  readonly revokedAtMs: number | undefined;
}

/** A token of the file: its hash in place of the secret. */
export type WantedToken = Omit<TokenRecord, "source" | "createdAtMs" | "revokedAtMs">;

const TOKEN_MAX_CHARS = 4_096;

export function hashToken(token: string): Buffer {
  return createHash("sha256").update(token, "utf8").digest();
}

/** All tokens, to be found by secret and by name. Never changed, only replaced. */
export interface TokenIndex {
  readonly byName: ReadonlyMap<string, TokenRecord>;
  /** Looks for a hash, so the time that it takes says nothing about how near a guess was. */
  find(token: string): TokenRecord | undefined;
  /** Another index, in which these names stand for these records or for none. To copy is far cheaper than to read all. */
  with(names: readonly string[], records: readonly TokenRecord[]): TokenIndex;
}

export function indexTokens(records: readonly TokenRecord[]): TokenIndex {
  return toIndex(new Map(), new Map()).with([], records);
}

function toIndex(byName: ReadonlyMap<string, TokenRecord>, byHash: ReadonlyMap<string, TokenRecord>): TokenIndex {
  return {
    byName,
    find: (token) => {
      if (token.length === 0 || token.length > TOKEN_MAX_CHARS) return undefined;
      const sha256 = hashToken(token);
      const record = byHash.get(sha256.toString("hex"));
      return record && timingSafeEqual(record.sha256, sha256) ? record : undefined;
    },
    with(names, records) {
      const [named, hashed] = [new Map(byName), new Map(byHash)];
      const staying = new Set(records.map(({ name }) => name));
      for (const name of names) {
        const record = named.get(name);
        if (record !== undefined) hashed.delete(record.sha256.toString("hex"));
        if (!staying.has(name)) named.delete(name);
      }
      for (const record of records) {
        named.set(record.name, record);
        hashed.set(record.sha256.toString("hex"), record);
      }
      return toIndex(named, hashed);
    },
  };
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

/** Whether nobody could administer any more once this token is gone. */
export function isLastAdmin(tokens: Iterable<TokenRecord>, name: string, nowMs: number): boolean {
  const admins = [...tokens].filter((token) => token.permissions.includes("admin") && !tokenProblem(token, nowMs));
  return admins.length === 1 && admins[0]!.name === name;
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
  const isGone = (record: TokenRecord): boolean => {
    const token = wantedByName.get(record.name);
    return token === undefined ? record.source === "file" : !token.sha256.equals(record.sha256);
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
    record.expiresAtMs === token.expiresAtMs &&
    sameTexts(record.roles, token.roles) &&
    sameTexts(record.permissions, token.permissions)
  );
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}
