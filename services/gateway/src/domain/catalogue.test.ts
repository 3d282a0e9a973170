import { describe, expect, test } from "vitest";
import { registryServer, registryTool, snapshotOf } from "../../test/sample-catalogue.ts";
import { checkScope, EMPTY_CATALOGUE, findTool, serversIn, toCatalogue } from "./catalogue.ts";

const ODD = '{ "title":"name", "name" : "a__b", "price":1.0, "inputSchema":{"properties":{"name":{"type":"string"}}} }';
const catalogue = toCatalogue(
  snapshotOf(
    [
      registryServer({ id: "one", tools: [registryTool("echo"), registryTool("a__b", { definition: ODD })] }),
      registryServer({ id: "two", group: "other", status: "unavailable" }),
      registryServer({ id: "off", enabled: false, status: "disabled" }),
    ],
    ["demo", "other"],
  ),
);
const ALL = { group: undefined, server: undefined };

describe("a name", () => {
  test.each([
    ["everywhere", ALL, "one__echo", "echo"],
    ["in its group", { group: "demo", server: undefined }, "one__echo", "echo"],
    ["at its server, without prefix", { group: "demo", server: "one" }, "echo", "echo"],
    ["with the separator in it", ALL, "one__a__b", "a__b"],
    ["with the separator in it, at its server", { group: "demo", server: "one" }, "a__b", "a__b"],
  ])("%s", (_name, scope, name, tool) => {
    expect(findTool(catalogue, scope, name)).toMatchObject({ server: { info: { id: "one" } }, tool: { name: tool } });
  });

  test.each([
    ["of no tool", ALL, "one__nothing"],
    ["of no server", ALL, "three__echo"],
    ["without prefix", ALL, "echo"],
    ["of a disabled server", ALL, "off__echo"],
    ["of another group", { group: "demo", server: undefined }, "two__echo"],
    ["with a prefix at a server", { group: "demo", server: "one" }, "one__echo"],
    ["at a server of another group", { group: "demo", server: "two" }, "echo"],
    ["that every object has", { group: "demo", server: "one" }, "constructor"],
    ["that every object has", ALL, "__proto____echo"],
    ["of nothing", ALL, ""],
  ])("%s is unknown", (_name, scope, name) => {
    expect(findTool(catalogue, scope, name)).toBeUndefined();
  });
});

test("a tool's definition stays as it is but for its name", () => {
  const tool = catalogue.servers.get("one")?.tools.get("a__b");
  expect(tool?.definition).toBe(ODD);
  expect(tool?.prefixed).toBe(ODD.replace('"a__b"', '"one__a__b"'));
});

test("a definition without a name is left alone", () => {
  const tools = [registryTool("x", { definition: "[]" })];
  const odd = toCatalogue(snapshotOf([registryServer({ id: "one", tools })]));
  expect(odd.servers.get("one")?.tools.get("x")?.prefixed).toBe("[]");
});

test.each([
  [ALL, undefined],
  [{ group: "demo", server: undefined }, undefined],
  [{ group: "demo", server: "off" }, undefined],
  [{ group: "none", server: undefined }, 'there is no group "none"'],
  [{ group: "none", server: "one" }, 'there is no group "none"'],
  [{ group: "demo", server: "none" }, 'there is no server "none" in group "demo"'],
  [{ group: "other", server: "one" }, 'there is no server "one" in group "other"'],
])("the scope %j", (scope, problem) => {
  expect(checkScope(catalogue, scope)).toBe(problem);
});

test.each([
  [ALL, ["one", "two"]],
  [{ group: "other", server: undefined }, ["two"]],
  [{ group: "demo", server: "one" }, ["one"]],
  [{ group: "demo", server: "off" }, []],
])("the servers of %j are those that are enabled", (scope, ids) => {
  expect(serversIn(catalogue, scope).map(({ info }) => info.id)).toEqual(ids);
});

test("before the registry has said anything there is nothing", () => {
  expect(checkScope(EMPTY_CATALOGUE, ALL)).toBeUndefined();
  expect(serversIn(EMPTY_CATALOGUE, ALL)).toEqual([]);
});
