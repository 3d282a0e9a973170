import { expect, test } from "vitest";
import {
  hashToken,
  indexTokens,
  planTokens,
  secretEndMs,
  secretProblem,
  type TokenRecord,
  tokenProblem,
} from "./token.ts";

function record(name: string, rest: Partial<TokenRecord> = {}): TokenRecord {
  return {
    name,
    tenant: "t",
    team: "t",
    roles: [],
    permissions: ["admin"],
    agent: "",
    sha256: hashToken(`secret of ${name}`),
    previous: undefined,
    createdBy: "",
    source: "file",
    createdAtMs: 0,
    expiresAtMs: undefined,
    revokedAtMs: undefined,
    ...rest,
  };
}

test("a token is found by its secret, by nothing near it", () => {
  const index = indexTokens([record("a"), record("b")]);
  expect(index.find("secret of b")?.token.name).toBe("b");
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

test("a rotated token is found by both secrets, until the earlier one ends", () => {
  const previous = { sha256: hashToken("the old secret"), untilMs: 1_000 };
  const index = indexTokens([record("a", { previous, expiresAtMs: 5_000 })]);
  const [old, own] = [index.find("the old secret"), index.find("secret of a")];
  expect([old?.token.name, own?.token.name]).toEqual(["a", "a"]);
  expect([secretEndMs(old!), secretEndMs(own!)]).toEqual([1_000, 5_000]);
  expect([secretProblem(old, 999), secretProblem(own, 999)]).toEqual([undefined, undefined]);
  expect(secretProblem(old, 1_000)).toMatch(/^this secret of the token "a" was rotated, and ended at 1970-/);
  expect(secretProblem(own, 1_000)).toBeUndefined();
  expect(secretProblem(old, 5_000)).toMatch(/^the token "a" expired/);
});

test("an index that follows on has what has changed, and nothing of what was there before", () => {
  const previous = { sha256: hashToken("older"), untilMs: 1_000 };
  const before = indexTokens([record("a", { previous }), record("b"), record("c")]);
  const after = before.with(["a", "b"], [record("a", { sha256: hashToken("newer") })]);
  expect([...after.byName.keys()].toSorted()).toEqual(["a", "c"]);
  for (const gone of ["secret of a", "older", "secret of b"]) expect(after.find(gone)).toBeUndefined();
  expect([after.find("newer")?.token.name, after.find("secret of c")?.token.name]).toEqual(["a", "c"]);
  expect(before.find("secret of a")?.token.name).toBe("a");
});

test("a token of the API whose secret the file gives to another goes", () => {
  const { sha256, ...rest } = record("adopted", { source: "api" });
  const wanted = { ...rest, name: "of-the-file", sha256 };
  const stored = [record("adopted", { source: "api" }), record("other", { source: "api" })];
  expect(planTokens(stored, [wanted])).toEqual({ remove: ["adopted"], put: [wanted] });
  const rotated = record("adopted", { source: "api", sha256: hashToken("x"), previous: { sha256, untilMs: 1 } });
  expect(planTokens([rotated], [wanted]).remove).toEqual(["adopted"]);
});
