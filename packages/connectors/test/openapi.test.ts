import { AppError } from "@tollgate/errors";
import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { baseUrlOf, operationsOf, type OperationsOptions } from "../src/openapi.ts";
import { readOpenApi } from "../src/openapi-document.ts";
import { securityOf } from "../src/openapi-security.ts";
import { LIBRARY_3_1, PETS_2_0, SHOP_3_0 } from "./openapi-documents.ts";

function read(document: unknown, options?: OperationsOptions) {
  const openapi = readOpenApi(document);
  const { operations, warnings } = operationsOf(openapi, options);
  const named = (name: string) => {
    const found = operations.find((each) => each.name === name);
    if (found === undefined) throw new Error(`no ${name} among ${operations.map((each) => each.name).join(", ")}`);
    return found;
  };
  return { openapi, operations, warnings, named };
}

/** One operation of OpenAPI 3.1 at /x. */
function withOperation(operation: object, more: object = {}) {
  return { openapi: "3.1.0", info: {}, paths: { "/x": { post: { operationId: "x", ...operation } } }, ...more };
}

function bodyOf(schema: unknown, more: object = {}) {
  return { requestBody: { required: true, content: { "application/json": { schema } } }, ...more };
}

describe("Swagger 2.0", () => {
  const { operations, warnings, named, openapi } = read(PETS_2_0);

  it("has a tool for each operation, in the document's order, but for deprecated ones", () => {
    expect(operations.map(({ name }) => name)).toEqual([
      "listPets",
      "addPet",
      "getPet",
      "renamePet",
      "delete_pets_petId",
    ]);
    expect(read(PETS_2_0, { deprecated: true }).operations.map(({ name }) => name)).toContain("findPetsByStatus");
  });

  it("asks for a body's properties one by one, and never for what is read-only or a credential", () => {
    expect(named("addPet")).toMatchObject({
      method: "POST",
      body: { contentType: "application/json", required: true },
    });
    expect(named("addPet").inputSchema).toEqual({
      type: "object",
      properties: {
        name: { type: "string", maxLength: 50 },
        tags: { type: "array", items: { type: "string" } },
        owner: {
          type: "object",
          properties: { name: { type: ["string", "null"] }, pets: { type: "array", items: {} } },
        },
      },
      required: ["name"],
      additionalProperties: false,
    });
    expect(warnings).toContain("POST /pets: body: #/components/schemas/Pet contains itself and is left open");
  });

  it("knows how lists are written into the query, and how pages are asked for", () => {
    expect(named("listPets").parameters).toEqual([
      { argument: "tags", in: "query", name: "tags", style: "pipeDelimited" },
      { argument: "ids", in: "query", name: "ids" },
      { argument: "colours", in: "query", name: "colours", explode: false },
      { argument: "page", in: "query", name: "page" },
      { argument: "per_page", in: "query", name: "per_page" },
    ]);
    expect(named("listPets").pagination).toEqual({ style: "page", parameter: "page", size: "per_page" });
    expect(named("listPets").outputSchema).toBeUndefined();
  });

  it("sends forms, and leaves out what only multipart could carry", () => {
    expect(named("renamePet").body).toEqual({ contentType: "application/x-www-form-urlencoded", required: true });
    expect(named("renamePet").inputSchema).toMatchObject({ required: ["petId", "name"] });
    expect(warnings).toContain(
      "POST /pets/{petId}/photo: is left out: it takes neither JSON nor a form, but multipart/form-data",
    );
  });

  it("knows what a method means for risk and repetition", () => {
    const of = (name: string) => [named(name).risk, named(name).annotations];
    expect(of("getPet")).toEqual(["LOW", { readOnlyHint: true }]);
    expect(of("addPet")).toEqual(["MEDIUM", {}]);
    expect(of("delete_pets_petId")).toEqual(["HIGH", { idempotentHint: true, destructiveHint: true }]);
  });

  it("says where the API is and how to get in", () => {
    expect(baseUrlOf(openapi)).toBe("https://pets.example.com/v2");
    expect(securityOf(openapi, operations, { prefix: "pets" })).toEqual({
      auth: { type: "api_key", name: "X-Api-Key", in: "header", value: "${secret:pets.key}" },
      secrets: [{ name: "pets.key", from: "apiKey" }],
      warnings: [],
    });
  });
});

