import { meteringV1 } from "@tollgate/contracts";
import { describe, expect, it } from "vitest";
import { parseUsageQuery } from "./usage-query.ts";

type Fields = Partial<meteringV1.GetUsageRequest>;

function parse(fields: Fields) {
  return parseUsageQuery({ ...meteringV1.GetUsageRequest.fromPartial({}), ...fields });
}

describe("a usage query", () => {
  it("without any field asks for one total of everything", () => {
    expect(parse({})).toEqual({ groupBy: [], limit: 1_000 });
  });

  it("groups by any of the six, in the order given", () => {
    expect(parse({ groupBy: ["tool", "tenant", "team", "principal", "group", "server"] }).groupBy).toHaveLength(6);
    expect(parse({ groupBy: ["tool", "team"] }).groupBy).toEqual(["tool", "team"]);
  });

  it.each<[string, Fields]>([
    ["tenant", { tenant: "a'; DROP" }],
    ["group_by", { groupBy: ["cost"] }],
    ["group_by", { groupBy: ["tool", "tool"] }],
    ["group_by", { groupBy: ["toString"] }],
    ["limit", { limit: 10_001 }],
    ["from_ms", { fromMs: -1n }],
    ["to_ms", { toMs: 2n ** 62n }],
    ["to_ms", { fromMs: 5n, toMs: 4n }],
  ])("with a wrong %s is refused by that name", (field, fields) => {
    const refusal = { code: "invalid_argument", message: expect.stringContaining(`${field}:`) };
    expect(() => parse(fields)).toThrow(expect.objectContaining(refusal));
  });
});
