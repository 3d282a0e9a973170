import { describe, expect, it } from "vitest";
import { RETENTION_DAYS_DEFAULT, retentionDays, retentionSchema, toRetention } from "./retention.ts";

describe("retention", () => {
  it("is seven years for everything where nothing is said", () => {
    const rules = toRetention(retentionSchema.parse(undefined));
    expect(rules).toEqual([]);
    expect(retentionDays(rules, { tenant: "acme", kind: "call" })).toBe(RETENTION_DAYS_DEFAULT);
  });

  it("takes the most specific rule, a tenant's before a kind's, in whatever order they stand", () => {
    const rules = toRetention(
      retentionSchema.parse([
        { days: 400 },
        { kind: "call", days: "30" },
        { tenant: "acme", days: 90 },
        { tenant: "acme", kind: "access", days: 7 },
      ]),
    );
    for (const given of [rules, rules.toReversed()]) {
      expect(retentionDays(given, { tenant: "rival", kind: "change" })).toBe(400);
      expect(retentionDays(given, { tenant: "rival", kind: "call" })).toBe(30);
      expect(retentionDays(given, { tenant: "acme", kind: "call" })).toBe(90);
      expect(retentionDays(given, { tenant: "acme", kind: "access" })).toBe(7);
    }
  });

  it("refuses what would be heeded by nobody, or by chance", () => {
    const problems = (rules: unknown) =>
      retentionSchema.safeParse(rules).error?.issues.map(({ path }) => path.join("."));
    expect(problems([{ tenant: "acme", days: 0 }])).toEqual(["0.days"]);
    expect(problems([{ days: 1.5 }])).toEqual(["0.days"]);
    expect(problems([{ kind: "calls", days: 1 }])).toEqual(["0.kind"]);
    expect(problems([{ tenant: "Acme", days: 1 }])).toEqual(["0.tenant"]);
    expect(problems([{ tenant: "acme" }])).toEqual(["0.days"]);
    expect(
      problems([
        { kind: "call", days: 1 },
        { tenant: "acme", days: 1 },
        { kind: "call", days: 2 },
      ]),
    ).toEqual(["2"]);
  });
});
