import { describe, expect, test } from "vitest";
import type { OverlayEntry } from "./entries.ts";
import { loadDesiredState } from "./load.ts";

const load = (text: string) => loadDesiredState(text, { file: "/etc/tollgate.yaml", env: {} });
const file = (tools: string, server: string) =>
  `${tools}\ngroups: [{ id: g }]\nmcp_servers: [{ id: a, group: g, type: command, command: x${server} }]`;
const policyOf = (tools: string, server = "") => load(file(tools, server)).servers[0]!.toolPolicy;

test("without a word, a changed definition waits while the old one is served, and none needs an approval", () => {
  const usual = { changes: "serve_old", certification: "optional", fourEyes: false };
  expect(policyOf("")).toEqual(usual);
  expect(policyOf("tools:")).toEqual(usual);
});

test("what is said of all servers holds for those that say nothing else", () => {
  const tools = "tools: { changes: withhold, certification: required, four_eyes: true }";
  expect(policyOf(tools)).toEqual({ changes: "withhold", certification: "required", fourEyes: true });
  expect(policyOf(tools, ", tool_changes: accept, certification: optional")).toEqual({
    changes: "accept",
    certification: "optional",
    fourEyes: true,
  });
});

test.each([
  ["tools: { changes: never }", "", /tools\.changes .*serve_old/],
  ["tools: { change: accept }", "", /tools\.change is not a known key; is "changes" meant\?/],
  ["", ", tool_changes: yes", /mcp_servers\[0\]\.tool_changes /],
  ["", ", certification: maybe", /mcp_servers\[0\]\.certification /],
])("%j and %j are mistakes", (tools, server, mistake) => {
  expect(() => load(file(tools, server))).toThrow(mistake);
});

describe("an entry of the API", () => {
  const entry = { group: "g", type: "command", command: "y" };
  const connectors = [
    { id: "c", base_url: "https://a.example", operations: [{ name: "o", method: "GET", path: "/" }] },
  ];
  const loadOver = (tools: string, overlay: OverlayEntry) =>
    loadDesiredState(file(tools, ""), { file: "/etc/tollgate.yaml", env: {}, overlay: [overlay] });
  const server = (more: object): OverlayEntry => ({ kind: "server", id: "b", value: { id: "b", ...entry, ...more } });
  const group = (more: object): OverlayEntry => ({
    kind: "group",
    id: "g",
    value: { id: "g", connectors: connectors.map((each) => ({ ...each, ...more })) },
  });

  test.each<[string, OverlayEntry, object]>([
    ["", server({ tool_changes: "withhold" }), { changes: "withhold" }],
    ["", server({ tool_changes: "serve_old" }), { changes: "serve_old" }],
    ["", server({ certification: "required" }), { certification: "required" }],
    ["tools: { changes: accept }", server({ tool_changes: "accept" }), { changes: "accept" }],
    ["tools: { changes: withhold }", group({ tool_changes: "accept" }), { changes: "accept" }],
  ])("may be as strict as the file, and stricter: %j %j", (tools, overlay, policy) => {
    expect(loadOver(tools, overlay).servers.at(-1)!.toolPolicy).toMatchObject(policy);
  });

  test.each<[string, OverlayEntry, string]>([
    [
      "",
      server({ tool_changes: "accept" }),
      'server "b": tool_changes has to be serve_old or withhold: the file alone',
    ],
    [
      "tools: { changes: withhold }",
      server({ tool_changes: "serve_old" }),
      "tool_changes has to be withhold: the file",
    ],
    ["tools: { certification: required }", server({ certification: "optional" }), "certification has to be required:"],
    ["tools: { certification: required }", group({ certification: "optional" }), "certification has to be required:"],
  ])("may not be less strict: %j %j", (tools, overlay, mistake) => {
    expect(() => loadOver(tools, overlay)).toThrow(mistake);
  });
});
