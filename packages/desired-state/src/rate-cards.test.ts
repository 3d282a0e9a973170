import { expect, test } from "vitest";
import { loadDesiredState } from "./load.ts";

const load = (text: string) => loadDesiredState(text, { file: "/etc/tollgate.yaml", env: {} }).rateCards;

test("a card has prices for what it says, and is for any call where it names none", () => {
  expect(load('rate_cards: [{ id: default, per_call: "0.000000001" }]')).toEqual([
    { id: "default", currency: "USD", per_call: "0.000000001", tiers: [] },
  ]);
});

test.each([
  ["0.001", "rate_cards[0].per_call has to be string, not a number: put it in quotes"],
  ['"0.0000000001"', "rate_cards[0].per_call has to be a decimal number in quotes"],
  ['"-1"', "rate_cards[0].per_call has to be a decimal number in quotes"],
  ['"10000.1"', "rate_cards[0].per_call has to be a decimal number in quotes"],
  ['"1", currency: usd', "rate_cards[0].currency has to be a code"],
  ['"1", valid_from: tomorrow', "rate_cards[0].valid_from has to be a time"],
  ['"1", tiers: [{ per_call: "1" }]', "rate_cards[0].per_call cannot stand beside tiers"],
  ['"1", per_cal: "1"', 'rate_cards[0].per_cal is not a known key; is "per_call" meant?'],
])("per_call: %s is a mistake that says what is wrong", (text, message) => {
  expect(() => load(`rate_cards: [{ id: default, per_call: ${text} }]`)).toThrow(message);
});

test.each([
  ['[{ up_to: 5, per_call: "1" }]', "rate_cards[0].tiers[0].up_to is missing on the last tier"],
  ['[{ per_call: "1" }, { per_call: "2" }]', "rate_cards[0].tiers[0].up_to is missing"],
  [
    '[{ up_to: 5, per_call: "1" }, { up_to: 5, per_call: "2" }, { per_call: "3" }]',
    "rate_cards[0].tiers[1].up_to has to be above the one before",
  ],
])("tiers %s rise to one without an end", (tiers, message) => {
  expect(() => load(`rate_cards: [{ id: default, tiers: ${tiers} }]`)).toThrow(message);
});

test("an id is there once", () => {
  expect(() => load("rate_cards: [{ id: a }, { id: a }]")).toThrow("is the id of another rate card already");
});
