import { expect, test, vi } from "vitest";
import { modern, useBridge } from "./bridge.ts";
import { json, type Received, type Reply, resultFor } from "./endpoint.ts";

const bench = useBridge();

function tool(name: string, properties: object): string {
  return JSON.stringify({ name, inputSchema: { type: "object", properties } });
}

const SQL = tool("sql", {
  region: { type: "string", "x-mcp-header": "Region" },
  limit: { type: "integer", "x-mcp-header": "Limit" },
  options: { type: "object", properties: { dry: { type: "boolean", "x-mcp-header": "Dry-Run" } } },
  query: { type: "string" },
});

/** Lists these tools, spelled with a number that would not survive being written anew. */
function listing(...tools: string[]): Reply {
  return (received, response) =>
    json(
      response,
      resultFor(
        received,
        received.message["method"] === "tools/list" ? `{"n":1.0,"tools":[${tools.join(", ")}]}` : "{}",
      ),
    );
}

function mirrored({ headers }: Received): object {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith("mcp-param-")));
}

test("a call repeats the arguments that its tool's schema wants in headers", async () => {
  const endpoint = await bench.endpoint(listing(SQL, tool("plain", { region: { type: "string" } })));
  const bridge = bench.start(endpoint);
  bridge.send(modern(1, "tools/list"));
  await bridge.answer(1);
  const calls: [args: string, expected: object][] = [
    [
      '{"region":"us-west1","limit":42.0,"options":{"dry":true},"query":"q"}',
      { region: "us-west1", limit: "42", "dry-run": "true" },
    ],
    ['{"region":"Zürich","limit":-7}', { region: "=?base64?WsO8cmljaA==?=", limit: "-7" }],
    ['{"region":" padded ","options":{"dry":false}}', { region: "=?base64?IHBhZGRlZCA=?=", "dry-run": "false" }],
    ['{"region":"line1\\nline2"}', { region: "=?base64?bGluZTEKbGluZTI=?=" }],
    ['{"region":"=?base64?literal?="}', { region: "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=" }],
    ['{"region":null,"options":7}', {}],
    ["{}", {}],
  ];
  for (const [index, [args, expected]] of calls.entries()) {
    bridge.send(modern(10 + index, "tools/call", `"name":"sql","arguments":${args}`));
    await bridge.answer(10 + index);
    const names = Object.entries(expected).map(([name, value]) => [`mcp-param-${name}`, value]);
    expect(mirrored(endpoint.received.at(-1)!)).toEqual(Object.fromEntries(names));
  }
  bridge.send(modern(2, "tools/call", '"name":"plain","arguments":{"region":"x"}'));
  await bridge.answer(2);
  expect(mirrored(endpoint.received.at(-1)!)).toEqual({});
});

test("tools whose annotations are wrong are left out of the list, which else stays as it came", async () => {
  const text = { type: "string" };
  const wrong = [
    { a: { ...text, "x-mcp-header": "" } },
    { a: { ...text, "x-mcp-header": "two words" } },
    { a: { ...text, "x-mcp-header": 7 } },
    { a: { ...text, "x-mcp-header": "A" }, b: { ...text, "x-mcp-header": "a" } },
    { a: { type: "number", "x-mcp-header": "A" } },
    { a: { type: "object", "x-mcp-header": "A" } },
    { a: { type: "array", items: { ...text, "x-mcp-header": "A" } } },
    { a: { oneOf: [{ ...text, "x-mcp-header": "A" }] } },
  ].map((properties, index) => tool(`wrong-${index}`, properties));
  // A parameter of that name, and its mention in a value, annotate nothing.
  const right = tool("right", { "x-mcp-header": { ...text, default: { "x-mcp-header": "" } } });
  const endpoint = await bench.endpoint(listing(SQL, ...wrong, right));
  const bridge = bench.start(endpoint);
  bridge.send(modern(1, "tools/list"));
  await bridge.answer(1);
  expect(bridge.lines).toEqual([`{"jsonrpc":"2.0","id":1,"result":{"n":1.0,"tools":[${SQL},${right}]}}`]);
  await vi.waitFor(() => expect(bridge.stderr()).toContain("wrong-7"));
  expect(bridge.stderr().trim().split("\n")).toHaveLength(8);
});

test("a call that is refused for its headers looks through the tools again, and goes once more if that helps", async () => {
  const mismatch = (received: Received) =>
    resultFor(received).replace('"result":{}', '"error":{"code":-32020,"message":"header mismatch"}');
  const endpoint = await bench.endpoint((received, response) => {
    const { method, params } = received.message;
    if (method === "tools/call")
      return received.headers["mcp-param-region"] === "eu"
        ? json(response, resultFor(received))
        : json(response, mismatch(received), 400);
    const page = params.cursor === undefined ? '{"tools":[],"nextCursor":"2"}' : `{"tools":[${SQL}]}`;
    json(response, resultFor(received, page));
  });
  const bridge = bench.start(endpoint);
  bridge.send(modern(1, "tools/call", '"name":"sql","arguments":{"region":"eu"}'));
  expect((await bridge.answer(1))["result"]).toEqual({});
  expect(endpoint.received.map(({ message }) => message["method"])).toEqual([
    "tools/call",
    "tools/list",
    "tools/list",
    "tools/call",
  ]);
  expect(endpoint.received[1]?.headers).toMatchObject({
    "mcp-method": "tools/list",
    "mcp-protocol-version": "2026-07-28",
  });
  expect(bridge.lines).toHaveLength(1);

  bridge.send(modern(2, "tools/call", '"name":"sql","arguments":{"region":"us"}'));
  expect((await bridge.answer(2))["error"]).toEqual({ code: -32020, message: "header mismatch" });
  expect(endpoint.calls("tools/call")).toHaveLength(3);
});
