import { parseFrame, type RequestFrame } from "@tollgate/mcp";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { registryServer, registryTool, snapshotOf } from "../../test/sample-catalogue.ts";
import { toCatalogue } from "./catalogue.ts";
import {
  bearerToken,
  checkLegacyAccept,
  checkLegacyVersion,
  checkModern,
  checkParamHeaders,
  isOriginAllowed,
} from "./http-checks.ts";

describe("origins", () => {
  test.each([
    [undefined, true],
    ["http://localhost", true],
    ["http://localhost:3000", true],
    ["https://127.0.0.1:8080", true],
    ["http://[::1]:8080", true],
    ["https://console.example", true],
    ["https://console.example:444", false],
    ["http://console.example", false],
    ["https://evil.example", false],
    ["http://localhost.evil.example", false],
    ["http://127.0.0.1.evil.example", false],
    ["http://localhost@evil.example", false],
    ["null", false],
    ["", false],
    ["file://", false],
  ])("%j: %j", (origin, allowed) => {
    expect(isOriginAllowed(origin, ["https://console.example"])).toBe(allowed);
  });
});

describe("Accept of a legacy request", () => {
  test.each([
    ["application/json, text/event-stream", true],
    ["TEXT/EVENT-STREAM;q=0.5 ,application/json", true],
    ["*/*", true],
    ["application/*, text/*", true],
    ["application/json", false],
    ["text/event-stream", false],
    ["application/jsonx, text/event-stream", false],
    ["", false],
    [undefined, false],
  ])("%j: %j", (accept, accepted) => {
    expect(checkLegacyAccept({ accept })?.status).toBe(accepted ? undefined : 406);
  });
});

test.each([
  [undefined, undefined],
  ["2025-11-25", undefined],
  ["2024-11-05", undefined],
  ["2026-07-28", 400],
  ["2025-11-25, 2025-06-18", 400],
  ["", 400],
])("the legacy revision %j in a header: %j", (version, status) => {
  expect(checkLegacyVersion({ "mcp-protocol-version": version })?.status).toBe(status);
});

const VERSION = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES = "io.modelcontextprotocol/clientCapabilities";

function request(method: string, params: unknown): RequestFrame {
  const parsed = parseFrame(JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }));
  if (!parsed.ok || parsed.frame.kind !== "request") throw new Error("no request");
  return parsed.frame;
}

