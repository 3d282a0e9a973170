import { setImmediate as otherWork } from "node:timers/promises";
import { expect, test } from "vitest";
import { registryServer, registryTool, snapshotOf } from "../../test/sample-catalogue.ts";
import { toCatalogue } from "../domain/catalogue.ts";
import { createToolSearch } from "./tool-search.ts";

const tools = [registryTool("read_file")];
const catalogueOf = (...ids: string[]) => toCatalogue(snapshotOf(ids.map((id) => registryServer({ id, tools }))));

test("between searches that are asked for at once there is other work", async () => {
  const search = createToolSearch({ catalogue: catalogueOf("one") });
  await search.find("", "acme");
  let turns = 0;
  const ending = new AbortController();
  const other = (async () => {
    for (; !ending.signal.aborted; turns++) await otherWork();
  })();
  const seen = await Promise.all(Array.from({ length: 5 }, () => search.find("read", "acme").then(() => turns)));
  ending.abort();
  await other;
  expect(new Set(seen).size).toBe(5);
});

test("one tenant's are not more than eight at a time, and all tenants' not more than sixteen", async () => {
  const search = createToolSearch({ catalogue: catalogueOf("one") });
  const askedBy = (tenant: string) => Array.from({ length: 10 }, () => search.find("read", tenant));
  const asked = ["acme", "umbrella", "initech"].map((tenant) => Promise.allSettled(askedBy(tenant)));
  const answers = (await Promise.all(asked)).map((each) => each.filter(({ status }) => status === "fulfilled").length);
  expect(answers).toEqual([8, 8, 0]);
  expect(await search.find("read", "initech")).toHaveLength(1);
  const refused = (await Promise.allSettled(askedBy("acme"))).find(({ status }) => status === "rejected");
  expect(refused).toMatchObject({ reason: { code: "overloaded", details: { retryAfterSeconds: 1 } } });
});

test("one that fails is not in the way of the next, which has the newest catalogue", async () => {
  const registry = { catalogue: catalogueOf("one") };
  const search = createToolSearch(registry);
  registry.catalogue = { ...registry.catalogue, servers: undefined as never };
  await expect(search.find("read", "acme")).rejects.toThrow(TypeError);
  registry.catalogue = catalogueOf("one", "two");
  expect((await search.find("read", "acme")).map(({ item }) => item.server)).toEqual(["one", "two"]);
});
