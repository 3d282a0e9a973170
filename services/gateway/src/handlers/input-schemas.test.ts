import { describe, expect, test } from "vitest";
import { createInputSchemas } from "./input-schemas.ts";

function check(inputSchema: unknown, callArguments: unknown) {
  return createInputSchemas().check(JSON.stringify({ name: "t", inputSchema }), callArguments);
}

const PATH = {
  type: "object",
  properties: { path: { type: "string", pattern: "^/data/[a-z]+$" }, depth: { type: "integer", maximum: 3 } },
  required: ["path"],
  additionalProperties: false,
};

describe("arguments", () => {
  test("that fit pass", () => {
    expect(check(PATH, { path: "/data/a", depth: 3 })).toBeUndefined();
    expect(check(undefined, { any: "thing" })).toBeUndefined();
    expect(check({ type: "object" }, {})).toBeUndefined();
  });

  test("that do not are told by their places, all of them, and never by a value", () => {
    const problem = check(PATH, { path: "/etc/shadow-secret", depth: 99_999, extra: "hidden" });
    expect(problem?.reason).toBe(
      "the arguments do not fit the tool's input schema: they must NOT have additional properties",
    );
    expect(problem?.errors).toEqual([
      { path: "", message: "must NOT have additional properties" },
      { path: "/path", message: 'must match pattern "^/data/[a-z]+$"' },
      { path: "/depth", message: "must be <= 3" },
    ]);
    expect(JSON.stringify(problem)).not.toMatch(/shadow|99999|hidden/);
    expect(check(PATH, {})?.errors).toEqual([{ path: "", message: "must have required property 'path'" }]);
  });

  test("are told of some mistakes only, where there are many", () => {
    const many = { type: "array", items: { type: "string" } };
    expect(check({ properties: { list: many } }, { list: Array(1_000).fill(1) })?.errors).toHaveLength(20);
  });

  test("are seen as each dialect has it", () => {
    const tuple = (keys: object) => ({ properties: { pair: { type: "array", ...keys } } });
    const modern = { ...tuple({ prefixItems: [{ type: "string" }] }) };
    const draft07 = { $schema: "http://json-schema.org/draft-07/schema#", ...tuple({ items: [{ type: "string" }] }) };
    for (const schema of [modern, draft07]) {
      expect(check(schema, { pair: ["a", 1] })).toBeUndefined();
      expect(check(schema, { pair: [1] })?.errors).toEqual([{ path: "/pair/0", message: "must be string" }]);
    }
  });

  test("are checked for their formats", () => {
    const schema = { properties: { day: { type: "string", format: "date" }, other: { format: "never-heard-of" } } };
    expect(check(schema, { day: "2027-01-31", other: 1 })).toBeUndefined();
    expect(check(schema, { day: "2027-02-31" })?.errors).toEqual([
      { path: "/day", message: 'must match format "date"' },
    ]);
  });
});

describe("a server's schema", () => {
  const refused = (why: string) =>
    expect.objectContaining({
      reason: expect.stringMatching(
        new RegExp(`^the tool's input schema cannot be used, so its calls are refused: .*${why}`),
      ),
    });

  test.each<[string, unknown, string]>([
    ["names a dialect that is not known", { $schema: "http://json-schema.org/draft-04/schema#" }, "neither"],
    ["is no schema", { type: "objekt" }, "schema is invalid"],
    ["is text", "object", "no object"],
    ["has a rule of the wrong type", { maxProperties: "1); process.exit(" }, "schema is invalid"],
    ["refers to the network", { $ref: "http://127.0.0.1:1/schema.json" }, "can't resolve reference"],
    ["refers to what is not there", { $ref: "#/$defs/none" }, "can't resolve reference"],
    ["has a pattern that looks ahead", { properties: { a: { pattern: "(?=a)b" } } }, "invalid or unsupported"],
    ["has a pattern that is none", { properties: { a: { pattern: "(" } } }, "."],
    ["is too long", { description: "x".repeat(262_144) }, "longer than 262144 characters"],
  ])("that %s lets nothing pass, and says so", (_name, schema, why) => {
    expect(check(schema, { a: "b" })).toEqual(refused(why));
  });

  test("cannot hang the gateway with a pattern", () => {
    const schema = { properties: { a: { type: "string", pattern: "^(a+)+$" } } };
    expect(check(schema, { a: `${"a".repeat(50_000)}b` })?.errors).toEqual([
      { path: "/a", message: 'must match pattern "^(a+)+$"' },
    ]);
  });

  test("cannot hang the gateway with references", () => {
    const nested = { type: "array", items: { $ref: "#/$defs/a" } };
    const schema = { $defs: { a: { anyOf: [nested, nested, nested] } }, properties: { a: { $ref: "#/$defs/a" } } };
    let deep: unknown = 1;
    for (let i = 0; i < 60; i++) deep = [deep];
    expect(check(schema, { a: deep })).toEqual({
      reason: "the arguments could not be checked: it takes longer than 250 ms",
      errors: [],
    });
  });

  test("cannot reach another's", () => {
    const schemas = createInputSchemas();
    const definition = (inputSchema: object) => JSON.stringify({ inputSchema });
    const lax = definition({ $id: "https://victim.example/schema", type: "object" });
    expect(schemas.check(lax, {})).toBeUndefined();
    expect(schemas.check(definition({ $ref: "https://victim.example/schema" }), {})).toEqual(refused("can't resolve"));
    // The same name for something else is nobody's business.
    const strict = definition({ $id: "https://victim.example/schema", maxProperties: 0 });
    expect(schemas.check(strict, { a: 1 })?.errors).toHaveLength(1);
    expect(schemas.check(lax, { a: 1 })).toBeUndefined();
  });

  test("cannot take the place of its dialect's own", () => {
    const schemas = createInputSchemas();
    const taking = { $id: "https://json-schema.org/draft/2020-12/schema", type: "object" };
    expect(schemas.check(JSON.stringify({ inputSchema: taking }), {})).toBeUndefined();
    const wrong = JSON.stringify({ inputSchema: { type: "objekt" } });
    expect(schemas.check(wrong, {})).toEqual(refused("schema is invalid"));
  });

  test("has each of its patterns heeded", () => {
    const schema = { properties: { a: { pattern: "^a$" }, b: { pattern: "^b$" } } };
    expect(check(schema, { a: "a", b: "b" })).toBeUndefined();
    expect(check(schema, { a: "b", b: "a" })?.errors.map(({ path }) => path)).toEqual(["/a", "/b"]);
  });
});