describe("a modern request", () => {
  const meta = { [VERSION]: "2026-07-28", [CAPABILITIES]: {} };
  const headers = { "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "one__echo" };
  const call = (name: unknown, more: object) =>
    checkModern(request("tools/call", { name, _meta: meta }), { ...headers, ...more });

  test("whose headers say what its body says is let in", () => {
    expect(call("one__echo", {})).toBeUndefined();
    expect(call("é", { "mcp-name": `=?base64?${Buffer.from("é").toString("base64")}?=` })).toBeUndefined();
    const { "mcp-name": _unused, ...others } = headers;
    expect(
      checkModern(request("tools/list", { _meta: meta }), { ...others, "mcp-method": "tools/list" }),
    ).toBeUndefined();
  });

  test.each([
    ["another name", "one__echo", { "mcp-name": "one__other" }],
    ["no name", "one__echo", { "mcp-name": undefined }],
    ["two names", "one__echo", { "mcp-name": ["one__echo", "one__other"] }],
    ["a name for none", undefined, { "mcp-name": "undefined" }],
    ["a name for an object", { toString: 1 }, { "mcp-name": "[object Object]" }],
    ["another method", "one__echo", { "mcp-method": "tools/list" }],
    ["another revision", "one__echo", { "mcp-protocol-version": "2025-11-25" }],
    ["no revision", "one__echo", { "mcp-protocol-version": undefined }],
  ])("with %s in a header is refused", (_name, name, more) => {
    expect(call(name, more)).toMatchObject({ status: 400, code: -32020 });
  });

  test.each([
    [{}],
    [{ _meta: null }],
    [{ _meta: "text" }],
    [{ _meta: [] }],
    [{ _meta: { [VERSION]: "2026-07-28" } }],
    [{ _meta: { [VERSION]: "2026-07-28", [CAPABILITIES]: "all" } }],
  ])("with the parameters %j lacks its envelope", (params) => {
    expect(checkModern(request("tools/call", params), headers)).toMatchObject({ status: 400, code: -32602 });
  });

  test.each([["2027-01-01"], ["v9"]])("of the revision %j is not spoken", (version) => {
    const frame = request("tools/call", { name: "x", _meta: { [VERSION]: version, [CAPABILITIES]: {} } });
    const refusal = { status: 400, code: -32022, data: { supported: ["2026-07-28"], requested: version } };
    expect(checkModern(frame, { ...headers, "mcp-protocol-version": version })).toMatchObject(refusal);
    expect(checkModern(frame, undefined)).toMatchObject(refusal);
    // That the header says something else comes first.
    expect(checkModern(frame, headers)).toMatchObject({ status: 400, code: -32020 });
  });

  test.each([[""], [7], [null], [{ toString: 1 }]])(
    "of the revision %j is neither spoken nor equal to a header",
    (version) => {
      const frame = request("tools/call", { _meta: { [VERSION]: version, [CAPABILITIES]: {} } });
      expect(checkModern(frame, headers)).toMatchObject({ status: 400, code: -32020 });
      expect(checkModern(frame, undefined)).toMatchObject({ status: 400, code: -32022 });
    },
  );

  test("for a task needs the extension", () => {
    const of = (capabilities: object) =>
      checkModern(
        request("tasks/get", { taskId: "t", _meta: { [VERSION]: "2026-07-28", [CAPABILITIES]: capabilities } }),
        undefined,
      );
    expect(of({})).toMatchObject({ status: 400, code: -32021 });
    expect(of({ extensions: { other: {} } })).toMatchObject({ status: 400, code: -32021 });
    expect(of({ extensions: { "io.modelcontextprotocol/tasks": {} } })).toBeUndefined();
  });

  test("whatever its parameters and headers are, is let in or refused", () => {
    const header = fc.option(fc.oneof(fc.string(), fc.constantFrom(...Object.values(headers))), { nil: undefined });
    const odd = fc.record({
      "mcp-protocol-version": header,
      "mcp-method": header,
      "mcp-name": header,
    });
    const oddMeta = fc.dictionary(fc.constantFrom(VERSION, CAPABILITIES, "x"), fc.jsonValue());
    const params = fc.oneof(
      fc.dictionary(fc.string(), fc.jsonValue()),
      fc.record({ name: fc.jsonValue(), _meta: fc.oneof(oddMeta, fc.jsonValue()) }),
    );
    fc.assert(
      fc.property(params, odd, (given, named) => {
        const refusal = checkModern(request("tools/call", given), named);
        expect([undefined, 400]).toContain(refusal?.status);
      }),
    );
  });
});

describe("a bearer token", () => {
  test.each([["Bearer abc"], ["bearer abc"], ["BEARER abc"]])("in %j", (header) => {
    expect(bearerToken(header)).toBe("abc");
  });

  test.each([
    [undefined, "no token was sent"],
    ["", "no bearer token"],
    ["Bearer", "no bearer token"],
    ["Bearer ", "no bearer token"],
    ["Bearer a b", "no bearer token"],
    ["Bearer  a", "no bearer token"],
    ["Bearer a\tb", "no bearer token"],
    ["Bearer é", "no bearer token"],
    [`Bearer ${"x".repeat(8_193)}`, "no bearer token"],
    ["Basic abc", "no bearer token"],
  ])("is not in %.20j, and the reason does not repeat it", (header, reason) => {
    let thrown: any;
    try {
      bearerToken(header);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ code: "unauthenticated", message: expect.stringContaining(reason) });
    expect(thrown.message).not.toContain("xxx");
  });
});

describe("arguments that are repeated in headers", () => {
  const definition = JSON.stringify({
    name: "sql",
    inputSchema: {
      properties: { region: { type: "string", "x-mcp-header": "Region" }, n: { type: "integer", "x-mcp-header": "N" } },
    },
  });
  const tools = [registryTool("sql", { definition })];
  const { items } = toCatalogue(snapshotOf([registryServer({ id: "one", tools })])).servers.get("one")!;
  const check = (args: object, headers: Record<string, string>) => {
    const text = JSON.stringify({
      jsonrpc: "2.0",
      id: 1,
      method: "tools/call",
      params: { name: "sql", arguments: args },
    });
    const parsed = parseFrame(text);
    if (!parsed.ok) throw new Error(parsed.reason);
    return checkParamHeaders(items.tool.get("sql")!, parsed.frame as RequestFrame, headers);
  };

  test.each([
    [{ region: "us-west1" }, { "mcp-param-region": "us-west1" }],
    [{ region: "Zürich" }, { "mcp-param-region": "=?base64?WsO8cmljaA==?=" }],
    [{ n: 42 }, { "mcp-param-n": "42.0" }],
    [{ region: null }, {}],
    [{}, { "mcp-param-other": "x" }],
  ])("%j with %j is let in", (args, headers) => {
    expect(check(args, headers)).toBeUndefined();
  });

  test.each([
    [{ region: "us-west1" }, {}],
    [{ region: "us-west1" }, { "mcp-param-region": "eu" }],
    [{}, { "mcp-param-region": "eu" }],
    [{ n: 42 }, { "mcp-param-n": "43" }],
  ])("%j with %j is refused", (args, headers) => {
    expect(check(args, headers)).toMatchObject({ status: 400, code: -32020 });
  });
});
