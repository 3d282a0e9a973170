import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { limitsV1, policyV1 } from "@tollgate/contracts";
import { callUnary, openLife } from "@tollgate/service";
import { eventually, testLog, useInfrastructure } from "@tollgate/testkit";
import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { hashToken } from "../src/domain/token.ts";
import { identityCalls } from "./identity-calls.ts";
import { startPolicyProcess } from "./policy-process.ts";
import { followRecord, type Recorded } from "./recorded.ts";
import { ADMIN_TOKEN, DEV_TOKEN, FILE, runPolicy, type RunningPolicy } from "./running-policy.ts";

// What is changed is on the record: by whom, as it was, and as it is.

const infra = useInfrastructure();
const life = openLife(testLog);
let recorded: () => Recorded[];
let policy: RunningPolicy;
let admin: pg.Client;
let seen = 0;

beforeAll(async () => {
  recorded = await followRecord(infra, life);
  admin = new pg.Client({ connectionString: infra.adminUrl });
  await admin.connect();
  life.onClose("admin", 1_000, () => admin.end());
});
afterAll(() => life.close());
beforeEach(async () => {
  await admin.query("DROP SCHEMA IF EXISTS policy CASCADE");
  await admin.query("CREATE SCHEMA policy AUTHORIZATION tollgate_policy");
  const before = recorded().length;
  policy = await runPolicy(infra, { text: FILE });
  // What the file has made: two tokens, a policy.
  await eventually(() => expect(recorded().length).toBeGreaterThanOrEqual(before + 3));
  seen = recorded().length;
});
afterEach(() => policy.close());

/** All of this test, once there is nothing left to be published. */
async function all(): Promise<Recorded[]> {
  return eventually(async () => {
    const { rows } = await admin.query<{ position: string }>("SELECT position FROM policy.outbox");
    expect(rows).toEqual([]);
    // One more, after which there is none.
    const mark = `mark-${Date.now()}-${Math.random()}`;
    await identityCalls(policy).putRole({ name: "mark", description: mark });
    await eventually(() => {
      const last = recorded().at(-1) as { after?: { description?: string } };
      expect(last.after?.description).toBe(mark);
    });
    return recorded()
      .slice(seen)
      .filter(({ name }) => name !== "mark");
  });
}

const unary = () => ({ metadata: policy.metadata, timeoutMs: 10_000, service: "policy" });
const CHANGE = { kind: "change", principal: "tester", revision: expect.any(Number) as number };

