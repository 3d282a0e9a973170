import { eventually, modernClient } from "@tollgate/testkit";
import { afterEach, beforeEach, expect, test } from "vitest";
import { useInstallation } from "./installation.ts";
import { refusalsOn } from "./running-gateway.ts";

const installation = useInstallation();
const DAY = "day|days|acme";
const PLACE = "slot|places|acme";
const LONG_MS = 60_000;

beforeEach(async () => {
  const { policy } = installation.around;
  policy.leased.length = 0;
  policy.more = { limits: [DAY] };
  policy.grant = ({ wanted }) => ({ granted: wanted, leaseMs: LONG_MS });
  policy.beforeLease = () => undefined;
  // Nothing is remembered of the test before.
  await policy.changeTaken();
});
afterEach(() => {
  installation.around.policy.more = {};
});

const call = (method = "tools/call", params: Record<string, unknown> = { name: "one__echo" }) =>
  modernClient({ url: installation.url(), token: "token" }).request(method, params);
const asked = (key: string) =>
  installation.around.policy.leased.filter((lease) => lease.key === key && lease.wanted > 0);

/** Until it is called policy does not answer those who want permits of a day. */
function holdBackPermits(): () => void {
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  installation.around.policy.beforeLease = (leases) =>
    leases.some(({ key, wanted }) => key === DAY && wanted > 0) ? held : undefined;
  return () => release();
}

test("a call takes a permit of each of its limits, and what is at hand is not asked for", async () => {
  const { policy } = installation.around;
  policy.more = { limits: [DAY, PLACE] };
  policy.grant = () => ({ granted: 3, leaseMs: LONG_MS });
  for (let n = 0; n < 3; n++) expect((await call()).last.result).toBeDefined();
  expect([asked(DAY).length, asked(PLACE).length]).toEqual([1, 1]);
  expect((await call()).last.result).toBeDefined();
  expect(asked(DAY).length).toBe(2);
});

test("without limits policy is asked for nothing", async () => {
  installation.around.policy.more = {};
  expect((await call()).last.result).toBeDefined();
  expect(asked(DAY)).toEqual([]);
});

test("what is beyond a limit is refused with when to come back, and an event; it is not let in", async () => {
  const { policy } = installation.around;
  policy.grant = () => ({ granted: 0, leaseMs: 0, retryAfterMs: 61_200, reason: 'the limit "days" is reached' });
  const { status, headers, last } = await call();
  expect([status, headers.get("retry-after")]).toEqual([429, "62"]);
  const message = 'the limit "days" is reached; try again in 62 s';
  expect(last.error).toMatchObject({ code: -32005, message, data: { retryAfterSeconds: 62, retryable: true } });
  await eventually(async () =>
    expect((await refusalsOn(installation.runner)).at(-1)).toMatchObject({
      code: "overloaded",
      tenant: "acme",
      tool: "echo",
      reason: message,
      decision: { allow: true },
    }),
  );
  expect(installation.runner.calls).toEqual([]);
  await eventually(async () => {
    const text = await (await fetch(installation.url("/metrics"))).text();
    const underWay = Number(/^tollgate_gateway_calls_under_way (\d+)$/m.exec(text)?.[1]);
    expect(underWay).toBe(0);
  });
});

test("calls that come together are asked for together", async () => {
  const { policy } = installation.around;
  const release = holdBackPermits();
  const first = call();
  await eventually(() => expect(asked(DAY).length).toBe(1));
  const others = Array.from({ length: 10 }, () => call());
  await eventually(() => expect(policy.asked.decide).toBeGreaterThan(0));
  release();
  expect((await Promise.all([first, ...others])).every(({ last }) => last.result !== undefined)).toBe(true);
  expect(asked(DAY).length).toBeLessThanOrEqual(4);
});

test("a permit that was on its way when the revision changed lets nobody in under the old limit", async () => {
  const { policy } = installation.around;
  const release = holdBackPermits();
  const late = call();
  await eventually(() => expect(asked(DAY).length).toBe(1));
  policy.grant = () => ({ granted: 0, leaseMs: 0, retryAfterMs: 1_000, reason: "the new limit is reached" });
  await policy.changeTaken();
  release();
  expect((await late).last.error).toMatchObject({ message: expect.stringContaining("the new limit is reached") });
  expect(installation.runner.calls).toEqual([]);
  // What was given for nothing is returned.
  await eventually(() => expect(policy.leased.some(({ key, returned }) => key === DAY && returned > 0)).toBe(true));
});

test("a call that is denied meanwhile is not let in, and its permit serves another", async () => {
  const { policy } = installation.around;
  const release = holdBackPermits();
  const late = call();
  await eventually(() => expect(asked(DAY).length).toBe(1));
  policy.allow = () => false;
  await policy.changeTaken();
  release();
  expect((await late).last.error).toMatchObject({ code: -32003 });
  policy.allow = () => true;
  await policy.changeTaken();
  expect((await call()).last.result).toBeDefined();
});

test("a place is taken until the call has ended", async () => {
  const { policy } = installation.around;
  const { runner } = installation;
  policy.more = { limits: [PLACE] };
  policy.grant = ({ held, wanted }) => {
    const granted = Math.min(wanted, Math.max(0, 1 - held));
    return { granted, leaseMs: 3_000, ...(granted < wanted ? { retryAfterMs: 1_000, reason: "no place" } : {}) };
  };
  runner.onCall = () => undefined;
  const first = call();
  await eventually(() => expect(runner.calls.length).toBe(1));
  expect((await call()).status).toBe(429);
  runner.onCall = (each) => runner.answer(each);
  runner.answer(runner.calls[0]!);
  expect((await first).last.result).toBeDefined();
  await eventually(async () => expect((await call()).last.result).toBeDefined());
});

test("policy that does not answer about limits lets nothing in", async () => {
  const { policy } = installation.around;
  policy.beforeLease = () => Promise.reject(new Error("gone"));
  expect((await call()).last.error).toMatchObject({ data: { retryable: true } });
  expect(installation.runner.calls).toEqual([]);
});
