import { describe, expect, test } from "vitest";
import { toMessage, versionsFor } from "./declared-cards.ts";
import { parseNewRateCard } from "./new-rate-card.ts";
import type { RateCardRow } from "./rate-card.ts";

const NOW = Date.parse("2026-06-01T00:00:00Z");
const SEPTEMBER = "2026-09-01T00:00:00Z";
const DECEMBER = "2026-12-01T00:00:00Z";

const given = (perCall: string, validFrom?: string) =>
  parseNewRateCard(
    toMessage(
      {
        id: "a",
        currency: "USD",
        per_call: perCall,
        tiers: [],
        ...(validFrom === undefined ? {} : { valid_from: validFrom }),
      },
      "file",
    ),
  );

function version(number: number, perCall: string, validFrom: string): RateCardRow {
  const validFromMs = Date.parse(validFrom);
  return { ...given(perCall), version: number, validFromMs, recordsFromMs: validFromMs };
}

const FIRST = version(1, "1", "2026-01-01T00:00:00Z");
const added = (versions: readonly RateCardRow[], card: ReturnType<typeof given>) =>
  versionsFor(versions, card, NOW).map(({ content, validFromMs }) => [
    content.perCall,
    validFromMs === undefined ? "now" : new Date(validFromMs).toISOString().slice(0, 7),
  ]);

describe("what a card has to get so that it says what the file does", () => {
  test("is nothing where it says so; one version where it does not", () => {
    expect(added([FIRST], given("1"))).toEqual([]);
    expect(added([FIRST], given("2"))).toEqual([["2", "now"]]);
    expect(added([], given("2", DECEMBER))).toEqual([["2", "2026-12"]]);
    expect(added([FIRST, version(2, "2", DECEMBER)], given("2", DECEMBER))).toEqual([]);
  });

  test("moves a price that is still to come, and what holds now goes on until then", () => {
    const versions = [FIRST, version(2, "2", SEPTEMBER)];
    expect(added(versions, given("2", DECEMBER))).toEqual([
      ["1", "2026-09"],
      ["2", "2026-12"],
    ]);
  });

  test("takes back a price that is still to come", () => {
    const versions = [FIRST, version(2, "2", SEPTEMBER)];
    expect(added(versions, given("1"))).toEqual([["1", "2026-09"]]);
    expect(added([...versions, version(3, "1", SEPTEMBER)], given("1"))).toEqual([]);
    expect(added(versions, given("3"))).toEqual([
      ["3", "now"],
      ["3", "2026-09"],
    ]);
  });

  test("cannot be that a card begins later than it did", () => {
    expect(() => added([version(1, "2", SEPTEMBER)], given("2", DECEMBER))).toThrow(
      "rate card a begins at 2026-09-01T00:00:00.000Z and says nothing before",
    );
  });
});