describe("OpenAPI 3.0", () => {
  const { named, warnings, openapi, operations } = read(SHOP_3_0, {
    from: "https://shop.example.com/docs/openapi.json",
  });

  it("merges what allOf puts together, and takes nullable for a type", () => {
    expect(named("createOrder").inputSchema).toEqual({
      type: "object",
      properties: {
        "X-Request-Id": { type: "string", format: "uuid", description: "Repeats are recognised by it." },
        customer: { type: "string" },
        note: { type: ["string", "null"], description: "For the driver" },
        lines: {
          type: "array",
          minItems: 1,
          items: {
            type: "object",
            properties: { sku: { type: "string" }, amount: { type: "integer", exclusiveMinimum: 0 } },
            required: ["sku"],
          },
        },
      },
      required: ["customer", "lines"],
      additionalProperties: false,
    });
  });

  it("keeps alternatives together as one argument, and never refuses a value that fits two of them", () => {
    expect(named("pay").body).toEqual({ argument: "body", contentType: "application/json", required: true });
    expect(named("pay").inputSchema).toMatchObject({
      properties: {
        orderId: { type: "string" },
        body: {
          anyOf: [
            { type: "object", required: ["card"] },
            { type: "object", required: ["iban"] },
          ],
        },
      },
      required: ["orderId", "body"],
    });
  });

  it("names arguments apart that have the same name in two places", () => {
    expect(named("patchOrder").parameters).toEqual([
      { argument: "id", in: "path", name: "id" },
      { argument: "id_query", in: "query", name: "id" },
      { argument: "filter_state", in: "query", name: "filter[state]", style: "deepObject", explode: true },
      { argument: "where", in: "query", name: "where", contentType: "application/json" },
      { argument: "session", in: "cookie", name: "session" },
    ]);
    expect(named("patchOrder").body).toEqual({
      argument: "body",
      contentType: "application/merge-patch+json",
      required: true,
    });
  });

  it("says what a JSON object as answer looks like, without what is write-only", () => {
    expect(named("createOrder").outputSchema).toEqual({
      type: "object",
      properties: {
        id: { type: "string" },
        customer: { type: "string" },
        note: { type: ["string", "null"], description: "For the driver" },
        lines: expect.anything() as unknown,
      },
      required: ["customer", "lines", "id"],
    });
  });

  it("fills a url's variables, completes it, and tells an operation's own", () => {
    expect(baseUrlOf(openapi, "https://shop.example.com/docs/openapi.json")).toBe("https://shop.example.com/api/v3");
    expect(named("createOrder").server).toBeUndefined();
    expect(named("track").server).toBe("https://tracking.example.com/eu");
  });

  it("takes client credentials, of which the token's url may be relative, and tells what else is asked for", () => {
    const security = securityOf(openapi, operations, { prefix: "shop", from: "https://shop.example.com/docs/" });
    expect(security.auth).toEqual({
      type: "oauth_client_credentials",
      token_url: "https://shop.example.com/oauth/token",
      client_id: "${secret:shop.client_id}",
      client_secret: "${secret:shop.client_secret}",
      scopes: ["orders"],
    });
    expect(security.warnings).toEqual(["auth is for the security scheme oauth; operations ask for courier too"]);
  });

  it("says nothing is wrong with it", () => expect(warnings).toEqual([]));
});

describe("OpenAPI 3.1", () => {
  const { named, operations, openapi } = read(LIBRARY_3_1);

  it("follows $defs, parts of other schemas, and references with something beside them", () => {
    expect(named("search.books").inputSchema).toEqual({
      type: "object",
      properties: {
        q: { type: "string", minLength: 1, description: "Words" },
        sort: { type: "string", enum: ["title", "year"], default: "title", description: "The order" },
        cursor: { type: ["string", "null"] },
        limit: { type: "integer" },
      },
      required: ["q"],
      additionalProperties: false,
    });
  });

  it("finds the next page's cursor in the answer", () => {
    expect(named("search.books").pagination).toEqual({
      style: "cursor",
      parameter: "cursor",
      next: "/meta/next_cursor",
      size: "limit",
    });
  });

  it("takes an undescribed part of the path for a text", () => {
    expect(named("get_books_isbn").parameters).toEqual([{ argument: "isbn", in: "path", name: "isbn" }]);
    expect(named("get_books_isbn")).toMatchObject({
      description: "GET /books/{isbn}",
      inputSchema: { required: ["isbn"] },
    });
  });

  it("needs no secret for what is open", () => {
    expect(named("search.books").security).toBeUndefined();
    expect(securityOf(openapi, operations, { prefix: "library" }).auth).toEqual({
      type: "bearer",
      token: "${secret:library.token}",
    });
  });
});