describe("a change through the API", () => {
  test("of a policy: as it was and as it is, with the revision that it made", async () => {
    const { revision } = await policy.putPolicy({ description: "No writes", tenant: "acme" });
    await policy.putPolicy({ description: "No writes", tenant: "acme" });
    await policy.putPolicy({ description: "None at all", tenant: "acme" });
    await policy.deletePolicy("no-writes");
    const [created, updated, deleted, ...more] = await all();
    const about = { ...CHANGE, tenant: "acme", resource: "policy", name: "no-writes" };
    expect(created).toEqual({ ...about, change: "created", revision: Number(revision), after: expect.anything() });
    expect(created!["after"]).toMatchObject({ effect: "deny", source: "api", version: 1, resources: ["*:write_*"] });
    expect(updated).toMatchObject({
      ...about,
      change: "updated",
      before: { description: "No writes", version: 1 },
      after: { description: "None at all", version: 2 },
    });
    expect(deleted).toMatchObject({ ...about, change: "deleted", before: { version: 2 } });
    expect(more).toEqual([]);
  });

  test("of a token: made, rotated, revoked, and never its secret or a hash of it", async () => {
    const calls = identityCalls(policy);
    const { secret } = await calls.createToken({ name: "bot", team: "payments", permissions: ["mcp"] });
    const { secret: next } = await calls.rotateToken("bot", { overlapMs: 60_000 });
    await policy.revokeToken("bot");
    await policy.revokeToken("bot");
    await calls.createToken({ name: "bot", permissions: ["mcp"] });
    const made = await all();
    const about = { ...CHANGE, tenant: "acme", resource: "token", name: "bot" };
    expect(made).toMatchObject([
      { ...about, change: "created", after: { team: "payments", source: "api", createdBy: "tester" } },
      { ...about, change: "rotated", after: { earlierSecretUntil: expect.any(String) } },
      { ...about, change: "revoked", after: { revokedAt: expect.any(String) } },
      { ...about, change: "created", after: { team: "default" } },
    ]);
    const text = JSON.stringify(recorded());
    for (const hidden of [secret, next, DEV_TOKEN, ADMIN_TOKEN]) {
      expect(text).not.toContain(hidden);
      for (const form of ["hex", "base64", "base64url"] as const)
        expect(text).not.toContain(hashToken(hidden).toString(form));
    }
  });

  test("of agents, users and roles", async () => {
    const calls = identityCalls(policy);
    await calls.putPrincipal({ id: "agent:bot", team: "payments", roles: ["developer"] });
    await calls.putPrincipal({ id: "agent:bot", team: "payments", roles: [], withdrawnRoles: ["developer"] });
    await calls.putPrincipal({ id: "user:ann", disabled: true, note: "left" });
    await calls.deletePrincipal("user:ann");
    await calls.putRole({ name: "developer", description: "Writes code", disabled: true });
    expect(await all()).toMatchObject([
      { ...CHANGE, tenant: "acme", resource: "agent", name: "agent:bot", change: "created" },
      {
        resource: "agent",
        change: "updated",
        before: { roles: ["developer"] },
        after: { withdrawnRoles: ["developer"] },
      },
      { resource: "user", name: "user:ann", change: "created", after: { disabled: true, note: "left" } },
      { resource: "user", name: "user:ann", change: "deleted", before: { disabled: true } },
      { resource: "role", name: "developer", tenant: "acme", change: "created", after: { disabled: true } },
    ]);
  });

  test("of limits, and of sessions that are ended", async () => {
    const { client } = policy;
    const put = (definition: object) => {
      const limit = limitsV1.Limit.fromPartial({ id: "rates", definition: JSON.stringify(definition) });
      return callUnary(client.putLimit.bind(client), { limit, actor: "tester" }, unary());
    };
    await put({ per: "tenant", requests_per_second: 5 });
    await put({ per: "tenant", requests_per_second: 5 });
    await put({ per: "tenant", per_day: 7 });
    await callUnary(client.deleteLimit.bind(client), { id: "rates", actor: "tester" }, unary());
    for (const _ of [1, 2])
      await callUnary(client.endSession.bind(client), { session: "s-1", actor: "tester", tenant: "acme" }, unary());
    expect(await all()).toMatchObject([
      { ...CHANGE, tenant: "tollgate", resource: "limit", name: "rates", change: "created" },
      { change: "updated", before: { rate: { perSecond: 5 } }, after: { perDay: 7 } },
      { change: "deleted", before: { perDay: 7 } },
      { kind: "change", principal: "tester", tenant: "acme", resource: "session", name: "s-1", change: "deleted" },
    ]);
  });

  test("that is refused is no event", async () => {
    const calls = identityCalls(policy);
    await expect(policy.putPolicy({ version: 7n })).rejects.toThrow("somebody has changed it");
    await expect(policy.deletePolicy("unknown")).rejects.toThrow("there is no policy");
    await expect(policy.revokeToken("admin")).rejects.toThrow("last token");
    await expect(calls.createToken({ name: "dev" })).rejects.toThrow("configuration file");
    // Stored and then undone, since nobody could administer any more.
    const lockOut = { id: "lock-out", actions: ["admin/policies/write"], resources: ["*"] };
    await expect(policy.putPolicy(lockOut)).rejects.toThrow("nobody could administer");
    expect(await all()).toEqual([]);
  });
});

describe("a change of the file", () => {
  test("is made by the file; the same file again is none, also for another replica", async () => {
    const first = recorded().slice(seen - 3, seen);
    expect(new Set(first.map(({ name }) => name))).toEqual(new Set(["dev", "admin", "allow-dev"]));
    expect(first).toMatchObject([1, 2, 3].map(() => ({ kind: "change", change: "created", principal: "file" })));
    const replica = await runPolicy(infra, { text: FILE });
    await replica.close();
    await policy.writeFile(
      FILE.replace("team: payments", "team: billing").replace("files:read_*", "files:*") +
        "risk_levels: { MEDIUM: { approvals: 1 } }\nlimits: [{ name: days, per: tenant, per_day: 5 }]\n",
    );
    await eventually(() => expect(recorded().length).toBeGreaterThanOrEqual(seen + 4));
    const made = await all();
    expect(made).toHaveLength(4);
    expect(made).toMatchObject([
      { resource: "token", name: "dev", change: "updated", before: { team: "payments" }, after: { team: "billing" } },
      { resource: "risk_level", name: "MEDIUM", before: { approvals: 0 }, after: { approvals: 1 } },
      { resource: "limit", name: "days", change: "created", after: { perDay: 5, source: "file" } },
      { resource: "policy", name: "allow-dev", change: "updated", after: { resources: ["files:*"], version: 2 } },
    ]);
    expect(made.every(({ principal }) => principal === "file")).toBe(true);
  });

  test("of issuers, certificates and OPA is told for each of them", async () => {
    const oauth = "oauth: { issuer: https://login.example.com, claims: { tenant: org } }";
    const auth = `    ${oauth}
    agents: [{ name: bot, tenant: acme }]
    certificates: [{ name: laptop, common_name: laptop.example, agent: bot }]`;
    const opa = "  opa: { url: http://127.0.0.1:1, path: tollgate/allow }\n  public_url: https://mcp.example.com\n";
    await policy.writeFile(FILE.replace("  auth:\n", `${opa}  auth:\n${auth}\n`));
    await eventually(() => expect(recorded().length).toBeGreaterThanOrEqual(seen + 4));
    const made = await all();
    expect(new Map(made.map(({ resource, name }) => [resource, name]))).toEqual(
      new Map([
        ["agent", "agent:bot"],
        ["issuer", "https://login.example.com"],
        ["certificate", "laptop"],
        ["opa", "opa"],
      ]),
    );
    await policy.writeFile(FILE);
    await eventually(() => expect(recorded().filter(({ change }) => change === "deleted").length).toBeGreaterThan(3));
  });
});

