import { expect, describe, it } from "vitest";
import type { RateCard } from "./rate-card.ts";
import { openTariff } from "./tariff.ts";

const DEFAULT: RateCard = {
  id: "default",
  version: 1,
  tenant: "",
  group: "",
  server: "",
  tool: "",
  perCall: 1n,
  perSecond: 0n,
  perCpuSecond: 0n,
  perMegabyte: 0n,
  perColdStart: 0n,
  tiers: [],
  currency: "USD",
  validFromMs: 0,
  recordsFromMs: 0,
};
const call = { tenant: "acme", group: "demo", server: "files", tool: "read" };

function card(fields: Partial<RateCard>): RateCard {
  const validFromMs = fields.validFromMs ?? 0;
  return { ...DEFAULT, recordsFromMs: validFromMs, ...fields };
}

/** The card by which the call is priced, of these and the default. */
function winner(cards: readonly Partial<RateCard>[], timeMs = 5_000, asked = call): string {
  const { id, version } = openTariff([DEFAULT, ...cards.map(card)], { asOf: "recording" }).cardFor(asked, timeMs);
  return `${id}@${version}`;
}

describe("of the versions of a card", () => {
  const versions = [
    { version: 2, validFromMs: 1_000 },
    { version: 3, validFromMs: 1_000 },
    { version: 4, validFromMs: 800 },
  ];

  it("the one holds that became valid last, from that millisecond on, of several at once the highest", () => {
    expect(winner(versions, 799)).toBe("default@1");
    expect(winner(versions, 800)).toBe("default@4");
    expect(winner(versions, 999)).toBe("default@4");
    expect(winner(versions, 1_000)).toBe("default@3");
  });

  it("an earlier one does not come back where the new one is for other calls", () => {
    const moved = [
      { id: "a", tool: "read" },
      { id: "a", version: 2, tool: "write", validFromMs: 1_000 },
    ];
    expect(winner(moved, 999)).toBe("a@1");
    expect(winner(moved, 1_000)).toBe("default@1");
  });

  it("one has to exist: nothing is priced by guess", () => {
    const tariff = openTariff([card({ validFromMs: 1_000 })], { asOf: "recording" });
    expect(() => tariff.cardFor(call, 999)).toThrow(expect.objectContaining({ code: "failed_precondition" }));
    expect(() => openTariff([card({ tenant: "other" })], { asOf: "recording" }).cardFor(call, 0)).toThrow(
      "no rate card",
    );
  });

  it("one that was made for recorded calls prices them in ratings only", () => {
    const cards = [DEFAULT, card({ version: 2, validFromMs: 1_000, recordsFromMs: 4_000 })];
    const recording = openTariff(cards, { asOf: "recording" });
    expect([3_999, 4_000].map((timeMs) => recording.cardFor(call, timeMs).version)).toEqual([1, 2]);
    const rating = openTariff(cards, { asOf: "rating" });
    expect([999, 1_000].map((timeMs) => rating.cardFor(call, timeMs).version)).toEqual([1, 2]);
  });
});

describe("of several cards", () => {
  it("only those for the call count", () => {
    expect(winner([{ id: "a", tenant: "other" }])).toBe("default@1");
    expect(winner([{ id: "a", tenant: "acme", tool: "write" }])).toBe("default@1");
    // Two texts that would be the same in a row are not.
    expect(winner([{ id: "a", tool: "re", server: "adfiles" }])).toBe("default@1");
  });

  it("the one that names most wins", () => {
    const tool = { id: "t", tool: "read" };
    const more = { id: "m", group: "demo", server: "files" };
    const most = { id: "x", tenant: "acme", group: "demo", server: "files" };
    expect(winner([tool])).toBe("t@1");
    expect(winner([tool, more])).toBe("m@1");
    expect(winner([more, tool, most])).toBe("x@1");
  });

  it("of those that name equally many a tenant's wins, then a tool's, a server's, a group's", () => {
    const each = [
      { id: "g", group: "demo" },
      { id: "s", server: "files" },
      { id: "t", tool: "read" },
      { id: "n", tenant: "acme" },
    ];
    for (const [at, { id }] of each.entries()) expect(winner(each.slice(0, at + 1))).toBe(`${id}@1`);
    expect(
      winner([
        { id: "st", server: "files", tool: "read" },
        { id: "ng", tenant: "acme", group: "demo" },
      ]),
    ).toBe("ng@1");
  });

  it("of those that name the same the one wins that became valid last, then the first by its id", () => {
    const old = { id: "a", tool: "read" };
    expect(winner([old, { id: "b", tool: "read", validFromMs: 1_000 }])).toBe("b@1");
    expect(winner([{ id: "b", tool: "read" }, old])).toBe("a@1");
  });
});
