import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CLOCK_ALLOWANCE_MS, createLeases, LEASE_MS, UNANSWERED_MAX } from "./leases.ts";

const HELD_MS = LEASE_MS + CLOCK_ALLOWANCE_MS;
/** A time at which nothing of an earlier process is left. */
const LATER = HELD_MS;

function begin() {
  const leases = createLeases(0);
  const gateway = {};
  return { leases, gateway };
}

describe("a change waits", () => {
  test("for nobody, where nobody watches", () => {
    expect(createLeases(0).heldUntil(7)).toBeLessThanOrEqual(LATER);
  });

  test("for the leases of the process before this one", () => {
    expect(createLeases(5_000).heldUntil(7)).toBe(5_000 + HELD_MS);
  });

  test("until the gateway has taken the revision", () => {
    const { leases, gateway } = begin();
    leases.open(gateway, 10_000);
    leases.sent(gateway, 1);
    expect(leases.heldUntil(1)).toBeLessThanOrEqual(LATER);
    expect(leases.heldUntil(2)).toBe(10_000 + HELD_MS);
    leases.sent(gateway, 2);
    leases.answered(gateway, 1, 10_100);
    expect(leases.heldUntil(2)).toBe(10_000 + HELD_MS);
    leases.answered(gateway, 2, 10_200);
    expect(leases.heldUntil(2)).toBeLessThanOrEqual(LATER);
    expect(leases.heldUntil(3)).toBe(10_000 + HELD_MS);
  });

  test("no longer than the lease that was last given on an older revision", () => {
    const { leases, gateway } = begin();
    leases.open(gateway, 10_000);
    leases.sent(gateway, 1);
    leases.answered(gateway, 1, 10_300);
    leases.sent(gateway, 1);
    expect(leases.heldUntil(2)).toBe(10_300 + HELD_MS);
    leases.answered(gateway, 1, 10_600);
    leases.sent(gateway, 2);
    leases.sent(gateway, 2);
    expect(leases.heldUntil(2)).toBe(10_300 + HELD_MS);
  });

  test("for a gateway that left, as long as its lease goes on", () => {
    const { leases, gateway } = begin();
    leases.open(gateway, 10_000);
    leases.sent(gateway, 1);
    leases.left(gateway, 10_100);
    expect(leases.size).toBe(0);
    expect(leases.heldUntil(2)).toBe(10_000 + HELD_MS);
    leases.answered(gateway, 2, 10_200);
    expect(leases.heldUntil(2)).toBe(10_000 + HELD_MS);
  });

  test("for a gateway that claims what it was never sent", () => {
    const { leases, gateway } = begin();
    leases.open(gateway, 10_000);
    leases.sent(gateway, 1);
    leases.answered(gateway, 99, 10_000);
    expect(leases.heldUntil(2)).toBe(10_000 + HELD_MS);
  });

  test("not for a gateway that came after it", () => {
    const { leases, gateway } = begin();
    leases.open(gateway, 10_000);
    leases.sent(gateway, 2);
    expect(leases.heldUntil(2)).toBeLessThanOrEqual(LATER);
  });
});

test("a gateway that does not answer is sent no more, until it does", () => {
  const { leases, gateway } = begin();
  expect(leases.mayBeSent(gateway)).toBe(false);
  leases.open(gateway, 0);
  for (let count = 0; count < UNANSWERED_MAX; count += 1) {
    expect(leases.mayBeSent(gateway)).toBe(true);
    leases.sent(gateway, 1);
  }
  expect(leases.mayBeSent(gateway)).toBe(false);
  leases.answered(gateway, 1, 0);
  expect(leases.mayBeSent(gateway)).toBe(true);
});

/**
 * Gateways as the protocol has them, with messages that are any time on their way, against the promise: from the
 * moment at which nothing holds a change back any more, no gateway acts on an older revision.
 */
test("no gateway acts on an older revision once a change is free to return", () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 700 }) }) },
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constantFrom("send" as const, "deliver" as const, "answer" as const),
        who: fc.nat({ max: 2 }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("leave" as const), who: fc.nat({ max: 2 }) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("change" as const) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      let now = 10_000;
      let revision = 1;
      const leases = createLeases(0);
      const gateways = [0, 1, 2].map(() => newGateway());

      function newGateway() {
        const key = {};
        leases.open(key, now);
        return {
          key,
          watching: true,
          echo: now,
          way: [] as { revision: number; echo: number }[],
          back: [] as { taken: number; at: number }[],
          holds: 0,
          leaseEnd: 0,
        };
      }

      for (const each of steps) {
        if (each.do === "wait") now += each.ms;
        else if (each.do === "change") revision += 1;
        else {
          const gateway = gateways[each.who]!;
          if (each.do === "send" && gateway.watching && leases.mayBeSent(gateway.key)) {
            leases.sent(gateway.key, revision);
            gateway.way.push({ revision, echo: gateway.echo });
          } else if (each.do === "deliver") {
            const message = gateway.way.shift();
            if (message) {
              gateway.holds = message.revision;
              gateway.leaseEnd = message.echo + LEASE_MS;
              gateway.back.push({ taken: message.revision, at: now });
            }
          } else if (each.do === "answer" && gateway.watching) {
            const answer = gateway.back.shift();
            if (answer) {
              leases.answered(gateway.key, answer.taken, now);
              // The lease counts from when the gateway sent it, which is earlier than it is received.
              gateway.echo = answer.at;
            }
          } else if (each.do === "leave" && gateway.watching) {
            leases.left(gateway.key, now);
            gateway.watching = false;
          }
        }
        for (let asked = 1; asked <= revision; asked += 1) {
          if (leases.heldUntil(asked) > now) continue;
          for (const gateway of gateways) expect(gateway.leaseEnd > now && gateway.holds < asked).toBe(false);
        }
      }
    }),
    { numRuns: 400 },
  );
});
