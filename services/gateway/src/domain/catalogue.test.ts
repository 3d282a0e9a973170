import { expect, test } from "vitest";
import { registryServer, registryTool, snapshotOf } from "../../test/sample-catalogue.ts";
import { checkScope, EMPTY_CATALOGUE, serversIn, toCatalogue } from "./catalogue.ts";

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

test("a tool's definition stays as it is but for its name", () => {
  const tool = catalogue.servers.get("one")?.items.tool.get("a__b");
  expect(tool?.definition).toBe(ODD);
  expect(tool?.prefixed).toBe(ODD.replace('"a__b"', '"one__a__b"'));
});

test("a definition without a name is left alone", () => {
  const tools = [registryTool("x", { definition: "[]" })];
  const odd = toCatalogue(snapshotOf([registryServer({ id: "one", tools })]));
  expect(odd.servers.get("one")?.items.tool.get("x")?.prefixed).toBe("[]");
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

test("prompts, resources and templates are prefixed as tools are, and an app's page with its tool", () => {
  const ui = '{"name":"t","inputSchema":{},"_meta":{"ui":{"resourceUri":"ui://page"}}}';
  const { items } = toCatalogue(
    snapshotOf([
      registryServer({
        id: "one",
        tools: [registryTool("t", { definition: ui })],
        prompts: [{ key: "p", definition: '{"name":"p", "x":1.0}', hash: "" }],
        resources: [{ key: "test://a", definition: '{"uri":"test://a","name":"a"}', hash: "" }],
        resourceTemplates: [{ key: "test://{id}", definition: '{"uriTemplate":"test://{id}"}', hash: "" }],
      }),
    ]),
  ).servers.get("one")!;
  expect(items.prompt.get("p")?.prefixed).toBe('{"name":"one__p", "x":1.0}');
  expect(items.resource.get("test://a")?.prefixed).toBe('{"uri":"mcp+one+test://a","name":"a"}');
  expect(items.template.get("test://{id}")?.prefixed).toBe('{"uriTemplate":"mcp+one+test://{id}"}');
  expect(JSON.parse(items.tool.get("t")!.prefixed)).toMatchObject({
    name: "one__t",
    _meta: { ui: { resourceUri: "ui://mcp+one+page" } },
  });
});

test("a message with what has changed leaves the other servers as they are, in its order", () => {
  const before = toCatalogue(snapshotOf([registryServer({ id: "one" }), registryServer({ id: "two" })]));
  const changed = {
    ...snapshotOf([registryServer({ id: "new" }), registryServer({ id: "two", reason: "x" })], [], 2n),
  };
  const next = toCatalogue({ ...changed, delta: true, serverIds: ["two", "one", "new"] }, before);
  expect([...next.servers.keys()]).toEqual(["two", "one", "new"]);
  expect(next.servers.get("one")).toBe(before.servers.get("one"));
  expect(next.servers.get("two")!.info.reason).toBe("x");
  const removed = toCatalogue({ ...snapshotOf([]), delta: true, serverIds: ["new"] }, next);
  expect([...removed.servers.values()]).toEqual([next.servers.get("new")]);
  expect(() => toCatalogue({ ...snapshotOf([]), delta: true, serverIds: ["two"] }, removed)).toThrow('server "two"');
});
