import { registryV1 } from "@tollgate/contracts";
import { describe, expect, test } from "vitest";
import { toToolSets } from "./tool-sets.ts";

const set = (id: string, tools: string[], repositories: string[] = []) =>
  registryV1.ToolSet.fromPartial({ id, name: id, tools, repositories });
const sets = toToolSets([
  set("shop", ["files:read_*", "db*:*", "group:office"], ["github.com/acme/shop", "gitlab.example:8443/shop/*"]),
  set("acme", ["a:b:*"], ["github.com/acme/*"]),
  set("libraries", ["*:list"], ["github.com/acme/lib-*", "GitHub.com/Other/Tool"]),
]);

describe("what is in a set", () => {
  const found = sets.find("shop");
  const shop = typeof found === "string" ? undefined : found.set;
  const of = (server: string, group = "demo") => ({ server, group });

  test.each([
    [of("files"), "read_file", true],
    [of("files"), "write_file", false],
    [of("files-2"), "read_file", false],
    [of("db-1"), "anything", true],
    [of("mail", "office"), "send", true],
    [of("mail"), "send", false],
  ])("%j %s: %j", (owner, tool, expected) => expect(shop?.hasTool(owner, tool)).toBe(expected));

  test.each([
    [of("files"), { some: true, whole: false }],
    [of("db-1"), { some: true, whole: true }],
    [of("mail", "office"), { some: true, whole: true }],
    [of("mail"), { some: false, whole: false }],
  ])("of the server %j there is %j", (owner, { some, whole }) => {
    expect([shop?.hasSome(owner), shop?.hasWhole(owner)]).toEqual([some, whole]);
  });

  test("a tool's name may hold colons", () => {
    const acme = sets.find("acme") as { set: NonNullable<typeof shop> };
    expect(["b:c", "b", "x"].map((tool) => acme.set.hasTool(of("a"), tool))).toEqual([true, false, false]);
  });
});

test.each([
  ["shop", "shop"],
  ["none", "unknown"],
  ["", "unknown"],
  ["~github.com/acme/shop", "shop"],
  ["~github.com/acme/other", "acme"],
  ["~github.com/acme/lib-json", "libraries"],
  ["~github.com/acme/deep/er", "acme"],
  ["~GITHUB.com/other/tool", "libraries"],
  ["~gitlab.example:8443/shop/web", "shop"],
  ["~github.com/acme", "everything"],
  ["~github.com/stranger/shop", "everything"],
  ["~", "everything"],
])("%j leads to %s", (named, expected) => {
  const found = sets.find(named);
  expect(typeof found === "string" ? found : found.set.id).toBe(expected);
});
