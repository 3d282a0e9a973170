import { describe, expect, test } from "vitest";
import { loadDesiredState } from "./load.ts";

const BASE = `groups: [{ id: demo }]
mcp_servers: [{ id: files, group: demo, type: command, command: files }]
`;
const load = (sets: string) => loadDesiredState(`${BASE}tool_sets: ${sets}`, { file: "tollgate.yaml", env: {} });

function mistakesOf(sets: string): string[] {
  try {
    load(sets);
  } catch (error) {
    return (error as { details: { mistakes: string[] } }).details.mistakes;
  }
  throw new Error("no mistake was found");
}

test("a set has its id for a name where it has none", () => {
  const [set] = load('[{ id: shop, tools: ["files:read_*", "group:demo", "*:search"] }]').toolSets;
  const tools = ["files:read_*", "group:demo", "*:search"];
  expect(set).toEqual({ id: "shop", name: "shop", description: "", tools, repositories: [] });
});

describe("mistakes of sets", () => {
  test.each([
    ['[{ id: shop, tools: ["gone:read"] }]', "tool_sets[0].tools[0] names the server gone, which is not there"],
    ['[{ id: shop, tools: ["group:gone"] }]', "tool_sets[0].tools[0] names the group gone, which is not there"],
    ['[{ id: shop, tools: ["*"] }]', 'tool_sets[0].tools[0] has to be SERVER:TOOL or group:ID; everything is "*:*"'],
    ["[{ id: shop, tools: [read] }]", "tool_sets[0].tools[0] has to be *, group:ID or SERVER:NAME"],
    ["[{ id: shop, tools: [] }]", "tool_sets[0].tools is empty"],
    ['[{ id: a, tools: ["*:*"] }, { id: a, tools: ["*:*"] }]', "tool_sets[1].id is the id of another tool set already"],
    ['[{ id: a, tools: ["*:*"], repositories: ["https://github.com/a/b"] }]', "repositories[0] has to be a host and a"],
    ['[{ id: a, tools: ["*:*"], repositories: ["github.com/a/b.git"] }]', "repositories[0] must not end with .git"],
    ['[{ id: a, tools: ["*:*"], repo: [x] }]', "tool_sets[0].repo is not a known key"],
  ])("%s", (sets, message) => {
    expect(mistakesOf(sets)).toEqual([expect.stringContaining(message)]);
  });
});
