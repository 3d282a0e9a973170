import { limitsV1, stateV1 } from "@tollgate/contracts";
import { callUnary, openGrpcClient, openLife } from "@tollgate/service";
import { eventually, testLog, useInfrastructure } from "@tollgate/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FILE, type RunningPolicy, runPolicy } from "./running-policy.ts";

const infra = useInfrastructure();
const LIMIT = "limits:\n  - { name: days, per: tenant, per_day: 100 }\n";
const ALLOW = { id: "allow-dev", effect: "allow", principals: ["role:developer"], actions: ["*"] };
let policy: RunningPolicy;
let text = FILE + LIMIT;

async function restart(): Promise<void> {
  await policy.close();
  policy = await runPolicy(infra, { text });
}

async function write(next: string): Promise<void> {
  text = next;
  await policy.writeFile(text);
}

async function asked<A>(work: (client: stateV1.StateServiceClient, unary: never) => Promise<A>): Promise<A> {
  const life = openLife(testLog);
  try {
    const address = `127.0.0.1:${policy.service.grpcPort}`;
    const client = openGrpcClient(stateV1.StateServiceClient, { address, name: "policy", life });
    return await work(client, { metadata: policy.metadata, timeoutMs: 30_000, service: "policy" } as never);
  } finally {
    await life.close();
  }
}

const reconcile = (document: string, more: Partial<stateV1.ReconcileRequest> = {}) =>
  asked((client, unary) => {
    const request = { document, name: "sent.yaml", dryRun: false, prune: false, actor: "token:admin", address: "" };
    return callUnary(client.reconcile.bind(client), { ...request, ...more }, unary);
  });
const drift = async () =>
  (await asked((client, unary) => callUnary(client.getDrift.bind(client), {}, unary))).items.map(
    ({ kind, id, drift: how }) => `${kind} ${id} ${how}`,
  );
const found = async (id: string) => (await policy.listPolicies()).policies.find((each) => each.id === id);
const putLimit = (id: string, definition: object) => {
  const unary = { metadata: policy.metadata, timeoutMs: 30_000, service: "policy" };
  const limit = limitsV1.Limit.fromPartial({ id, definition: JSON.stringify(definition) });
  return callUnary(policy.client.putLimit.bind(policy.client), { limit, actor: "token:admin" }, unary);
};

beforeAll(async () => {
  policy = await runPolicy(infra, { text });
});
afterAll(() => policy.close());

