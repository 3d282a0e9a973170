import { registryV1 } from "@tollgate/contracts";
import { expect, test } from "vitest";
import { deltaBetween, keepSame } from "./catalogue-delta.ts";

const { Server, Tool, WatchCatalogueResponse } = registryV1;
const tools = [Tool.fromPartial({ name: "echo", definition: "{}" })];
const ONE = { ...Server.fromPartial({ id: "one" }), tools };
/** With the very items of all others, as from the cache of what servers offer. */
const server = (fields: Partial<registryV1.Server>) => ({ ...ONE, ...fields });
const snapshot = (servers: registryV1.Server[], revision = 1n) => ({
  ...WatchCatalogueResponse.fromPartial({ revision, groups: [{ id: "demo" }] }),
  servers,
});

test("a server about which nothing has changed stays the same object, whenever it was reported", () => {
  const before = snapshot([server({}), server({ id: "two" }), server({ id: "three", toolRules: [] })]);
  const rule = registryV1.ToolRule.fromPartial({ tool: "echo", risk: "HIGH" });
  const next = snapshot(
    [
      server({ reportedAtMs: 7n }),
      server({ id: "two", reason: "away" }),
      server({ id: "three", toolRules: [rule] }),
      server({ id: "four" }),
    ],
    2n,
  );
  const kept = keepSame(before, next);
  expect(kept.revision).toBe(2n);
  expect(kept.servers.map((each, n) => each === before.servers[n])).toEqual([true, false, false, false]);
  expect(kept.servers[1]!.reason).toBe("away");
});

test.each(["tools", "withheldTools", "prompts", "resources", "resourceTemplates"] as const)(
  "a server with other %s is another",
  (items) => {
    const before = snapshot([server({})]);
    expect(keepSame(before, snapshot([server({ [items]: [] })])).servers[0]).not.toBe(before.servers[0]);
  },
);

test("a delta has what is another, and the order of all", () => {
  const [one, two] = [server({}), server({ id: "two" })];
  const [three, other] = [server({ id: "three" }), server({ reason: "away" })];
  expect(deltaBetween(snapshot([one, two]), snapshot([three, other], 2n))).toEqual({
    ...snapshot([three, other], 2n),
    delta: true,
    serverIds: ["three", "one"],
  });
  expect(deltaBetween(snapshot([one, two]), snapshot([two, one], 2n))).toMatchObject({
    servers: [],
    serverIds: ["two", "one"],
  });
});
