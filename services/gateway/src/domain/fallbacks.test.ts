import { createSealers, parseFrame, type RequestFrame } from "@tollgate/mcp";
import { expect, test } from "vitest";
import { registryServer, registryTool, snapshotOf } from "../../test/sample-catalogue.ts";
import { toCatalogue } from "./catalogue.ts";
import { allowedOf, fallbacksOf, keepsResults } from "./fallbacks.ts";
import { findTarget } from "./targets.ts";

const rule = (tool: string, fallbacks: string[], cachedResultMs = 0) => ({
  tool,
  concurrency: 0,
  callTimeoutMs: 0,
  fallbacks: fallbacks.map((each) => ({ server: each.split("/")[0]!, tool: each.split("/")[1]! })),
  cachedResultMs,
  risk: "",
});
const tools = [registryTool("echo"), registryTool("safe", { retrySafe: true })];
const EVERYWHERE = ["away/echo", "off/echo", "other/echo", "two/none", "nowhere/echo", "two/echo", "two/safe"];
const catalogue = toCatalogue(
  snapshotOf(
    [
      registryServer({ id: "one", tools, toolRules: [rule("echo", EVERYWHERE, 5_000), rule("safe", [], 5_000)] }),
      registryServer({ id: "two", tools, toolRules: [rule("safe", ["one/safe"])] }),
      registryServer({ id: "away", tools, status: "unavailable" }),
      registryServer({ id: "off", tools, enabled: false }),
      registryServer({ id: "other", tools, group: "other" }),
    ],
    ["demo", "other"],
  ),
);
const sealers = createSealers("a-key-of-at-least-16-characters");

function ask(name: string, params = {}, scope: { group?: string; server?: string } = {}) {
  const parsed = parseFrame(
    JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name, ...params } }),
  );
  const frame = (parsed as { frame: RequestFrame }).frame;
  const { group, server } = scope;
  const principal = { tenant: "acme", id: "dev" };
  const found = findTarget({ catalogue, scope: { group, server }, frame, sealers, principal });
  if (!found.ok) throw new Error(found.reason);
  return { target: found.target, others: fallbacksOf(catalogue, found.target, frame) };
}
const named = (name: string, ...more: any[]) => ask(name, ...more).others.map((each) => `${each.server}/${each.name}`);

test("a tool's fallbacks are those that can answer: of its group, enabled, ready, and there", () => {
  expect(named("one__echo")).toEqual(["two/echo", "two/safe"]);
  expect(named("two__safe")).toEqual(["one/safe"]);
  expect([named("one__safe"), named("two__echo")]).toEqual([[], []]);
});

test("they are the tool's own, whatever the route", () => {
  expect(named("echo", {}, { group: "demo", server: "one" })).toEqual(["two/echo", "two/safe"]);
});

test("a call that goes on with its server's question has none", () => {
  expect(named("one__echo", { requestState: "s" })).toEqual([]);
});

test("those that are allowed go along, each with its own decision and whether it may run again", () => {
  const ruling = (allow: boolean, record: readonly "result"[]) => ({
    decision: { allow, policies: [], revision: 1, reason: "" },
    record,
  });
  const { others } = ask("one__echo");
  const [yes, no] = [ruling(true, []), ruling(false, [])];
  const { decision } = yes;
  expect(allowedOf(others, [no, yes])).toEqual([{ server: "two", tool: "safe", retrySafe: true, decision }]);
  expect(allowedOf(others, [yes, no])).toEqual([{ server: "two", tool: "echo", retrySafe: false, decision }]);
  expect(allowedOf(others, [ruling(true, ["result"]), no])).toMatchObject([{ tool: "echo", record: ["result"] }]);
});

test("only results of tools that may run again are kept", () => {
  expect(["one__echo", "one__safe", "two__safe"].map((name) => keepsResults(ask(name).target))).toEqual([
    false,
    true,
    false,
  ]);
});
