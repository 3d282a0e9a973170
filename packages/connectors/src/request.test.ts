import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readExactly } from "./exact-json.ts";
import type { ConnectorOperation, OperationParameter } from "./operation.ts";
import { type ApiRequest, buildRequest } from "./request.ts";
import { toolsOf } from "./tool.ts";

const OPTIONS = { basePath: "/v1", reserved: ["api_key"], idempotencyKey: "key-1" };

function operation(fields: Partial<ConnectorOperation> = {}): ConnectorOperation {
  return {
    name: "call",
    description: "",
    method: "GET",
    path: "/a",
    parameters: [],
    inputSchema: { type: "object" },
    annotations: {},
    ...fields,
  };
}

type Fields = Partial<Omit<OperationParameter, "name" | "argument">>;
const parameter = (place: OperationParameter["in"], name: string, fields: Fields = {}): OperationParameter => ({
  ...fields,
  in: place,
  name,
  argument: name,
});

function built(fields: Partial<ConnectorOperation>, args: Record<string, unknown>): ApiRequest {
  const request = buildRequest(operation(fields), args, OPTIONS);
  if (!request.ok) throw new Error(request.reason);
  return request.value;
}

function refusal(fields: Partial<ConnectorOperation>, args: Record<string, unknown>): string {
  const request = buildRequest(operation(fields), args, OPTIONS);
  return request.ok ? "" : request.reason;
}

describe("styles, as OpenAPI 3.1 has them (4.8.12.4)", () => {
  const array = ["blue", "black"];
  const object = { R: 100, G: 200 };
  test.each<[Fields, unknown, string]>([
    [{}, "blue", "blue"],
    [{}, array, "blue,black"],
    [{}, object, "R,100,G,200"],
    [{ explode: true }, object, "R=100,G=200"],
    [{ style: "label" }, "blue", ".blue"],
    [{ style: "label", explode: true }, array, ".blue.black"],
    [{ style: "label" }, object, ".R,100,G,200"],
    [{ style: "matrix" }, "blue", ";color=blue"],
    [{ style: "matrix" }, array, ";color=blue,black"],
    [{ style: "matrix", explode: true }, array, ";color=blue;color=black"],
    [{ style: "matrix", explode: true }, object, ";R=100;G=200"],
    [{ contentType: "application/json" }, object, "%7B%22R%22%3A100%2C%22G%22%3A200%7D"],
  ])("path, %j of %j", (fields, value, text) => {
    expect(built({ path: "/{color}", parameters: [parameter("path", "color", fields)] }, { color: value }).path).toBe(
      `/v1/${text}`,
    );
  });

  test.each<[Fields, unknown, string]>([
    [{}, "blue", "color=blue"],
    [{}, array, "color=blue&color=black"],
    [{ explode: false }, array, "color=blue,black"],
    [{}, object, "R=100&G=200"],
    [{ explode: false }, object, "color=R,100,G,200"],
    [{ style: "spaceDelimited" }, array, "color=blue%20black"],
    [{ style: "pipeDelimited" }, array, "color=blue%7Cblack"],
    [{ style: "deepObject" }, object, "color%5BR%5D=100&color%5BG%5D=200"],
    [{ contentType: "application/json" }, array, "color=%5B%22blue%22%2C%22black%22%5D"],
    [{}, true, "color=true"],
  ])("query, %j of %j", (fields, value, text) => {
    expect(built({ parameters: [parameter("query", "color", fields)] }, { color: value }).path).toBe(`/v1/a?${text}`);
  });

  test("header and cookie", () => {
    const parameters = [
      parameter("header", "X-A"),
      parameter("header", "X-B", { explode: true }),
      parameter("cookie", "c"),
    ];
    expect(built({ parameters }, { "X-A": array, "X-B": object, c: "a;b" }).headers).toEqual({
      "x-a": "blue,black",
      "x-b": "R=100,G=200",
      cookie: "c=a%3Bb",
    });
  });
});