describe("what a document may hold besides", () => {
  it("never leads out of it", () => {
    const external = ["https://evil.example.com/x.json", "file:///etc/passwd", "other.yaml#/a", "#/nowhere", "#anchor"];
    for (const $ref of external) {
      const { named, warnings } = read(withOperation(bodyOf({ $ref })));
      expect(named("x").inputSchema["properties"]).toEqual({ body: {} });
      expect(warnings).toEqual([`POST /x: body: ${$ref} is not in the document and is left open`]);
    }
    expect(read(withOperation({ requestBody: { $ref: "https://evil.example.com/x" } })).operations).toEqual([]);
  });

  it("is never asked a model that the connection or the connector says itself", () => {
    const names = ["Authorization", "content-type", "Host", "Content-Length", "Cookie", "transfer-encoding"];
    const parameters = names.map((name) => ({ in: "header", name, required: true, schema: {} }));
    expect(read(withOperation({ parameters })).named("x").parameters).toEqual([]);
  });

  it("may be larger than any tool should be: deep parts are left open", () => {
    const schemas = Object.fromEntries(
      Array.from({ length: 20 }, (_, at) => {
        const $ref = `#/components/schemas/s${at + 1}`;
        return [`s${at}`, { type: "object", properties: { a: { $ref }, b: { $ref }, c: { $ref } } }];
      }),
    );
    const body = bodyOf({ $ref: "#/components/schemas/s0" });
    const { named, warnings } = read(withOperation(body, { components: { schemas } }));
    expect(JSON.stringify(named("x")).length).toBeLessThan(40_000);
    expect(Object.keys(named("x").inputSchema["properties"] as object)).toEqual(["a", "b", "c"]);
    const { a, b, c } = named("x").inputSchema["properties"] as Record<string, unknown>;
    expect([b, c]).toEqual([a, a]);
    expect(warnings).toEqual(["POST /x: body: a large schema is left open"]);
  });

  it("may have patterns that take too long, or are none: they are left out", () => {
    for (const pattern of ["^(?=a)b$", "(a)\\1", "(", "a{1,5000}"]) {
      const { named } = read(withOperation(bodyOf({ type: "object", properties: { a: { type: "string", pattern } } })));
      expect(named("x").inputSchema["properties"]).toEqual({ a: { type: "string" } });
    }
  });

  it("may name operations alike, oddly or at length: tools' names are valid and unique", () => {
    const paths = Object.fromEntries(
      ["same", "same", "a b/c", "", "ü", "x".repeat(300), "x".repeat(301)].map((operationId, at) => [
        `/p${at}`,
        { get: { operationId } },
      ]),
    );
    const names = read({ openapi: "3.0.3", paths }).operations.map(({ name }) => name);
    expect(new Set(names).size).toBe(7);
    expect(names.slice(0, 5)).toEqual(["same", "same_2", "a_b_c", "get_p3", "get_p4"]);
    for (const name of names) expect(name).toMatch(/^[A-Za-z0-9_.-]{1,128}$/);
  });

  it("has the same names, whatever is wanted of it; what is not wanted does not count", () => {
    const paths = Object.fromEntries(
      Array.from({ length: 2_001 }, (_, at) => [
        `/p${at}`,
        { get: { operationId: "op", tags: [at === 7 ? "a" : "b"] } },
      ]),
    );
    const document = { openapi: "3.0.3", paths };
    expect(() => read(document)).toThrow(/2001 operations/);
    const { operations } = read(document, { isWanted: ({ tags }) => tags.includes("a") });
    expect(operations.map(({ name, path, tags }) => [name, path, tags])).toEqual([["op_8", "/p7", ["a"]]]);
  });

  it.each([
    ["nothing", undefined],
    ["a text", "openapi: 3.1"],
    ["no version", { paths: {} }],
    ["a version that is not known", { openapi: "4.0.0", paths: {} }],
    ["another's version", { swagger: "1.2" }],
  ])("is refused where it is %s", (_what, document) => expect(() => read(document)).toThrow(AppError));

  it("is refused where it contains itself, or is too deep", () => {
    const loop: Record<string, unknown> = { openapi: "3.1.0" };
    loop["paths"] = loop;
    expect(() => read(loop)).toThrow(/contains itself/);
    const deep = Array.from({ length: 50_000 }).reduce<object>((inner) => ({ a: inner }), {});
    expect(() => read({ openapi: "3.1.0", deep })).toThrow(AppError);
  });

  it("is left as it was", () => {
    const before = JSON.stringify(PETS_2_0);
    read(PETS_2_0);
    expect(JSON.stringify(PETS_2_0)).toBe(before);
  });

  it("keeps a body apart whose members are called like a parameter", () => {
    const parameters = [{ in: "query", name: "id", schema: { type: "integer" } }];
    const { named } = read(
      withOperation(bodyOf({ type: "object", properties: { id: { type: "string" } } }, { parameters })),
    );
    expect(named("x")).toMatchObject({
      body: { argument: "body" },
      inputSchema: { properties: { id: { type: "integer" }, body: { properties: { id: { type: "string" } } } } },
    });
  });

  it("may ask for a token where none can be had: then it has to be given one", () => {
    for (const tokenUrl of ["https://id.example.com/token?tenant=1", "ftp://id.example.com", "/token"]) {
      const securitySchemes = { s: { type: "oauth2", flows: { clientCredentials: { tokenUrl, scopes: {} } } } };
      const { openapi, operations } = read(
        withOperation({ security: [{ s: [] }] }, { components: { securitySchemes } }),
      );
      expect(securityOf(openapi, operations, { prefix: "x" })).toMatchObject({
        auth: { type: "bearer", token: "${secret:x.token}" },
        warnings: [expect.stringContaining("only client credentials") as unknown],
      });
    }
  });

  it("changes no object's prototype", () => {
    const text = JSON.stringify(SHOP_3_0).replaceAll('"customer"', '"__proto__"');
    expect(read(JSON.parse(text)).operations).not.toEqual([]);
    const odd = JSON.parse('{"type": "object", "properties": {"__proto__": {"type": "string"}, "a": {}}}') as unknown;
    const properties = read(withOperation(bodyOf(odd))).named("x").inputSchema["properties"];
    expect(properties).toEqual({ a: {} });
    expect(Object.getPrototypeOf(properties)).toBe(Object.prototype);
  });
});

