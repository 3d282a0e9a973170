import { expect, test } from "vitest";
import { exampleOf, type ExampleSchema } from "./schema-examples.ts";

const NAMED = { server: "files", team: "red" };

test.each<[ExampleSchema, unknown]>([
  [{ type: "string", examples: ["own"], enum: ["other"] }, "own"],
  [{ type: "string", enum: ["", "allow", "deny"] }, "allow"],
  [{ const: 3 }, 3],
  [{ type: "string", format: "date-time" }, "2026-11-21T07:00:00.000Z"],
  [{ anyOf: [{ type: "string" }, { type: "integer", minimum: 5 }] }, 5],
  [{ type: ["string", "null"] }, null],
  [{ type: "array", items: { type: "boolean" } }, [false]],
  [{ type: "array", items: { type: "string" } }, []],
  [{ type: "string", default: "" }, ""],
  [{ type: "object", additionalProperties: {} } as ExampleSchema, {}],
  [
    {
      type: "object",
      properties: {
        server: { type: "string" },
        note: { type: "string" },
        team: { type: "string", examples: ["blue"] },
      },
      required: ["server"],
    },
    { server: "files", team: "blue" },
  ],
])("%j is such as %j", (schema, expected) => expect(exampleOf(schema, NAMED)).toEqual(expected));

test("nothing is, where something that is needed has none", () => {
  const inner = { type: "object", properties: { nameless: { type: "string" } }, required: ["nameless"] };
  expect(exampleOf({ type: "string" }, NAMED)).toBeUndefined();
  expect(exampleOf({ type: "object", properties: { inner }, required: ["inner"] }, NAMED)).toBeUndefined();
});
