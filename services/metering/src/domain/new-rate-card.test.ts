import { meteringV1 } from "@tollgate/contracts";
import { expect, describe, it } from "vitest";
import { parseNewRateCard } from "./new-rate-card.ts";

function parse(fields: Partial<meteringV1.RateCard>) {
  return parseNewRateCard({ ...meteringV1.RateCard.fromPartial({}), id: "files", currency: "USD", ...fields });
}

describe("a new rate card", () => {
  it("has prices as they are written everywhere, and 0 for those that are not given", () => {
    const tiers = [
      { upTo: 1_000n, perCall: "0.0010" },
      { upTo: 0n, perCall: "" },
    ];
    expect(parse({ perSecond: "0.50", validFromMs: 5n, tenant: "acme", tool: "read file", tiers })).toEqual({
      id: "files",
      currency: "USD",
      tenant: "acme",
      group: "",
      server: "",
      tool: "read file",
      validFromMs: 5,
      perCall: "0",
      perSecond: "0.5",
      perCpuSecond: "0",
      perMegabyte: "0",
      perColdStart: "0",
      tiers: [
        { upTo: 1_000, perCall: "0.001" },
        { upTo: 0, perCall: "0" },
      ],
    });
    expect(parse({}).validFromMs).toBeUndefined();
  });

  const last = { upTo: 0n, perCall: "1" };
  it.each<[string, Partial<meteringV1.RateCard>]>([
    ["id", { id: "" }],
    ["id", { id: "A" }],
    ["currency", { currency: "usd" }],
    ["tenant", { tenant: "a b" }],
    ["group", { group: "-" }],
    ["server", { server: "*" }],
    ["tool", { tool: "\0" }],
    ["valid_from", { validFromMs: -1n }],
    ["per_call", { perCall: "-1" }],
    ["per_call", { perCall: "10000.000000001" }],
    ["per_second", { perSecond: "1e3" }],
    ["per_cpu_second", { perCpuSecond: "0.0000000001" }],
    ["per_megabyte", { perMegabyte: "NaN" }],
    ["per_cold_start", { perColdStart: " 1" }],
    ["per_call", { perCall: "1", tiers: [last] }],
    ["tiers[0].up_to", { tiers: [{ upTo: 5n, perCall: "1" }] }],
    ["tiers[0].up_to", { tiers: [last, last] }],
    ["tiers[1].up_to", { tiers: [{ upTo: 5n, perCall: "1" }, { upTo: 5n, perCall: "1" }, last] }],
    ["tiers[0].per_call", { tiers: [{ upTo: 0n, perCall: "x" }] }],
    ["tiers", { tiers: Array.from({ length: 21 }, () => last) }],
  ])("with a wrong %s is refused by that name", (field, fields) => {
    const refusal = { code: "invalid_argument", message: expect.stringContaining(`${field}: `), details: { field } };
    expect(() => parse(fields)).toThrow(expect.objectContaining(refusal));
  });
});
