import type { AuditEvent } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { testLog } from "@tollgate/testkit";
import { expect, test } from "vitest";
import { FREE_FAILURES } from "../domain/failures.ts";
import { createAuthenticationFailures } from "./authentication-failures.ts";
import type { Refusal } from "./refusals.ts";

/** With a clock that only the test moves: every wait is over when the test says so. */
function open() {
  const refusals: Refusal[] = [];
  const alerts: AuditEvent[] = [];
  const waits: { ms: number; end: () => void }[] = [];
  const stopping = new AbortController();
  const failures = createAuthenticationFailures({
    refuse: (refusal) => refusals.push(refusal),
    events: { publish: (event) => Promise.resolve(void alerts.push(event)) },
    signal: stopping.signal,
    log: testLog,
    clock: {
      now: () => 1_000_000,
      wait: (ms, signal) =>
        new Promise((resolve, reject) => {
          waits.push({ ms, end: () => resolve(undefined) });
          signal.addEventListener("abort", () => reject(new Error("stopping")));
        }),
    },
  });
  const fail = (address = "192.0.2.1") =>
    failures.hold({ address, transport: "http" }, new AppError("unauthenticated", "the token is not known"));
  return { refusals, alerts, waits, stopping, failures, fail };
}

test("each one is written down, with where it came from and nothing of what was sent", async () => {
  const { refusals, fail } = open();
  await fail("2001:db8::1");
  expect(refusals).toEqual([
    {
      tenant: "unknown",
      address: "2001:db8::1",
      transport: "http",
      code: "unauthenticated",
      reason: "the token is not known",
      method: "",
    },
  ]);
});

test("of somebody who is known it says who it was", () => {
  const { refusals, failures } = open();
  const principal = { id: "agent:bot", tenant: "acme", team: "a", credential: "bot-1" } as never;
  failures.record({ address: "", transport: "websocket", principal }, new AppError("unauthenticated", "was revoked"));
  expect(refusals[0]).toMatchObject({
    tenant: "acme",
    principal: "agent:bot",
    credential: "bot-1",
    reason: "was revoked",
  });
  expect(refusals[0]).not.toHaveProperty("address");
});

test("answers are held back for longer and longer, and given when their time is over", async () => {
  const { waits, fail } = open();
  for (let i = 0; i < FREE_FAILURES; i++) await fail();
  const held = [fail(), fail(), fail()];
  expect(waits.map(({ ms }) => ms)).toEqual([100, 200, 400]);
  for (const { end } of waits) end();
  await Promise.all(held);
});

test("an IPv6 network of 64 bits counts as one address", async () => {
  const { waits, fail } = open();
  for (let i = 0; i < FREE_FAILURES; i++) await fail(`2001:db8::${i}`);
  void fail("2001:db8::ffff");
  await fail("2001:db8:0:1::1");
  expect(waits).toHaveLength(1);
});

test("whoever has many held back already is refused at once, and told when to come back", async () => {
  const { waits, fail, refusals } = open();
  for (let i = 0; i < FREE_FAILURES; i++) await fail();
  const held = Array.from({ length: 20 }, () => fail());
  await expect(fail()).rejects.toMatchObject({ code: "overloaded", details: { retryAfterSeconds: 60 } });
  expect(refusals).toHaveLength(31);
  for (const { end } of waits) end();
  await Promise.all(held);
});

test("somebody is told once", async () => {
  const { alerts, fail } = open();
  await Promise.allSettled(Array.from({ length: 60 }, () => Promise.race([fail(), Promise.resolve()])));
  expect(alerts).toHaveLength(1);
  expect(alerts[0]).toMatchObject({ kind: "alert", code: "authentication", tenant: "unknown", address: "192.0.2.1" });
});

test("nobody is kept waiting by a gateway that stops", async () => {
  const { stopping, fail } = open();
  for (let i = 0; i < FREE_FAILURES; i++) await fail();
  const held = fail();
  stopping.abort();
  await expect(held).resolves.toBeUndefined();
});
