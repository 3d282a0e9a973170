import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, it } from "vitest";
import { operationsOf, type OperationsOptions } from "../src/openapi.ts";
import { readOpenApi } from "../src/openapi-document.ts";

function read(document: unknown, options?: OperationsOptions) {
  const { operations, warnings } = operationsOf(readOpenApi(document), options);
  return { operations, warnings, named: (name: string) => operations.find((each) => each.name === name)! };
}

describe("a document that is large where all its operations refer to", () => {
  const $ref = "#/components/schemas/large";
  const names = (count: number) => Array.from({ length: count }, (_, at) => `p${at}`);
  const each = (list: readonly string[], value: (name: string) => object) =>
    Object.fromEntries(list.map((name) => [name, value(name)]));
  const WIDE = { type: "object", properties: each(names(50_000), () => ({ type: "string" })), required: ["p1"] };
  /** As many operations, with what `schema` gives as body and answer. */
  function sharing(count: number, schema: (name: string) => object, schemas: object) {
    const operation = (name: string) => {
      const content = { "application/json": { schema: schema(name) } };
      return {
        post: { operationId: name, requestBody: { required: true, content }, responses: { 200: { content } } },
      };
    };
    const paths = Object.fromEntries(names(count).map((name) => [`/${name}`, operation(name)]));
    return { openapi: "3.1.0", paths, components: { schemas } };
  }
  function stepsOf(document: object): number {
    const openapi = readOpenApi(document);
    const { left } = openapi.steps;
    operationsOf(openapi);
    return left - openapi.steps.left;
  }

  it("what stands behind a reference is read once, also where something is said beside that", () => {
    const plain = stepsOf(sharing(400, () => ({ $ref }), { large: WIDE }));
    const described = stepsOf(sharing(400, (description) => ({ $ref, description }), { large: WIDE }));
    // Some for each operation, its body and its answer; nothing for what is behind the reference.
    expect(plain).toBeLessThan(150_000);
    expect(described).toBeLessThan(150_000);
  });

  it("no more of it is read than a tool may say", () => {
    const within = (large: object) =>
      stepsOf(sharing(20, (description) => ({ properties: { a: { $ref, description } } }), { large }));
    expect(within(WIDE)).toBeLessThan(200_000);
    expect(within({ allOf: names(50_000).map(() => ({})) })).toBeLessThan(500_000);
    expect(within({ anyOf: names(50_000).map((title) => ({ title })) })).toBeLessThan(200_000);
    expect(within({ required: names(50_000) })).toBeLessThan(200_000);
  });

  it("what is left away is allowed all the same", () => {
    const part = { properties: { a: { $ref } } };
    const rest = { ...WIDE, additionalProperties: false };
    const { named, warnings } = read(
      sharing(1, () => ({ ...part, allOf: [{ $ref }, { type: "object", properties: { own: {} } }] }), {
        large: rest,
      }),
    );
    expect(warnings).toContain("POST /p0: body: a large schema is left open");
    // As arguments of the tool's own, those that it does not name could not be given.
    expect(named("p0").body).toEqual({ argument: "body", contentType: "application/json", required: true });
    const { body } = named("p0").inputSchema["properties"] as Record<string, object>;
    expect(JSON.stringify(body).length).toBeLessThan(20_000);
    const isValid = new Ajv2020({ strict: false }).compile(body!);
    expect(isValid({ p1: "x", p49999: "y", own: 1 })).toBe(true);
    expect(isValid({ a: {} })).toBe(false);

    const choices = names(5_000).map((name) => ({ const: name }));
    const choice = read(sharing(1, () => ({ anyOf: choices }), {})).named("p0").inputSchema;
    expect(new Ajv2020({ strict: false }).compile(choice)({ body: "p4999" })).toBe(true);
    const list = { type: "array", prefixItems: choices, items: { type: "string" } };
    const tuple = read(sharing(1, () => list, {})).named("p0").inputSchema;
    expect(new Ajv2020({ strict: false }).compile(tuple)({ body: [...names(4_999), 7] })).toBe(true);
  });

  it("is refused where it takes too much all the same", () => {
    const within = (title: string) => ({ properties: { a: { $ref }, b: { title } } });
    const large = { allOf: names(5_000).map(() => ({})) };
    const openapi = readOpenApi(sharing(200, within, { large }));
    // So that it does not take as long as it may.
    openapi.steps.left /= 20;
    expect(() => operationsOf(openapi)).toThrow(/takes too long to read/);
    const parameters = names(200).map((name) => ({ in: "query", name, schema: {} }));
    const shared = { post: { parameters, tags: names(200) } };
    const paths = {
      "/x": shared,
      ...each(
        names(10_000).map((name) => `/${name}`),
        () => ({ $ref: "#/paths/~1x" }),
      ),
    };
    expect(() => stepsOf({ openapi: "3.1.0", paths })).toThrow(/takes too long to read/);
  });

  it("operations that are all called alike are told apart in as many steps as there are", () => {
    const operations = { get: { operationId: "same" } };
    const paths = each(
      names(30_000).map((name) => `/${name}`),
      () => operations,
    );
    let seen = 0;
    const isWanted = ({ name }: { name: string }) => (seen += 1) === 30_000 && name === "same_30000";
    expect(read({ openapi: "3.1.0", paths }, { isWanted }).operations).toHaveLength(1);
  });
});
