import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CLOCK_ALLOWANCE_MS, LEASE_MS } from "./leases.ts";
import { ALONE_MS, CONFIRMED_MS, createPeers, createStanding, type ReplicaRecord } from "./replicas.ts";

const HELD_MS = LEASE_MS + CLOCK_ALLOWANCE_MS;

function record(given: Partial<ReplicaRecord>): ReplicaRecord {
  return { id: "other", place: "there", beat: 1, takenRevision: 0, grantsMs: CONFIRMED_MS, ...given };
}

describe("a replica gives leases", () => {
  test("only for a while after it has asked, and none before the first time", () => {
    const standing = createStanding();
    expect(standing.mayGrant(0)).toBe(false);
    standing.confirm({ askedAtMs: 1_000, grantsMs: standing.grantsMs, isAlone: false });
    expect(standing.mayGrant(1_000 + CONFIRMED_MS - 1)).toBe(true);
    expect(standing.mayGrant(1_000 + CONFIRMED_MS)).toBe(false);
  });

  test("for long where it is alone, once it has said so", () => {
    const standing = createStanding();
    standing.confirm({ askedAtMs: 1_000, grantsMs: standing.grantsMs, isAlone: true });
    expect(standing.mayGrant(1_000 + CONFIRMED_MS)).toBe(false);
    standing.confirm({ askedAtMs: 1_200, grantsMs: standing.grantsMs, isAlone: true });
    expect(standing.mayGrant(1_200 + ALONE_MS - 1)).toBe(true);
  });

  test("no longer than the others at once when it is not alone any more", () => {
    const standing = createStanding();
    for (const askedAtMs of [0, 250]) standing.confirm({ askedAtMs, grantsMs: standing.grantsMs, isAlone: true });
    standing.confirm({ askedAtMs: 500, grantsMs: standing.grantsMs, isAlone: false });
    expect(standing.mayGrant(500 + CONFIRMED_MS)).toBe(false);
  });

  test("none while it knows of a revision that it does not hold", () => {
    const standing = createStanding();
    standing.confirm({ askedAtMs: 0, grantsMs: standing.grantsMs, isAlone: false });
    standing.suspend();
    expect(standing.mayGrant(1)).toBe(false);
  });
});

describe("a change waits", () => {
  test("for nobody, where there is nobody else", () => {
    expect(createPeers().heldUntil(7)).toBe(0);
  });

  test("until the other has taken it", () => {
    const peers = createPeers();
    peers.observe([record({ takenRevision: 6 })], "here", 1_000);
    expect(peers.heldUntil(7)).toBe(1_000 + CONFIRMED_MS + HELD_MS);
    expect(peers.holding(7)).toEqual(["there"]);
    peers.observe([record({ beat: 2, takenRevision: 7 })], "here", 1_100);
    expect(peers.heldUntil(7)).toBe(0);
  });

  test("for one that is silent no longer than it may give leases and they go on", () => {
    const peers = createPeers();
    peers.observe([record({})], "here", 1_000);
    peers.observe([record({})], "here", 3_000);
    expect(peers.heldUntil(7)).toBe(1_000 + CONFIRMED_MS + HELD_MS);
    expect(peers.ended(1_000 + CONFIRMED_MS + HELD_MS - 1)).toEqual([]);
    expect(peers.ended(1_000 + CONFIRMED_MS + HELD_MS)).toEqual([record({})]);
  });

  test("for long for one that was alone, but not where this one has its address", () => {
    const peers = createPeers();
    peers.observe([record({ grantsMs: ALONE_MS })], "here", 1_000);
    expect(peers.heldUntil(7)).toBe(1_000 + ALONE_MS + HELD_MS);
    const successor = createPeers();
    successor.observe([record({ grantsMs: ALONE_MS })], "there", 1_000);
    expect(successor.heldUntil(7)).toBe(1_000 + CONFIRMED_MS + HELD_MS);
  });

  test("for one that has stopped only as long as its last leases", () => {
    const peers = createPeers();
    peers.observe([record({ grantsMs: 0 })], "here", 1_000);
    expect(peers.heldUntil(7)).toBe(1_000 + HELD_MS);
  });
});

