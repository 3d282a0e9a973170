import { createSealers, parseFrame, type RequestFrame } from "@tollgate/mcp";
import { describe, expect, test } from "vitest";
import { registryServer, registryTool, snapshotOf } from "../../test/sample-catalogue.ts";
import { type Scope, toCatalogue } from "./catalogue.ts";
import { findTarget } from "./targets.ts";

const catalogue = toCatalogue(
  snapshotOf(
    [
      registryServer({ id: "one", tools: [registryTool("echo"), registryTool("a__b")] }),
      registryServer({ id: "two", group: "other", status: "unavailable" }),
      registryServer({ id: "off", enabled: false, status: "disabled" }),
    ],
    ["demo", "other"],
  ),
);
const ALL = { group: undefined, server: undefined };
const ONE = { group: "demo", server: "one" };
const sealers = createSealers("key");
const ann = { tenant: "acme", id: "ann" };

function find(
  method: string,
  params: object,
  { scope = ALL, principal = ann }: { scope?: Scope; principal?: typeof ann } = {},
) {
  const parsed = parseFrame(JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }));
  if (!parsed.ok) throw new Error(parsed.reason);
  return findTarget({ catalogue, scope, frame: parsed.frame as RequestFrame, sealers, principal });
}

describe("a tool's name", () => {
  test.each([
    ["everywhere", ALL, "one__echo", "echo"],
    ["in its group", { group: "demo", server: undefined }, "one__echo", "echo"],
    ["at its server, without prefix", { group: "demo", server: "one" }, "echo", "echo"],
    ["with the separator in it", ALL, "one__a__b", "a__b"],
    ["with the separator in it, at its server", { group: "demo", server: "one" }, "a__b", "a__b"],
  ])("%s", (_name, scope, name, tool) => {
    expect(find("tools/call", { name }, { scope })).toMatchObject({
      ok: true,
      target: { own: tool, action: "tools/call", subject: { group: "demo", server: "one", name: tool } },
    });
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
    expect(find("tools/call", { name }, { scope })).toMatchObject({ ok: false, reason: `unknown tool: ${name}` });
  });
});

describe("what else is asked of a server", () => {
  test.each([
    ["prompts/get", { name: "one__greet" }, ALL, ["name"], "greet", "prompts/get"],
    ["prompts/get", { name: "greet" }, ONE, ["name"], "greet", "prompts/get"],
    ["resources/read", { uri: "mcp+one+test://a" }, ALL, ["uri"], "test://a", "resources/read"],
    ["resources/read", { uri: "test://a" }, ONE, ["uri"], "test://a", "resources/read"],
    ["resources/subscribe", { uri: "mcp+one+test://a" }, ALL, ["uri"], "test://a", "resources/read"],
    [
      "completion/complete",
      { ref: { type: "ref/prompt", name: "one__greet" } },
      ALL,
      ["ref", "name"],
      "greet",
      "prompts/get",
    ],
    [
      "completion/complete",
      { ref: { type: "ref/resource", uri: "mcp+one+t://{x}" } },
      ALL,
      ["ref", "uri"],
      "t://{x}",
      "resources/read",
    ],
  ])("%s %j", (method, params, scope, path, own, action) => {
    expect(find(method, params, { scope })).toMatchObject({ ok: true, target: { path, own, action, retrySafe: true } });
  });

  test.each([
    ["resources/read", { uri: "test://a" }, "unknown resource: test://a"],
    ["resources/read", { uri: "mcp+none+test://a" }, "unknown resource: mcp+none+test://a"],
    ["resources/read", {}, '"params.uri" has to be a string'],
    ["prompts/get", { name: 7 }, '"params.name" has to be a string'],
    ["prompts/get", { name: "x".repeat(5_000) }, "longer than 2048"],
    ["completion/complete", { ref: null }, '"params.ref.type" has to be'],
    ["completion/complete", { ref: { type: "ref/prompt" } }, '"params.ref.name" has to be a string'],
    ["tools/call", { name: "one__echo", arguments: [] }, '"params.arguments" has to be an object'],
  ])("%s %j is refused with the reason", (method, params, reason) => {
    expect(find(method, params)).toMatchObject({ ok: false, reason: expect.stringContaining(reason) });
  });
});

describe("a task", () => {
  const sealed = { tenant: "acme", principal: "ann", server: "one", task: "t-1", tool: "echo", runner: "r-1" };
  const taskId = sealers.task.seal(sealed);

  test("goes to its server and runner under its own id, and is decided as its tool", () => {
    expect(find("tasks/get", { taskId })).toMatchObject({
      ok: true,
      target: { own: "t-1", runner: "r-1", action: "tools/call", subject: { server: "one", name: "echo" } },
    });
  });

  test("does not exist for anybody else, at another route, or under an id that we have not given", () => {
    const refused = { ok: false, reason: expect.stringContaining("unknown task") };
    expect(find("tasks/get", { taskId }, { principal: { tenant: "acme", id: "bob" } })).toMatchObject(refused);
    expect(find("tasks/get", { taskId }, { principal: { tenant: "rival", id: "ann" } })).toMatchObject(refused);
    expect(find("tasks/get", { taskId }, { scope: { group: "other", server: undefined } })).toMatchObject(refused);
    expect(find("tasks/get", { taskId: "t-1" })).toMatchObject(refused);
    expect(find("tasks/get", {})).toMatchObject(refused);
  });
});
