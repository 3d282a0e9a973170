import { expect, test } from "vitest";
import { hashToken, indexTokens, isLastAdmin, type TokenRecord, tokenProblem } from "./token.ts";

function record(name: string, rest: Partial<TokenRecord> = {}): TokenRecord {
  return {
    name,
    tenant: "t",
    team: "t",
    roles: [],
    permissions: ["admin"],
    sha256: hashToken(`secret of ${name}`),
    source: "file",
    createdAtMs: 0,
    expiresAtMs: undefined,
    revokedAtMs: undefined,
    ...rest,
  };
}

test("a token is found by its secret, by nothing near it", () => {
  const index = indexTokens([record("a"), record("b")]);
  expect(index.find("secret of b")?.name).toBe("b");
  for (const other of [
    "",
    "secret of c",
    "secret of b ",
    "Secret of b",
    "b",
    hashToken("secret of b").toString("hex"),
  ]) {
    expect(index.find(other)).toBeUndefined();
  }
  expect(index.find("x".repeat(5_000))).toBeUndefined();
});

test("a token ends at its time, or when it is revoked", () => {
  expect(tokenProblem(undefined, 0)).toBe("the token is not known");
  expect(tokenProblem(record("a"), 0)).toBeUndefined();
  expect(tokenProblem(record("a", { expiresAtMs: 1_000 }), 999)).toBeUndefined();
  expect(tokenProblem(record("a", { expiresAtMs: 1_000 }), 1_000)).toBe(
    'the token "a" expired at 1970-01-01T00:00:01.000Z',
  );
  expect(tokenProblem(record("a", { revokedAtMs: 0 }), 1)).toBe(
    'the token "a" was revoked at 1970-01-01T00:00:00.000Z',
  );
});

test("the last administrator is the last whose token can be used", () => {
  const plain = record("plain", { permissions: ["mcp"] });
  const expired = record("expired", { expiresAtMs: 10 });
  const revoked = record("revoked", { revokedAtMs: 10 });
  expect(isLastAdmin([record("a"), plain, expired, revoked], "a", 20)).toBe(true);
  expect(isLastAdmin([record("a"), record("b")], "a", 20)).toBe(false);
  expect(isLastAdmin([record("a"), plain], "plain", 20)).toBe(false);
  expect(isLastAdmin([record("a"), expired], "a", 5)).toBe(false);
  expect(isLastAdmin([record("a"), expired], "expired", 20)).toBe(false);
});
