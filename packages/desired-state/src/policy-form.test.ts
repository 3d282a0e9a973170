import { describe, expect, test } from "vitest";
import { parseAction, parsePrincipal, parseResource } from "./policy-form.ts";

const REFUSED = undefined;

describe("principals", () => {
  test.each([
    ["*", { kind: "any" }],
    ["token:dev-team", { kind: "token", name: "dev-team" }],
    ["role:r1", { kind: "role", name: "r1" }],
    ["team:payments", { kind: "team", name: "payments" }],
    ["tenant:acme", { kind: "tenant", name: "acme" }],
    ["dev-team", REFUSED],
    ["user:alice", { kind: "user", name: "alice" }],
    ["user:auth0|5f7c", { kind: "user", name: "auth0|5f7c" }],
    ["user:Alice@example.com", { kind: "user", name: "Alice@example.com" }],
    ['user:urn:a"\\b', { kind: "user", name: 'urn:a"\\b' }],
    [`user:${"x".repeat(190)}`, { kind: "user", name: "x".repeat(190) }],
    [`user:${"x".repeat(191)}`, REFUSED],
    ["user:", REFUSED],
    ["user:*", REFUSED],
    ["user:a b", REFUSED],
    ["user:a\n", REFUSED],
    ["user:é", REFUSED],
    ["person:x", REFUSED],
    ["token:", REFUSED],
    ["token:*", REFUSED],
    ["token:a b", REFUSED],
    ['token:a"', REFUSED],
    ["Token:a", REFUSED],
    ["", REFUSED],
    ["**", REFUSED],
  ])("%j", (text, expected) => expect(valueOf(parsePrincipal(text))).toEqual(expected));
});

describe("actions", () => {
  test.each([
    ["*", { kind: "mcp" }],
    ["admin/*", { kind: "admin" }],
    ["admin/policies/write", { kind: "action", name: "admin/policies/write" }],
    ["admin/dead-letters/read", { kind: "action", name: "admin/dead-letters/read" }],
    ["admin/audit/write", REFUSED],
    ["admin/", REFUSED],
    ["mcp", REFUSED],
    ["tools/list", { kind: "action", name: "tools/list" }],
    ["tools/call", { kind: "action", name: "tools/call" }],
    ["resources/list", { kind: "action", name: "resources/list" }],
    ["resources/read", { kind: "action", name: "resources/read" }],
    ["prompts/list", { kind: "action", name: "prompts/list" }],
    ["prompts/get", { kind: "action", name: "prompts/get" }],
    ["tools/*", REFUSED],
    ["resources/subscribe", REFUSED],
    ["", REFUSED],
  ])("%j", (text, expected) => expect(valueOf(parseAction(text))).toEqual(expected));
});

describe("resources", () => {
  test.each([
    ["*", { kind: "any" }],
    ["group:demo", { kind: "group", group: "demo" }],
    ["files:read_*", { kind: "tool", server: "files", tool: "read_*" }],
    ["*:*", { kind: "tool", server: "*", tool: "*" }],
    ["a-*:ns:tool", { kind: "tool", server: "a-*", tool: "ns:tool" }],
    ['a:"quoted" \\ née 💥', { kind: "tool", server: "a", tool: '"quoted" \\ née 💥' }],
    ["everything:test://*", { kind: "tool", server: "everything", tool: "test://*" }],
    [
      "docs:https://a.example:8443/x.md?v=1#*",
      { kind: "tool", server: "docs", tool: "https://a.example:8443/x.md?v=1#*" },
    ],
    ["group:*", REFUSED],
    ["group:a:b", REFUSED],
    ["files", REFUSED],
    ["files:", REFUSED],
    [":x", REFUSED],
    ["Files:x", REFUSED],
    ["a b:x", REFUSED],
    ["a:x\ny", REFUSED],
    ["a:\u0000", REFUSED],
    ["a:\ud800", REFUSED],
    [`a:${"x".repeat(2_049)}`, REFUSED],
    ["", REFUSED],
  ])("%j", (text, expected) => expect(valueOf(parseResource(text))).toEqual(expected));
});

function valueOf<T>(parsed: { ok: true; value: T } | { ok: false; reason: string }): T | undefined {
  if (parsed.ok) return parsed.value;
  expect(parsed.reason).not.toBe("");
  return undefined;
}
