import { policyToJson } from "@cedar-policy/cedar-wasm/nodejs";
import { parseResource } from "@tollgate/desired-state";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { toCedarText } from "./cedar-text.ts";
import { engineOf, policyOf, targetOf } from "../../test/sample-policies.ts";
import { NO_SIGN_IN } from "./cedar-question.ts";
import type { WrittenPolicy } from "./policy.ts";

const ANY = policyOf();
const MCP = 'action in Action::"mcp"';

describe("the short form in Cedar", () => {
  test.each<[string, Partial<WrittenPolicy>, string]>([
    ["everything", {}, `permit (principal, ${MCP}, resource);`],
    ["a deny", { effect: "deny" }, `forbid (principal, ${MCP}, resource);`],
    [
      "principals",
      { principals: ["token:a", "agent:e", 'user:x|"y"', "role:b", "team:c", "tenant:d"] },
      `permit (principal, ${MCP}, resource)\nwhen { ((principal in Token::"a") || (principal in Agent::"e") || (principal in User::"x|\\u{22}y\\u{22}") || (principal in Role::"b") || (principal in Team::"c") || (principal in Tenant::"d")) };`,
    ],
    ["anybody beside others", { principals: ["token:a", "*"] }, `permit (principal, ${MCP}, resource);`],
    [
      "actions",
      { actions: ["tools/list", "tools/call"] },
      `permit (principal, action in [Action::"tools/list", Action::"tools/call"], resource);`,
    ],
    ["one action", { actions: ["tools/call"] }, `permit (principal, action == Action::"tools/call", resource);`],
    [
      "administration",
      { actions: ["*", "admin/*", "admin/audit/read"] },
      `permit (principal, action in [Action::"mcp", Action::"admin", Action::"admin/audit/read"], resource);`,
    ],
    [
      "resources",
      { resources: ["group:g", "s:t", "s:*", "*:t*"] },
      `permit (principal, ${MCP}, resource)\nwhen { ((resource in Group::"g") || (resource.server == "s" && resource.name == "t") || (resource.server == "s") || (resource.name like "t*")) };`,
    ],
    ["every tool of every server", { resources: ["*:*"] }, `permit (principal, ${MCP}, resource);`],
    [
      "both",
      { principals: ["role:b"], resources: ["s:*"] },
      `permit (principal, ${MCP}, resource)\nwhen { ((resource.server == "s")) && ((principal in Role::"b")) };`,
    ],
    [
      "a sandbox that an allow needs",
      { conditions: { require_sandbox: true } },
      `permit (principal, ${MCP}, resource)\nwhen { resource.sandboxed };`,
    ],
    [
      "a sandbox that keeps a deny away",
      { effect: "deny", conditions: { require_sandbox: true }, principals: ["role:b"], resources: ["s:t*"] },
      `forbid (principal, ${MCP}, resource)\nwhen { ((resource.server == "s" && resource.name like "t*")) && ((principal in Role::"b")) && !resource.sandboxed };`,
    ],
    [
      "what Cedar would read otherwise",
      { resources: ['s:" || true || "\\*é'] },
      `permit (principal, ${MCP}, resource)\nwhen { ((resource.server == "s" && resource.name like "\\u{22} || true || \\u{22}\\u{5c}*\\u{e9}")) };`,
    ],
  ])("%s", (_name, part, text) => {
    expect(toCedarText({ ...ANY, ...part })).toBe(`@id("p")\n${text}`);
  });

  test("what is not of the grammar is never compiled", () => {
    expect(() => toCedarText({ ...ANY, principals: ['token:a"'] })).toThrow("a policy's part");
    expect(() => toCedarText({ ...ANY, actions: ["tools/none"] })).toThrow("a policy's part");
    expect(() => toCedarText({ ...ANY, resources: ["S:x"] })).toThrow("a policy's part");
  });
});

const SPECIAL = [
  "a",
  "b",
  "*",
  "_",
  '"',
  "'",
  "\\",
  "{}",
  "()",
  "[]",
  "|",
  "&",
  ";",
  ":",
  "%",
  "u",
  "@",
  "/",
  "=",
  " ",
  "\u00e9",
  "\u2028",
  "💥",
];
const anyTool = fc.oneof(
  fc.array(fc.constantFrom(...SPECIAL), { minLength: 1, maxLength: 12 }).map((parts) => parts.join("")),
  fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 }),
);
const anyGlob = anyTool.filter((tool) => parseResource(`s:${tool}`).ok);

/** The glob by hand: a star is any run of characters, all else is literal. */
function matches(glob: string, text: string): boolean {
  const literals = glob.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&"));
  return new RegExp(`^${literals.join(".*")}$`, "su").test(text);
}

function allows(policy: WrittenPolicy, tool: string): boolean {
  const engine = engineOf(policy);
  try {
    const subject = { kind: "token" as const, id: "t", tenant: "x", team: "x", roles: [] };
    return engine.decide(
      subject,
      { action: "tools/call", target: targetOf({ tool }) },
      { nowMs: 0, signIn: NO_SIGN_IN },
    ).allow;
  } finally {
    engine.dispose();
  }
}

describe("for any tool's glob", () => {
  test("the policy keeps its one condition: nothing gets out of its string", () => {
    fc.assert(
      fc.property(anyGlob, (glob) => {
        const answer = policyToJson(toCedarText({ ...ANY, resources: [`s:${glob}`] }));
        expect(answer.type).toBe("success");
        if (answer.type !== "success") return;
        const { effect, principal, action, resource, conditions } = answer.json;
        expect({ effect, principal, action, resource }).toEqual({
          effect: "permit",
          principal: { op: "All" },
          action: { op: "in", entity: { type: "Action", id: "mcp" } },
          resource: { op: "All" },
        });
        expect(conditions).toHaveLength(1);
        const inServer = {
          "==": { left: { ".": { left: { Var: "resource" }, attr: "server" } }, right: { Value: "s" } },
        };
        const { body } = conditions[0]!;
        if (/^\*+$/.test(glob)) expect(body).toEqual(inServer);
        else expect(body).toEqual({ "&&": { left: inServer, right: expect.anything() } });
      }),
      { numRuns: 300 },
    );
  });

  test("it covers what a glob covers, and nothing else", () => {
    const anyPair = fc.tuple(anyGlob, anyTool).chain(([glob, other]) =>
      fc.record({
        glob: fc.constant(glob),
        // Often something that fits, or nearly.
        tool: fc.oneof(
          fc.constant(other),
          fc.constant(glob),
          fc.constant(glob.replaceAll("*", other)),
          fc.constant(`${glob}x`),
        ),
      }),
    );
    fc.assert(
      fc.property(anyPair, ({ glob, tool }) => {
        expect(allows({ ...ANY, resources: [`s:${glob}`] }, tool)).toBe(matches(glob, tool));
      }),
      { numRuns: 300 },
    );
  });
});
