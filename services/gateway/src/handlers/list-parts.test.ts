import { expect, test } from "vitest";
import { registryServer, registryTool, snapshotOf } from "../../test/sample-catalogue.ts";
import type { Ruling } from "../clients/policy.ts";
import { toCatalogue } from "../domain/catalogue.ts";
import { createListParts } from "./list-parts.ts";

const NAMES = ["a", "b", 'a","b', "a\nb"];
const serverWith = (names: readonly string[], description = "") =>
  toCatalogue(
    snapshotOf([
      registryServer({
        id: "one",
        tools: names.map((name) => registryTool(name, { definition: JSON.stringify({ name, description }) })),
      }),
    ]),
  ).servers.get("one")!;
const ruling = (allow: boolean, validUntilMs = 0): Ruling => ({
  decision: { allow, policies: [], revision: 1, reason: "" },
  variesByArguments: false,
  validUntilMs,
  approvalsNeeded: 0,
  stepUp: undefined,
  limits: [],
  record: [],
});

test("is the same for all of a tenant that see the same, and for nobody else", () => {
  const { server, parts } = { server: serverWith(NAMES), parts: createListParts() };
  const offered = [...server.items.tool.values()];
  const seen = (tenant: string, ...allowed: string[]) =>
    parts.partOf(server, { tenant, offered, rulings: NAMES.map((name) => ruling(allowed.includes(name))) }).part;
  const names = (part: { items: readonly { name: string }[] }) => part.items.map(({ name }) => name);
  expect(seen("acme", "a", "b")).toBe(seen("acme", "a", "b"));
  for (const other of [seen("rival", "a", "b"), seen("acme", "a"), seen("acme", 'a","b'), seen("acme", "a\nb")])
    expect(other).not.toBe(seen("acme", "a", "b"));
  expect(names(seen("acme", 'a","b'))).toEqual(['a","b']);
  expect(names(seen("acme"))).toEqual([]);
});

test("says by its digest whether clients see another list", () => {
  const digestOf = (names: string[], description?: string) => {
    const server = serverWith(names, description);
    const offered = [...server.items.tool.values()];
    const rulings = offered.map(() => ruling(true));
    return createListParts().partOf(server, { tenant: "acme", offered, rulings }).part.digest();
  };
  expect(digestOf(["a", "b"])).toBe(digestOf(["a", "b"]));
  for (const other of [digestOf(["b", "a"]), digestOf(["a"]), digestOf(["a", "b"], "new")])
    expect(other).not.toBe(digestOf(["a", "b"]));
});

test("lasts until the first of its rulings ends", () => {
  const server = serverWith(["a", "b", "c"]);
  const offered = [...server.items.tool.values()];
  const until = (...ends: number[]) =>
    createListParts().partOf(server, { tenant: "acme", offered, rulings: ends.map((end) => ruling(true, end)) })
      .untilMs;
  expect([until(0, 0, 0), until(0, 7, 5), until(9, 0, 0)]).toEqual([0, 5, 9]);
});