test("a change that another replica had not heard of is told once, by who made it", async () => {
  const replica = await runPolicy(infra, { text: FILE });
  try {
    await Promise.all([
      ...["a", "b", "c"].map((id) => policy.putPolicy({ id }, "ann")),
      ...["d", "e", "f"].map((id) => replica.putPolicy({ id }, "ben")),
    ]);
    const made = await all();
    const byName = made.map(({ name, principal, change }) => `${String(name)} ${String(principal)} ${String(change)}`);
    expect(new Set(byName)).toEqual(
      new Set([
        ...["a", "b", "c"].map((id) => `${id} ann created`),
        ...["d", "e", "f"].map((id) => `${id} ben created`),
      ]),
    );
    expect(made).toHaveLength(6);
    const revisions = made.map(({ revision }) => revision as number);
    expect(revisions).toEqual(revisions.toSorted((a, b) => a - b));
  } finally {
    await replica.close();
  }
});

test("who is killed after a change and before it was published: it is, by whoever comes next", async () => {
  const folder = await mkdtemp(join(tmpdir(), "tollgate-changes-"));
  const own = openLife(testLog);
  try {
    const process = await startPolicyProcess(infra, { folder, databaseUrl: infra.databaseUrl("policy"), life: own });
    await policy.close();
    const key = "hashtextextended('tollgate-outbox-policy', 0)";
    await admin.query(`SELECT pg_advisory_lock(${key})`);
    await process.change("before-the-kill");
    await process.stop("SIGKILL");
    expect(recorded().filter(({ name }) => name === "before-the-kill")).toEqual([]);
    await admin.query(`SELECT pg_advisory_unlock(${key})`);
  } finally {
    await own.close();
    await rm(folder, { recursive: true });
  }
  policy = await runPolicy(infra, { text: FILE });
  const made = (await all()).filter(({ name }) => name === "before-the-kill");
  expect(made).toMatchObject([{ change: "created", principal: "tester" }]);
});

test("approvals are told with their votes: asked for, voted, approved, revoked, lapsed", async () => {
  const { client } = policy;
  const principalOf = (id: string) => policyV1.Principal.fromPartial({ id, tenant: "acme", credential: id });
  const ask = async (tool: string) => {
    const resource = policyV1.Resource.fromPartial({ group: "data", server: "db", tool, risk: "CRITICAL" });
    const asked = { principal: principalOf("dev"), resource, arguments: '{"card":"4111"}', justification: "why" };
    return (await callUnary(client.requestApproval.bind(client), asked, unary())).approval!.id;
  };
  const say = (id: string, decision: string, by: string) =>
    callUnary(client.decideApproval.bind(client), { id, decision, reason: "so", by: principalOf(by) }, unary());
  const id = await ask("drop");
  await say(id, "approve", "ann");
  await say(id, "approve", "ben");
  await say(id, "revoke", "ben");
  await expect(say(id, "revoke", "ben")).rejects.toThrow("only what is approved");
  const lapsing = await ask("truncate");
  await admin.query("UPDATE policy.approvals SET expires_at = now() WHERE id = $1", [lapsing]);
  const about = { kind: "approval", tenant: "acme", principal: "dev", group: "data", server: "db", risk: "CRITICAL" };
  const ofApprovals = () =>
    recorded()
      .slice(seen)
      .filter(({ kind }) => kind === "approval");
  await eventually(() => expect(ofApprovals()).toHaveLength(6));
  expect(ofApprovals()).toEqual([
    { ...about, tool: "drop", approval: id, change: "requested", reason: "why" },
    { ...about, tool: "drop", approval: id, change: "voted", reason: "so", by: "ann" },
    { ...about, tool: "drop", approval: id, change: "approved", reason: "so", by: "ben" },
    { ...about, tool: "drop", approval: id, change: "revoked", reason: "so", by: "ben" },
    { ...about, tool: "truncate", approval: lapsing, change: "requested", reason: "why" },
    { ...about, tool: "truncate", approval: lapsing, change: "expired", reason: "nobody has decided in time" },
  ]);
  expect(JSON.stringify(recorded())).not.toContain("4111");
});
