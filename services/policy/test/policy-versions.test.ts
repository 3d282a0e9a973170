import { policyV1 } from "@tollgate/contracts";
import { callUnary } from "@tollgate/service";
import { eventually, useInfrastructure } from "@tollgate/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DEV_TOKEN, FILE, runPolicy, type RunningPolicy } from "./running-policy.ts";

const infra = useInfrastructure();
let policy: RunningPolicy;
beforeAll(async () => (policy = await runPolicy(infra)));
afterAll(() => policy.close());

const unary = () => ({ metadata: policy.metadata, timeoutMs: 10_000, service: "policy" });
const versionsOf = (id: string) => callUnary(policy.client.listPolicyVersions.bind(policy.client), { id }, unary());
const rollBack = (id: string, version: number, actor = "roller") =>
  callUnary(policy.client.rollbackPolicy.bind(policy.client), { id, version: BigInt(version), actor }, unary());

const mayWrite = async (tool: string) => {
  const { principal } = await policy.authenticate(DEV_TOKEN);
  return (await policy.mayCall(principal, "files", tool)).allow;
};

describe("the versions of a policy", () => {
  test("are listed newest first, each whole, with who made it and when", async () => {
    await policy.putPolicy({ id: "p", resources: ["files:a"] }, "ann");
    await policy.putPolicy({ id: "p", resources: ["files:b"] }, "bob");
    await policy.deletePolicy("p");
    const { versions } = await versionsOf("p");
    expect(
      versions.map(({ change, policy: said }) => [change, said?.version, said?.resources, said?.updatedBy]),
    ).toEqual([
      ["delete", 3n, ["files:b"], "tester"],
      ["put", 2n, ["files:b"], "bob"],
      ["put", 1n, ["files:a"], "ann"],
    ]);
    const times = versions.map(({ policy: said }) => Number(said!.updatedAtMs));
    expect(times).toEqual(times.toSorted((a, b) => b - a));
    expect(times.at(-1)).toBeGreaterThan(Date.now() - 60_000);
    expect(versions[0]!.policy).toMatchObject({ effect: "deny", cedar: expect.stringContaining('@id("p")\nforbid') });
  });

  test("go on after a removal, and are there for policies of the file as well", async () => {
    await policy.putPolicy({ id: "p", resources: ["files:c"] });
    expect((await versionsOf("p")).versions[0]).toMatchObject({ change: "put", policy: { version: 4n } });
    expect((await versionsOf("allow-dev")).versions).toMatchObject([
      { change: "put", policy: { source: "file", updatedBy: "tollgate.yaml", version: 1n } },
    ]);
  });

  test("are none of a policy that never was", async () => {
    await expect(versionsOf("never")).rejects.toMatchObject({ code: "not_found" });
  });
});

describe("rolling back", () => {
  test("makes what a version said the newest, in force when it returns", async () => {
    await policy.putPolicy({ id: "stop", resources: ["files:read_a"] });
    await policy.putPolicy({ id: "stop", resources: ["files:read_b"] });
    expect([await mayWrite("read_a"), await mayWrite("read_b")]).toEqual([true, false]);
    const { policy: said } = await rollBack("stop", 1);
    expect(said).toMatchObject({ version: 3n, resources: ["files:read_a"], source: "api", updatedBy: "roller" });
    expect([await mayWrite("read_a"), await mayWrite("read_b")]).toEqual([false, true]);
  });

  test("to what is there already changes nothing", async () => {
    const { revision } = await policy.listPolicies();
    expect((await rollBack("stop", 1)).revision).toBe(revision);
    expect((await versionsOf("stop")).versions).toHaveLength(3);
  });

  test("brings a deleted policy back", async () => {
    await policy.deletePolicy("stop");
    expect(await mayWrite("read_a")).toBe(true);
    expect((await rollBack("stop", 2)).policy).toMatchObject({ version: 5n, resources: ["files:read_b"] });
    expect([await mayWrite("read_a"), await mayWrite("read_b")]).toEqual([true, false]);
  });

  test.each<[string, number, string, string]>([
    ["stop", 99, "not_found", "there is no version 99"],
    ["never", 1, "not_found", "there is no version 1"],
    ["stop", 4, "failed_precondition", "is its removal"],
  ])("%s to version %i is refused: %s", async (id, version, code, message) => {
    await expect(rollBack(id, version)).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
  });

  test("needs somebody who does it", async () => {
    await expect(rollBack("stop", 1, "")).rejects.toMatchObject({ code: "invalid_argument" });
  });

  test("makes a policy that the file has dropped one of the API", async () => {
    await policy.writeFile(FILE.replace(/ {2}- \{ name: allow-dev.*\n/, "").replace("policies:", "policies: []"));
    await eventually(async () => expect(await mayWrite("read_a")).toBe(false));
    expect((await rollBack("allow-dev", 1)).policy).toMatchObject({ source: "api", version: 3n });
    expect(await mayWrite("read_a")).toBe(true);
  });
});

describe("a policy that is put in the place of a version", () => {
  test("is taken only if that is the present one", async () => {
    await policy.putPolicy({ id: "q", resources: ["files:a"] });
    await expect(policy.putPolicy({ id: "q", resources: ["files:b"], version: 2n })).rejects.toMatchObject({
      code: "failed_precondition",
      message: 'policy "q" is of version 1, not 2: somebody has changed it',
      details: { version: 1 },
    });
    const { policy: put } = await policy.putPolicy({ id: "q", resources: ["files:b"], version: 1n });
    expect(put).toMatchObject({ version: 2n, resources: ["files:b"] });
  });

  test("is not taken where there is none", async () => {
    const asked = policyV1.Policy.fromPartial({ id: "none-yet", version: 1n });
    await expect(
      policy.putPolicy({ ...asked, effect: "deny", principals: ["*"], actions: ["*"], resources: ["*"] }),
    ).rejects.toMatchObject({ code: "failed_precondition", details: { version: 0 } });
  });
});
