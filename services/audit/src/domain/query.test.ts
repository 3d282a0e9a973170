import { auditV1, newCallId } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeCursor, encodeCursor } from "./cursor.ts";
import { parseQuery, sparsest, walksOf } from "./query.ts";

type Fields = Partial<Omit<auditV1.ListEventsRequest, "filter"> & auditV1.EventFilter>;

function parse(fields: Fields) {
  return parseQuery({
    ...auditV1.ListEventsRequest.create(),
    ...fields,
    filter: { ...auditV1.EventFilter.create(), ...fields },
  });
}

describe("a query", () => {
  it("without any field asks for the newest hundred of all tenants", () => {
    expect(parse({})).toEqual({ order: "newest", filters: new Map(), pageSize: 100 });
  });

  it("carries each filter under its name", () => {
    const { filters } = parse({ kind: "call", outcome: "ok", principal: "p", group: "g", server: "s", tool: "t" });
    expect(Object.fromEntries(filters)).toEqual({
      kind: "call",
      outcome: "ok",
      principal: "p",
      group: "g",
      server: "s",
      tool: "t",
    });
  });

  it.each<[string, Fields]>([
    ["tenant", { tenant: "Not A Name" }],
    ["id", { id: "42" }],
    ["page_size", { pageSize: 1_001 }],
    ["from_ms", { fromMs: -1n }],
    ["to_ms", { toMs: 9_000_000_000_000_000n }],
    ["to_ms", { fromMs: 2n, toMs: 2n }],
    ["tool", { tool: "x".repeat(513) }],
    ["trace", { trace: "AB".repeat(16) }],
    ["decision", { decision: "maybe" }],
    ["text", { text: "x".repeat(513) }],
    ["cursor", { cursor: "garbage" }],
  ])("with a wrong %s is refused by that name", (field, fields) => {
    expect(() => parse(fields)).toThrow(
      expect.objectContaining({ code: "invalid_argument", message: expect.stringContaining(`${field}:`) }),
    );
  });
});

describe("the walks that hold all that fits", () => {
  it.each<[string[], Fields]>([
    [["time"], {}],
    [["time"], { team: "a", group: "g", policy: "p", decision: "allow", kind: "call", outcome: "ok" }],
    [["tenant"], { tenant: "acme", group: "g" }],
    [
      ["trace", "principal", "tool", "server", "tenant"],
      { tenant: "acme", team: "a", server: "s", tool: "t", principal: "p", trace: "ab".repeat(16) },
    ],
    [["kind", "outcome"], { kind: "refusal", outcome: "denied" }],
    [["outcome"], { kind: "call", outcome: "timeout" }],
    [["reason"], { decision: "deny" }],
    [["tool", "reason"], { text: "words", tool: "t" }],
  ])("are %j", (walks, fields) => {
    expect(walksOf(parse(fields))).toEqual(walks);
  });

  it("give way to the sparsest of them: the one that goes furthest, or ends", () => {
    expect(sparsest(["principal", "tool", "tenant"], [5, 20, 10])).toBe("tool");
    expect(sparsest(["principal", "tool", "tenant"], [5, 20, undefined])).toBe("tenant");
    expect(sparsest(["principal", "tool", "tenant"], [undefined, 20, undefined])).toBe("principal");
    expect(sparsest(["time"], [-5])).toBe("time");
  });
});

function decodeOrRefuse(cursor: string): string {
  try {
    return decodeCursor(cursor);
  } catch (error) {
    if (error instanceof AppError && error.code === "invalid_argument") return "refused";
    throw error;
  }
}

describe("a cursor", () => {
  it("is read back as the id that it was made of", () => {
    const id = newCallId(Date.UTC(2026, 10, 20));
    expect(decodeCursor(encodeCursor(id))).toBe(id);
  });

  it("is refused when it is anything else", () => {
    const valid = encodeCursor(newCallId(Date.UTC(2026, 10, 20)));
    const forged = [
      valid.slice(1),
      `${valid}A`,
      `${valid}=`,
      ` ${valid}`,
      valid.replace(/^./, "!"),
      Buffer.alloc(16).toString("base64url"),
    ];
    for (const cursor of forged) expect(() => decodeCursor(cursor)).toThrow("cursor:");
  });

  it("is either an id of ours or refused, whatever text it is", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.base64String(),
          fc.uint8Array({ minLength: 16, maxLength: 16 }).map((b) => Buffer.from(b).toString("base64url")),
        ),
        (text) => {
          const read = decodeOrRefuse(text);
          expect(read === "refused" || encodeCursor(read) === text).toBe(true);
        },
      ),
    );
  });
});