describe("what the file says and the API as well", () => {
  test("is the API's over a restart, and shown as drift", async () => {
    await policy.putPolicy({ ...ALLOW, resources: ["files:read_one"] });
    await putLimit("days", { per: "tenant", per_day: 5 });
    await policy.putPolicy({ id: "more" });
    const differs = ["policy allow-dev changed", "policy more added", "limit days changed"];
    expect(await drift()).toEqual(differs);
    await restart();
    expect(await found("allow-dev")).toMatchObject({ resources: ["files:read_one"], source: "api" });
    expect(await drift()).toEqual(differs);
  });

  test("stays the API's when the file says something else of others", async () => {
    await write(`${text}  - { name: team, per: team, per_day: 9 }\n`);
    await eventually(async () => expect(await policy.metrics()).toMatch(/changes_total\{kind="file"\} 1/));
    expect(await found("allow-dev")).toMatchObject({ source: "api" });
  });

  test("is the file's again when it says something else of that very entry", async () => {
    await write(text.replace("files:read_*", "files:read_more_*").replace("per_day: 100", "per_day: 101"));
    await eventually(async () =>
      expect(await found("allow-dev")).toMatchObject({ resources: ["files:read_more_*"], source: "file" }),
    );
    expect(await drift()).toEqual(["policy more added"]);
  });

  test("is the file's again when the API says the same", async () => {
    await policy.putPolicy({ ...ALLOW, resources: ["files:other"] });
    expect(await drift()).toContain("policy allow-dev changed");
    await policy.putPolicy({ ...ALLOW, resources: ["files:read_more_*"] });
    expect(await drift()).toEqual(["policy more added"]);
  });

  test("stays removed where the API removes it, and is gone for good where the file does", async () => {
    await policy.deletePolicy("allow-dev");
    await restart();
    expect(await found("allow-dev")).toBeUndefined();
    expect(await drift()).toEqual(["policy more added", "policy allow-dev removed"]);
    await write(text.replace(/ {2}- \{ name: allow-dev.*\n/, ""));
    await eventually(async () => expect(await drift()).toEqual(["policy more added"]));
  });
});

describe("a document", () => {
  const DOCUMENT = `
groups: [{ id: elsewhere }]
policies:
  - { name: more, effect: deny, principals: ["*"], actions: ["tools/call"], resources: ["*:write_*"] }
  - { name: new, effect: allow, principals: ["team:payments"], actions: ["tools/call"], resources: ["files:*"] }
limits:
  - { name: team, per: team, per_day: 10 }
`;

  test("is planned and changes nothing; then it is applied, and changes nothing more", async () => {
    const { revision } = await policy.listPolicies();
    const planned = (await reconcile(DOCUMENT, { dryRun: true })).changes;
    expect(planned).toMatchObject([
      { kind: "policy", id: "new", change: "create", before: "" },
      { kind: "limit", id: "team", change: "update", before: expect.stringContaining('"per_day":9') },
    ]);
    expect((await policy.listPolicies()).revision).toBe(revision);
    const applied = await reconcile(DOCUMENT);
    expect(applied.changes).toEqual(planned);
    expect(applied.revision).toBe(revision + 1n);
    expect(await found("new")).toMatchObject({ source: "api", updatedBy: "token:admin" });
    expect((await reconcile(DOCUMENT)).changes).toEqual([]);
  });

  test("removes what it does not have where it is asked to, of the sections that it has", async () => {
    const { changes } = await reconcile(DOCUMENT.replace(/limits:[^]*/, ""), { prune: true, dryRun: true });
    expect(changes).toEqual([]);
    await policy.putPolicy({ id: "left" });
    const pruned = await reconcile(DOCUMENT, { prune: true });
    expect(pruned.changes.map(({ kind, id, change }) => [kind, id, change])).toEqual([
      ["policy", "left", "delete"],
      ["limit", "days", "delete"],
    ]);
    expect(await found("left")).toBeUndefined();
    expect(await drift()).toContain("limit days removed");
  });

  test("does not bring in more than there may be, however often it is sent", async () => {
    const many = (from: number) =>
      Array.from({ length: 250 }, (_, at) => `  - { name: many-${from + at}, per: team, concurrent: 1 }`).join("\n");
    const halves = [many(0), many(250)].map((half) => half.split("\n"));
    const documents = halves.flatMap((lines) => [lines.slice(0, 150), lines.slice(150)]);
    const sent = documents.map((lines) => reconcile(`limits:\n${lines.join("\n")}\n`));
    const refused = (await Promise.allSettled(sent)).filter(({ status }) => status === "rejected");
    expect(refused.length).toBeGreaterThan(0);
    const unary = { metadata: policy.metadata, timeoutMs: 30_000, service: "policy" };
    const { limits } = await callUnary(policy.client.listLimits.bind(policy.client), {}, unary);
    expect(limits.length).toBeLessThanOrEqual(400);
  });

  test("with a mistake changes nothing, whichever section it is in", async () => {
    const { revision } = await policy.listPolicies();
    const mistaken = [
      `${DOCUMENT}  - { name: bad, per: nobody }\n`,
      DOCUMENT.replace("elsewhere", "NO"),
      `${DOCUMENT}mcp_servers: [{ id: a, group: gone, type: command, command: a }]\n`,
    ];
    for (const document of mistaken)
      await expect(reconcile(document)).rejects.toMatchObject({
        code: "invalid_argument",
        details: { mistakes: [expect.stringMatching(/^sent\.yaml:\d+:\d+: /)] },
      });
    expect((await policy.listPolicies()).revision).toBe(revision);
  });

  test("is not told the installation's own variables, and never leaves nobody who could administer", async () => {
    const own = `policies: [{ name: a, description: "\${TOLLGATE_TOKEN}", effect: deny, principals: ["*"], actions: ["*"], resources: ["*"] }]`;
    await expect(reconcile(own)).rejects.toThrow("the environment has no TOLLGATE_TOKEN");
    const locked = `policies: [{ name: a, effect: deny, principals: ["*"], actions: ["admin/policies/write"], resources: ["*"] }]`;
    for (const dryRun of [true, false])
      await expect(reconcile(locked, { dryRun })).rejects.toThrow("nobody could administer any more");
    expect(await found("a")).toBeUndefined();
  });
});
