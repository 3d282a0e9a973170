import { expect, test } from "vitest";
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
