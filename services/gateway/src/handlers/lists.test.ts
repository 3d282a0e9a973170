import { registryV1 } from "@tollgate/contracts";
import { expect, test } from "vitest";
import { principal } from "../../test/controlled-policy.ts";
import { registryServer, snapshotOf } from "../../test/sample-catalogue.ts";
import type { Policy, Ruling } from "../clients/policy.ts";
import type { Registry } from "../clients/registry.ts";
import { toCatalogue } from "../domain/catalogue.ts";
import { LISTS } from "../domain/lists.ts";
import { createLists } from "./lists.ts";

const ALLOWED = { decision: { allow: true }, variesByArguments: false, validUntilMs: 0 } as Ruling;
const ACME = registryV1.ToolSet.fromPartial({ id: "acme", tools: ["two:*"], repositories: ["github.com/acme/*"] });
const catalogue = toCatalogue({
  ...snapshotOf([registryServer({ id: "one" }), registryServer({ id: "two" })]),
  toolSets: [ACME],
});

test("what is remembered is that of a set, or of everything, whatever repositories are called", async () => {
  let decisions = 0;
  const policy = {
    revision: 1,
    addressMatters: false,
    holds: () => true,
    decide: (_asker: unknown, _action: unknown, subjects: readonly unknown[]) => {
      decisions += 1;
      return subjects.map(() => ALLOWED);
    },
  };
  const lists = createLists({ policy: policy as unknown as Policy, registry: { catalogue } as Registry });
  const seen = (set?: string) =>
    lists.all(LISTS["tools/list"]!, {
      principal: principal(),
      revision: 1,
      authenticate: () => principal(),
      address: "",
      scope: { group: undefined, server: undefined, ...(set === undefined ? {} : { set }) },
    });
  const [everything, acme] = [await seen(), await seen("acme")];
  expect([everything.length, acme.length, decisions]).toEqual([2, 1, 2]);
  for (const madeUp of ["~made/up", `~${"long".repeat(250)}`, "~"]) expect(await seen(madeUp)).toBe(everything);
  for (const repository of ["~github.com/acme/shop", "~github.com/ACME/web"]) expect(await seen(repository)).toBe(acme);
  expect(decisions).toBe(2);
});
