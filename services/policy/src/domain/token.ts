import { createHash, timingSafeEqual } from "node:crypto";

export interface TokenRecord {
  readonly name: string;
  readonly tenant: string;
  readonly team: string;
  readonly roles: readonly string[];
  readonly permissions: readonly string[];
  readonly sha256: Buffer;
  /** Unix milliseconds, like the other times. */
  readonly createdAtMs: number;
  readonly expiresAtMs: number | undefined;
  readonly revokedAtMs: number | undefined;
}

/** A token of the file: its hash in place of the secret. */
export type WantedToken = Omit<TokenRecord, "createdAtMs" | "revokedAtMs">;

export const TOKEN_MAX_CHARS = 4_096;

export function hashToken(token: string): Buffer {
  return createHash("sha256").update(token, "utf8").digest();
}

/** All tokens, to be found by secret and by name. */
export interface TokenIndex {
  readonly byName: ReadonlyMap<string, TokenRecord>;
  /** Looks for a hash, so the time that it takes says nothing about how near a guess was. */
  find(token: string): TokenRecord | undefined;
}

export function indexTokens(records: readonly TokenRecord[]): TokenIndex {
  const byHash = new Map(records.map((record) => [record.sha256.toString("hex"), record]));
  return {
    byName: new Map(records.map((record) => [record.name, record])),
    find: (token) => {
      if (token.length === 0 || token.length > TOKEN_MAX_CHARS) return undefined;
      const sha256 = hashToken(token);
      const record = byHash.get(sha256.toString("hex"));
      return record && timingSafeEqual(record.sha256, sha256) ? record : undefined;
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

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}
