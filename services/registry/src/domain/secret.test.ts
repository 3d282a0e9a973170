import { describe, expect, test } from "vitest";
import { type KnownSecret, knownSecret, parseSecret, readerOf, type SecretAnswer } from "./secret.ts";

const found = (value: string, servers: string[] = []): SecretAnswer => ({ kind: "found", value, version: 1, servers });
const failed = { kind: "failed", reason: "is away" } as const;

describe("a secret in force", () => {
  const before: KnownSecret = { store: "vault", answer: found("old"), problem: "" };

  test("is what the first store with it says", () => {
    expect(knownSecret({ store: "files", answer: found("new") }, before)).toEqual({
      store: "files",
      answer: found("new"),
      problem: "",
    });
  });

  test("stays what it was while its store does not answer, and the problem is told", () => {
    const kept = knownSecret({ store: "vault", answer: failed }, before);
    expect(kept).toEqual({ ...before, problem: "is away" });
    expect(knownSecret({ store: "vault", answer: failed }, kept)).toEqual(kept);
    expect(knownSecret({ store: "vault", answer: found("old") }, kept)).toEqual(before);
  });

  test("is gone when no store has it; one that was never read is not made up", () => {
    expect(knownSecret(undefined, before)).toEqual({ store: "", answer: { kind: "absent" }, problem: "" });
    expect(knownSecret({ store: "vault", answer: failed }, undefined)).toEqual({
      store: "vault",
      answer: failed,
      problem: "is away",
    });
  });
});

describe("what a server gets of it", () => {
  const known = new Map<string, KnownSecret>(
    Object.entries({
      any: found("a"),
      own: found("o", ["x", "y"]),
      none: { kind: "absent" },
      away: failed,
    } as const).map(([name, answer]) => [name, { store: "tollgate", answer, problem: "" }]),
  );
  const read = readerOf(known, ["files", "tollgate"]);

  test.each([
    ["any", "z", { ok: true, value: "a" }],
    ["own", "x", { ok: true, value: "o" }],
    ["own", "z", { ok: false, reason: "may not use the secret own: it is for x, y only" }],
    [
      "none",
      "x",
      {
        ok: false,
        reason:
          "needs the secret none: put it in a file of that name into TOLLGATE_SECRETS_DIR, or put it with PUT /api/v1/secrets/none",
        withheld: true,
      },
    ],
    ["away", "x", { ok: false, reason: "needs the secret away, which cannot be read: is away", withheld: true }],
    ["other", "x", { ok: false, reason: "needs the secret other, which is being read", withheld: true }],
  ])("%s for %s", (name, server, answer) => {
    expect(read(name, server)).toEqual(answer);
  });
});

test("a secret that is given: servers once each, in one order", () => {
  const given = { name: "a", value: "v", description: "", servers: ["b", "a", "b"] };
  expect(parseSecret(given)).toEqual({ ok: true, value: { ...given, servers: ["a", "b"] } });
  expect(parseSecret({ ...given, value: "x\ud800" })).toMatchObject({ ok: false });
  expect(parseSecret({ ...given, value: "ä".repeat(32_768) })).toMatchObject({ ok: true });
  expect(parseSecret({ ...given, value: "ä".repeat(32_769) })).toEqual({
    ok: false,
    reason: "value is larger than 64 KiB",
  });
});