describe("whatever an argument holds", () => {
  const anything = fc.oneof(
    fc.string(),
    fc.string({ unit: "binary" }),
    fc.constantFrom("..", ".", "%2e%2e", "/", "//evil.example", "a?b", "a#b", "\\", "\r\nX: y"),
  );

  test("a path stays the operation's own, and says the value back", () => {
    fc.assert(
      fc.property(anything, (id) => {
        const request = buildRequest(
          operation({ path: "/pets/{id}/toys", parameters: [parameter("path", "id")] }),
          { id },
          OPTIONS,
        );
        if (!request.ok) {
          expect(["", ".", ".."]).toContain(id);
          return;
        }
        const url = new URL(request.value.path, "http://api.example");
        expect(url.origin).toBe("http://api.example");
        expect([url.search, url.hash]).toEqual(["", ""]);
        const [, base, pets, segment, toys, ...rest] = url.pathname.split("/");
        expect([base, pets, toys, rest]).toEqual(["v1", "pets", "toys", []]);
        expect(decodeURIComponent(segment!)).toBe(id.toWellFormed());
      }),
    );
  });

  test("a query has the parameter, and no other one", () => {
    fc.assert(
      fc.property(anything, fc.array(anything, { maxLength: 3 }), (one, many) => {
        const parameters = [parameter("query", "one"), parameter("query", "many")];
        const { path } = built({ parameters }, { one, many });
        const { searchParams, pathname } = new URL(path, "http://api.example");
        expect(pathname).toBe("/v1/a");
        expect([...searchParams.keys()]).toEqual(["one", ...many.map(() => "many")]);
        expect(searchParams.getAll("many")).toEqual(many.map((each) => each.toWellFormed()));
        expect(searchParams.get("one")).toBe(one.toWellFormed());
      }),
    );
  });

  test("headers are those of the operation, each on one line", () => {
    fc.assert(
      fc.property(anything, (value) => {
        const parameters = [parameter("header", "X-A"), parameter("cookie", "c")];
        const request = buildRequest(operation({ parameters }), { "X-A": value, c: value }, OPTIONS);
        if (!request.ok) {
          expect(request.reason).toMatch(/a header cannot carry$/);
          return;
        }
        expect(Object.keys(request.value.headers)).toEqual(["x-a", "cookie"]);
        expect(Object.values(request.value.headers).join("")).not.toMatch(/[\r\n\0]/);
        expect(request.value.headers["cookie"]).not.toMatch(/[; ,]/);
      }),
    );
  });

  test("a body of JSON is what was given", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (args) => {
        const text = JSON.stringify(args);
        const body = { contentType: "application/json", required: true };
        const given = readExactly(text) as Record<string, unknown>;
        expect(built({ method: "POST", body }, given).body).toBe(text);
      }),
    );
  });

  test("a form says each value back", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), anything), (args) => {
        const body = { contentType: "application/x-www-form-urlencoded", required: true };
        const form = new URLSearchParams(built({ method: "POST", body }, args).body);
        const expected = Object.entries(args).map(([key, value]) => [key.toWellFormed(), value.toWellFormed()]);
        expect([...form]).toEqual(expected);
      }),
    );
  });
});

describe("refused, with the reason", () => {
  const inPath = { path: "/{id}", parameters: [parameter("path", "id")] };
  test.each<[Partial<ConnectorOperation>, Record<string, unknown>, string]>([
    [inPath, {}, "the argument id is missing or empty"],
    [inPath, { id: null }, "the argument id is missing or empty"],
    [inPath, { id: [] }, "the argument id is missing or empty"],
    [inPath, { id: ".." }, "an argument is . or .., which would lead to another path"],
    [
      { path: "/{a}{b}", parameters: [parameter("path", "a"), parameter("path", "b")] },
      { a: ".", b: "." },
      "an argument is . or .., which would lead to another path",
    ],
    [
      { parameters: [parameter("header", "X-A")] },
      { "X-A": "a\r\nX-B: c" },
      "the argument X-A has what a header cannot carry",
    ],
    [
      { parameters: [parameter("query", "a"), parameter("query", "b")] },
      { a: { b: 1 } },
      "the argument a has a key that is another parameter's name",
    ],
    [
      { parameters: [parameter("query", "a")] },
      { a: { api_key: 1 } },
      "the argument a has a key that is another parameter's name",
    ],
    [{ inputSchema: { type: "object", properties: { a: {} } } }, { b: 1 }, "there is no argument b; it has a"],
    [
      { method: "POST", body: { argument: "body", contentType: "application/json", required: true } },
      {},
      "the argument body is missing",
    ],
    [
      { method: "POST", body: { argument: "body", contentType: "application/x-www-form-urlencoded", required: true } },
      { body: "a" },
      "the argument body has to be an object",
    ],
  ])("%j of %j", (fields, args, reason) => {
    expect(refusal(fields, args)).toBe(reason);
  });
});

test("a body that nobody gives is none, and arguments may be called like what every object has", () => {
  const body = { contentType: "application/json", required: false };
  expect(built({ method: "POST", body }, {})).toEqual({ method: "POST", path: "/v1/a", headers: {} });
  const parameters = [parameter("query", "constructor"), parameter("query", "toString")];
  expect(built({ parameters }, {}).path).toBe("/v1/a");
});

test("an operation's own server takes the place of the base url's path", () => {
  expect(built({ server: "https://api.example/v2/" }, {}).path).toBe("/v2/a");
});

test("a key against repetition is made, and nobody is asked for it", () => {
  const fields = {
    method: "POST",
    parameters: [parameter("header", "Idempotency-Key")],
    inputSchema: {
      type: "object",
      properties: { "Idempotency-Key": { type: "string" }, a: {} },
      required: ["Idempotency-Key"],
    },
  } as const;
  expect(built(fields, { "Idempotency-Key": "given" }).headers).toEqual({ "idempotency-key": "key-1" });
  const [tool] = toolsOf({ operations: [operation(fields)], result: { pick: "", schema: false } });
  expect(JSON.parse(tool!).inputSchema).toEqual({ type: "object", properties: { a: {} } });
});