describe("any document", () => {
  const json = fc.oneof(
    fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<unknown>,
    fc.constantFrom<unknown>(
      { $ref: "#/components/schemas/Pet" },
      { $ref: "#" },
      { $ref: "#/paths" },
      { type: [] },
      { type: ["string", "string"], enum: [] },
      { required: ["a", "a"], properties: { a: false, b: true } },
      { allOf: [{ $ref: "#/components/schemas/Pet" }, { required: ["x"] }, false] },
      { minimum: "1", pattern: "[", multipleOf: 0, minLength: -1, exclusiveMinimum: true },
      { items: [{}], prefixItems: [], anyOf: [], additionalProperties: 3, oneOf: [false] },
    ),
  );
  const changed = fc
    .tuple(
      fc.constantFrom<unknown>(PETS_2_0, SHOP_3_0, LIBRARY_3_1),
      fc.array(fc.tuple(fc.array(fc.nat(), { minLength: 4, maxLength: 16 }), json), { minLength: 1, maxLength: 4 }),
    )
    .map(([document, changes]) => {
      const copy = structuredClone(document);
      for (const [path, value] of changes) replaceAt(copy, path, structuredClone(value));
      return copy;
    });

  it("is read or refused, and each of its tools is one that clients can use", { timeout: 60_000 }, () => {
    fc.assert(
      fc.property(fc.oneof({ weight: 9, arbitrary: changed }, json), (document) => {
        let found: ReturnType<typeof read>;
        try {
          found = read(document);
        } catch (error) {
          expect(error).toBeInstanceOf(AppError);
          return;
        }
        // One for all of a document: compiling its own schema is what takes long.
        const ajv = new Ajv2020({ strict: false, logger: false });
        for (const { name, path, inputSchema, outputSchema, parameters } of found.operations) {
          expect(name).toMatch(/^[A-Za-z0-9_.-]{1,128}$/);
          expect(inputSchema).toMatchObject({ type: "object", additionalProperties: false });
          ajv.compile(inputSchema);
          if (outputSchema) ajv.compile({ ...outputSchema });
          const known = Object.keys(inputSchema["properties"] as object);
          for (const each of parameters) expect(known).toContain(each.argument);
          const needed = [...path.matchAll(/\{([^{}]*)\}/g)].map(([, each]) => each);
          expect(parameters.filter((each) => each.in === "path").map((each) => each.name)).toEqual(
            expect.arrayContaining(needed),
          );
        }
        securityOf(found.openapi, found.operations, { prefix: "x" });
        baseUrlOf(found.openapi, "https://example.com");
      }),
      { numRuns: 150 },
    );
  });
});

/** Puts the value somewhere: the path is of positions, each taken modulo how many members there are. */
function replaceAt(document: unknown, path: readonly number[], value: unknown): void {
  let at = document as Record<string, unknown>;
  for (const [index, step] of path.entries()) {
    const keys = Object.keys(at);
    if (keys.length === 0) return;
    const key = keys[step % keys.length]!;
    const next = at[key];
    if (index === path.length - 1 || typeof next !== "object" || next === null) {
      at[key] = value;
      return;
    }
    at = next as Record<string, unknown>;
  }
}