/** The database: what is committed is seen by whoever reads later. */
function newDatabase() {
  const records = new Map<string, ReplicaRecord>();
  return {
    revision: 1,
    records,
    write(given: ReplicaRecord): void {
      if (given.beat > (records.get(given.id)?.beat ?? -1)) records.set(given.id, given);
    },
    remove({ id, beat }: ReplicaRecord): void {
      if (records.get(id)?.beat === beat) records.delete(id);
    },
  };
}

/** A replica as handlers/replicas.ts has it, one step at a time; between any two steps there may be any time. */
function newReplica(id: string, database: ReturnType<typeof newDatabase>) {
  const standing = createStanding();
  const peers = createPeers();
  let [beat, taken, held] = [0, 0, database.revision];
  let leases: { readonly revision: number; readonly endsAt: number }[] = [];
  let asked: { readonly at: number; readonly record: ReplicaRecord } | undefined;
  let written = false;
  let seen: { readonly revision: number; readonly others: ReplicaRecord[] } | undefined;
  /** The newest revision that was committed before a look at the others. */
  let lookedFor = 0;
  const late: ReplicaRecord[] = [];
  const forget = (): void => void ([asked, written, seen] = [undefined, false, undefined]);

  return {
    peers,
    lookedFor: () => lookedFor,
    actsOnOlder: (revision: number, now: number) =>
      leases.some((lease) => lease.revision < revision && lease.endsAt > now),
    next(now: number): void {
      if (asked === undefined) {
        if (!leases.some((lease) => lease.revision < held && lease.endsAt > now)) taken = held;
        beat += 1;
        const { grantsMs } = standing;
        asked = { at: now, record: { id, place: id, beat, takenRevision: taken, grantsMs } };
      } else if (!written) {
        database.write(asked.record);
        written = true;
      } else if (seen === undefined) {
        const others = [...database.records.values()].filter((each) => each.id !== id);
        seen = { revision: database.revision, others };
      } else {
        peers.observe(seen.others, id, now);
        lookedFor = seen.revision;
        if (seen.revision > held) held = database.revision;
        const { grantsMs } = asked.record;
        standing.confirm({ askedAtMs: asked.at, grantsMs, isAlone: seen.others.length === 0 });
        for (const each of peers.ended(now)) database.remove(each);
        forget();
      }
    },
    /** An answer does not come; what was asked may still be done, later. */
    lose(): void {
      if (asked !== undefined && !written) late.push(asked.record);
      forget();
    },
    arrive(): void {
      const given = late.shift();
      if (given !== undefined) database.write(given);
    },
    grant(now: number): void {
      if (standing.mayGrant(now)) leases.push({ revision: held, endsAt: now + LEASE_MS });
    },
    /** Its gateways take what it holds. */
    answer: () => void (leases = leases.filter((lease) => lease.revision >= held)),
    change(): void {
      database.revision += 1;
      held = database.revision;
    },
  };
}

test("no gateway of any replica acts on an older revision once a change is free to return", () => {
  const who = fc.nat({ max: 2 });
  const doing = <T extends string>(weight: number, ...what: T[]) => ({
    weight,
    arbitrary: fc.record({ do: fc.constantFrom(...what), who, ms: fc.constant(0) }),
  });
  const step = fc.oneof(
    doing(12, "next"),
    doing(6, "grant", "answer"),
    doing(2, "change"),
    doing(1, "lose", "arrive"),
    { weight: 4, arbitrary: fc.record({ do: fc.constant("wait"), who, ms: fc.integer({ min: 1, max: 900 }) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("wait"), who, ms: fc.constantFrom(HELD_MS, ALONE_MS) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200, size: "max" }), (steps) => {
      let now = 10_000;
      const database = newDatabase();
      const replicas = ["a", "b", "c"].map((id) => newReplica(id, database));
      for (const each of steps) {
        const replica = replicas[each.who]!;
        if (each.do === "wait") now += each.ms;
        else if (each.do === "lose" || each.do === "arrive" || each.do === "answer" || each.do === "change")
          replica[each.do]();
        else replica[each.do === "grant" ? "grant" : "next"](now);
        for (const changer of replicas) {
          for (let revision = 2; revision <= changer.lookedFor(); revision += 1) {
            if (changer.peers.heldUntil(revision) > now) continue;
            const others = replicas.filter((other) => other !== changer);
            expect(others.some((other) => other.actsOnOlder(revision, now))).toBe(false);
          }
        }
      }
    }),
    { numRuns: 1_000 },
  );
});
