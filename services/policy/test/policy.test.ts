import { eventually, useInfrastructure } from "@tollgate/testkit";
import pg from "pg";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ADMIN_TOKEN, DEV_TOKEN, FILE, runPolicy, type RunningPolicy } from "./running-policy.ts";

const infra = useInfrastructure();
let policy: RunningPolicy;

beforeEach(async () => {
  await query("DROP SCHEMA IF EXISTS policy CASCADE");
  await query("CREATE SCHEMA policy AUTHORIZATION tollgate_policy");
  policy = await runPolicy(infra);
});
afterEach(() => policy.close());

async function restart(options: { text?: string } = {}): Promise<void> {
  await policy.close();
  policy = await runPolicy(infra, options);
}

async function query<R extends pg.QueryResultRow>(sql: string): Promise<R[]> {
  const client = new pg.Client({ connectionString: infra.adminUrl });
  await client.connect();
  try {
    return (await client.query<R>(sql)).rows;
  } finally {
    await client.end();
  }
}

const dev = async () => (await policy.authenticate(DEV_TOKEN)).principal;

describe("tokens", () => {
  test("of the file resolve to principals", async () => {
    expect(await policy.authenticate(DEV_TOKEN)).toMatchObject({
      principal: {
        id: "dev",
        credential: "dev",
        tenant: "acme",
        team: "payments",
        roles: ["developer"],
        permissions: ["mcp"],
      },
      revision: expect.any(BigInt),
      expiresAtMs: 0n,
    });
    const { principal } = await policy.authenticate(ADMIN_TOKEN);
    expect(principal).toMatchObject({ id: "admin", tenant: "default", team: "default", permissions: ["mcp", "admin"] });
  });

  test.each([
    ["", "the token is not known"],
    ["nobody's", "the token is not known"],
    [`${DEV_TOKEN} `, "the token is not known"],
    ["x".repeat(100_000), "the token is not known"],
  ])("%.20j is unauthenticated, and the reason does not repeat it", async (token, message) => {
    await expect(policy.authenticate(token)).rejects.toMatchObject({ code: "unauthenticated", message });
  });

  test("that expired are refused with the time", async () => {
    await policy.writeFile(FILE.replace("name: dev,", "name: dev, expires_at: 2020-01-01T00:00:00Z,"));
    await eventually(() =>
      expect(policy.authenticate(DEV_TOKEN)).rejects.toMatchObject({
        code: "unauthenticated",
        message: 'the token "dev" expired at 2020-01-01T00:00:00.000Z',
      }),
    );
    await restart({ text: FILE.replace("name: dev,", "name: dev, expires_at: 2099-01-01T00:00:00Z,") });
    expect((await policy.authenticate(DEV_TOKEN)).expiresAtMs).toBe(BigInt(Date.UTC(2099, 0, 1)));
  });

  test("that are revoked stay so, whatever the file says and however often the service starts", async () => {
    const principal = await dev();
    expect(await policy.mayCall(principal, "files", "read_a")).toMatchObject({ allow: true });
    const { revision } = await policy.revokeToken("dev");

    const refused = { code: "unauthenticated", message: expect.stringContaining('the token "dev" was revoked at 20') };
    await expect(policy.authenticate(DEV_TOKEN)).rejects.toMatchObject(refused);
    expect(await policy.mayCall(principal, "files", "read_a")).toMatchObject({
      allow: false,
      reason: expect.stringContaining("was revoked"),
    });
    expect((await policy.revokeToken("dev")).revision).toBe(revision);
    const listed = (await policy.listTokens()).tokens.find(({ name }) => name === "dev");
    expect(Number(listed?.revokedAtMs)).toBeGreaterThan(Number(listed?.createdAtMs));

    await restart();
    await expect(policy.authenticate(DEV_TOKEN)).rejects.toMatchObject(refused);
    // Out of the file and back again.
    await restart({ text: FILE.replace(/.*name: dev,.*\n/, "") });
    await expect(policy.authenticate(DEV_TOKEN)).rejects.toMatchObject({ message: "the token is not known" });
    await restart();
    await expect(policy.authenticate(DEV_TOKEN)).rejects.toMatchObject(refused);
    // A new secret under the old name is a new token; the old secret stays dead.
    await restart({ text: FILE.replace('"${DEV_TOKEN}"', "another-secret-0123456789") });
    expect((await policy.authenticate("another-secret-0123456789")).principal).toMatchObject({ id: "dev" });
    await expect(policy.authenticate(DEV_TOKEN)).rejects.toMatchObject({ message: "the token is not known" });
  });

  test("cannot be revoked when not there, or when nobody could administer any more", async () => {
    await expect(policy.revokeToken("nobody")).rejects.toMatchObject({
      code: "not_found",
      message: 'there is no token named "nobody"',
    });
    await expect(policy.revokeToken("admin")).rejects.toMatchObject({
      code: "failed_precondition",
      message: expect.stringContaining('"admin" is the last token with the permission admin'),
    });
    expect((await policy.authenticate(ADMIN_TOKEN)).principal).toMatchObject({ id: "admin" });
  });

  test("are nowhere in the database", async () => {
    await policy.revokeToken("dev");
    const tables = await query<{ name: string }>(
      "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'policy'",
    );
    expect(tables.length).toBeGreaterThan(4);
    for (const { name } of tables) {
      const rows = await query<{ text: string }>(`SELECT t::text AS text FROM policy."${name}" t`);
      for (const { text } of rows) for (const secret of [DEV_TOKEN, ADMIN_TOKEN]) expect(text).not.toContain(secret);
    }
  });

  test("may swap their names in the file", async () => {
    await policy.writeFile(
      FILE.replace("name: dev,", "name: x,").replace("name: admin,", "name: dev,").replace("name: x,", "name: admin,"),
    );
    await eventually(async () => expect((await policy.authenticate(DEV_TOKEN)).principal?.id).toBe("admin"));
    expect((await policy.authenticate(ADMIN_TOKEN)).principal?.id).toBe("dev");
  });
});

describe("decisions", () => {
  test("say which policies decided and why", async () => {
    const principal = await dev();
    const tools = ["read_a", "write_file", ""];
    const resources = tools.map((tool) => ({ group: "disk", server: "files", tool, sandboxed: false }));
    expect((await policy.decide({ principal, action: "tools/call", resources })).decisions).toMatchObject([
      { allow: true, policyIds: ["allow-dev"], reason: "allowed by policy allow-dev" },
      { allow: false, policyIds: [], reason: "no policy allows tools/call on files:write_file" },
      { allow: false, policyIds: [], reason: "no policy allows tools/call on files" },
    ]);
    expect(await policy.metrics()).toMatch(/tollgate_policy_decisions_total\{effect="deny"\} 2/);
  });

  test("trust policy's own record of the caller, not the request", async () => {
    const admin = (await policy.authenticate(ADMIN_TOKEN)).principal!;
    expect(await policy.mayCall({ ...admin, roles: ["developer"] }, "files", "read_a")).toMatchObject({ allow: false });
    const principal = (await dev())!;
    expect(await policy.mayCall({ ...principal, tenant: "other" }, "files", "read_a")).toMatchObject({ allow: false });
    expect(await policy.mayCall(undefined, "files", "read_a")).toMatchObject({ allow: false });
  });

  test("on many resources come in their order; on too many there are none", async () => {
    const principal = await dev();
    const resources = Array.from({ length: 2_000 }, (_, index) => ({
      group: "g",
      server: "files",
      tool: index % 3 === 0 ? `read_${index}` : `x${index}`,
      sandboxed: false,
    }));
    const { decisions } = await policy.decide({ principal, action: "tools/call", resources });
    expect(decisions.map(({ allow }) => allow)).toEqual(resources.map((_, index) => index % 3 === 0));
    await expect(
      policy.decide({ principal, action: "tools/call", resources: [...resources, resources[0]!] }),
    ).rejects.toMatchObject({ code: "invalid_argument", message: "resources: has more than 2000 entries" });
    expect((await policy.decide({ principal, action: "tools/call", resources: [] })).decisions).toEqual([]);
  });

  test("of one answer are of one revision, also when policies change meanwhile", async () => {
    const principal = await dev();
    const resources = Array.from({ length: 1_000 }, (_, index) => ({
      group: "g",
      server: "files",
      tool: `read_${index}`,
      sandboxed: false,
    }));
    const [answers] = await Promise.all([
      Promise.all(Array.from({ length: 3 }, () => policy.decide({ principal, action: "tools/call", resources }))),
      policy.putPolicy({ id: "closed", resources: ["*"] }),
    ]);
    for (const { decisions } of answers) expect(new Set(decisions.map(({ reason }) => reason)).size).toBe(1);
  });
});

describe("policies through the API", () => {
  test("are put, listed with their Cedar text, replaced and deleted, with rising versions", async () => {
    const principal = await dev();
    const put = await policy.putPolicy({ id: "no-reads", resources: ["files:read_*"] });
    expect(put.policy).toMatchObject({
      id: "no-reads",
      effect: "deny",
      source: "api",
      version: 1n,
      updatedBy: "tester",
      cedar: expect.stringContaining('@id("no-reads")\nforbid (principal, action == Action::"tools/call", resource)'),
    });
    expect(await policy.mayCall(principal, "files", "read_a")).toMatchObject({
      allow: false,
      policyIds: ["no-reads"],
      reason: "denied by policy no-reads",
    });
    const same = await policy.putPolicy({ id: "no-reads", resources: ["files:read_*"] });
    expect([same.policy?.version, same.revision]).toEqual([1n, put.revision]);
    const changed = await policy.putPolicy({ id: "no-reads", resources: ["files:read_b"] }, "somebody");
    expect(changed.policy).toMatchObject({ version: 2n, updatedBy: "somebody" });
    expect(changed.revision).toBeGreaterThan(put.revision);
    expect((await policy.mayCall(principal, "files", "read_a")).allow).toBe(true);

    expect((await policy.listPolicies()).policies.map(({ id, source }) => [id, source])).toEqual([
      ["allow-dev", "file"],
      ["no-reads", "api"],
    ]);
    expect((await policy.deletePolicy("no-reads")).revision).toBeGreaterThan(changed.revision);
    await expect(policy.deletePolicy("no-reads")).rejects.toMatchObject({ code: "not_found" });
    expect((await policy.putPolicy({ id: "no-reads" })).policy?.version).toBe(4n);
    const history = await query(
      "SELECT version, change, changed_by FROM policy.policy_history WHERE id = 'no-reads' ORDER BY version",
    );
    expect(history).toEqual([
      { version: "1", change: "put", changed_by: "tester" },
      { version: "2", change: "put", changed_by: "somebody" },
      { version: "3", change: "delete", changed_by: "tester" },
      { version: "4", change: "put", changed_by: "tester" },
    ]);
  });

  test("may require a sandbox, in every version that is kept", async () => {
    const principal = await dev();
    const bare = { id: "no-bare", resources: ["files:*"], conditions: '{"require_sandbox":true}' };
    expect((await policy.putPolicy(bare)).policy).toMatchObject({
      conditions: '{"require_sandbox":true}',
      version: 1n,
      cedar: expect.stringContaining("!resource.sandboxed"),
    });
    expect(await policy.mayCall(principal, "files", "read_a")).toMatchObject({
      allow: false,
      policyIds: ["no-bare"],
      reason: "denied by policy no-bare: its server is in no sandbox",
    });
    expect(await policy.mayCall(principal, "files", "read_a", { sandboxed: true })).toMatchObject({ allow: true });

    expect((await policy.putPolicy({ ...bare, conditions: "" })).policy).toMatchObject({ version: 2n });
    expect((await policy.mayCall(principal, "files", "read_a", { sandboxed: true })).allow).toBe(false);
    await policy.putPolicy(bare);
    await restart();
    expect((await policy.listPolicies()).policies.at(-1)).toMatchObject({
      id: "no-bare",
      conditions: '{"require_sandbox":true}',
    });
    await policy.deletePolicy("no-bare");
    const history = await query(
      "SELECT version, change, conditions FROM policy.policy_history WHERE id = 'no-bare' ORDER BY version",
    );
    expect(history).toEqual([
      { version: "1", change: "put", conditions: { require_sandbox: true } },
      { version: "2", change: "put", conditions: {} },
      { version: "3", change: "put", conditions: { require_sandbox: true } },
      { version: "4", change: "delete", conditions: { require_sandbox: true } },
    ]);
  });

  test("are refused with the place of each mistake, and change nothing", async () => {
    const before = await policy.listPolicies();
    await expect(policy.putPolicy({ id: "Bad", principals: ["*", "dev"] })).rejects.toMatchObject({
      code: "invalid_argument",
      message:
        "id: has to be 1 to 63 of a-z, 0-9 and inner -; principals[1]: has to be *, token:NAME, agent:NAME, user:SUBJECT, role:NAME, team:NAME or tenant:NAME",
      details: { errors: [expect.anything(), { path: "principals[1]", message: expect.any(String) }] },
    });
    await expect(policy.putPolicy({}, "")).rejects.toMatchObject({
      message: "actor: has to be 1 to 200 characters long",
    });
    expect(await policy.listPolicies()).toEqual(before);
  });

  test("keep all that they say, over a restart and in what is asked of them", async () => {
    const principal = await dev();
    const conditions = {
      network: ["10.0.0.0/8"],
      weekdays: ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
      arguments: { path: { like: "/data/*" } },
    };
    const narrow = { id: "narrow", effect: "allow", tenant: "acme", description: "why", resources: ["files:write_*"] };
    const { policy: put } = await policy.putPolicy({ ...narrow, conditions: JSON.stringify(conditions) });
    await restart();
    const { policies } = await policy.listPolicies();
    expect(policies.find(({ id }) => id === "narrow")).toEqual(put);
    expect(put).toMatchObject({ tenant: "acme", description: "why", isCedar: false });
    expect(JSON.parse(put!.conditions)).toEqual(conditions);
    const resources = [{ group: "disk", server: "files", tool: "write_a" }];
    const ask = async (more: object) =>
      (await policy.decide({ principal, action: "tools/call", resources, ...more })).decisions[0]!;
    const args = (path: string) => ({ arguments: JSON.stringify({ path }), address: "10.0.0.1" });
    expect(await ask({ address: "10.0.0.1" })).toMatchObject({ allow: true, variesByArguments: true });
    expect(await ask(args("/data/a"))).toMatchObject({ allow: true, variesByArguments: false });
    expect((await ask(args("/data/a"))).validUntilMs).toBeGreaterThan(BigInt(Date.now()));
    expect(await ask(args("/etc/a"))).toMatchObject({ allow: false });
    expect(await ask({ ...args("/data/a"), address: "11.0.0.1" })).toMatchObject({ allow: false });
    await policy.deletePolicy("narrow");
  });

  test("may be written in Cedar", async () => {
    const principal = await dev();
    const cedar = 'forbid (principal, action, resource in Server::"files") when { resource.name == "read_c" };';
    const empty = { effect: "", principals: [], actions: [], resources: [] };
    const { policy: put } = await policy.putPolicy({ id: "own", ...empty, cedar, isCedar: true });
    expect(put).toMatchObject({ id: "own", cedar, isCedar: true, ...empty });
    await restart();
    expect(await policy.mayCall(principal, "files", "read_c")).toMatchObject({ allow: false, policyIds: ["own"] });
    expect((await policy.mayCall(principal, "files", "read_a")).allow).toBe(true);
    const wrong = policy.putPolicy({ id: "own", ...empty, cedar: `${cedar.slice(0, -6)} > };`, isCedar: true });
    await expect(wrong).rejects.toMatchObject({
      code: "invalid_argument",
      details: { errors: [{ path: expect.stringMatching(/^cedar:1:8\d$/) }] },
    });
    await policy.deletePolicy("own");
  });

  test("never leave nobody who could administer", async () => {
    const { revision } = await policy.listPolicies();
    const lockOut = { id: "lock-out", actions: ["admin/policies/write"], resources: ["*"] };
    await expect(policy.putPolicy(lockOut)).rejects.toMatchObject({
      code: "failed_precondition",
      message: expect.stringContaining("nobody could administer any more: keep a token with the permission admin"),
    });
    expect((await policy.listPolicies()).revision).toBe(revision);
    await policy.putPolicy({ ...lockOut, principals: ["token:dev"] });
    await policy.deletePolicy("lock-out");
  });

  test("are shown to a tenant when they may concern it", async () => {
    await policy.putPolicy({ id: "acme-only", principals: ["tenant:acme"] });
    await policy.putPolicy({ id: "admin-only", principals: ["token:admin"] });
    const shown = async (tenant: string) => (await policy.listPolicies(tenant)).policies.map(({ id }) => id);
    expect(await shown("acme")).toEqual(["acme-only", "allow-dev"]);
    expect(await shown("default")).toEqual(["admin-only", "allow-dev"]);
    expect(await shown("")).toEqual(["acme-only", "admin-only", "allow-dev"]);
  });

  test("survive a restart, and the revision goes on from where it was", async () => {
    const { revision } = await policy.putPolicy({});
    await restart();
    const listed = await policy.listPolicies();
    expect(listed.policies.map(({ id }) => id)).toEqual(["allow-dev", "no-writes"]);
    expect(listed.revision).toBe(revision);
    expect((await policy.putPolicy({ effect: "allow" })).revision).toBeGreaterThan(revision);
  });

  test("made by another replica hold here within moments", async () => {
    const other = await runPolicy(infra);
    const { revision } = await other.putPolicy({ id: "elsewhere", resources: ["*"] });
    const principal = await dev();
    await eventually(async () =>
      expect((await policy.mayCall(principal, "files", "read_a")).policyIds).toEqual(["elsewhere"]),
    );
    expect((await policy.listPolicies()).revision).toBe(revision);
    await other.close();
  });
});

describe("the file", () => {
  test("holds anew when it changes", async () => {
    const principal = await dev();
    const { revision } = await policy.listPolicies();
    await policy.writeFile(FILE.replace("read_*", "list").replace("roles: [developer]", "roles: [developer, tester]"));
    await eventually(async () => expect((await policy.mayCall(principal, "files", "list")).allow).toBe(true));
    expect((await policy.mayCall(principal, "files", "read_a")).allow).toBe(false);
    expect((await dev())?.roles).toEqual(["developer", "tester"]);
    const listed = await policy.listPolicies();
    expect(listed.revision).toBe(revision + 1n);
    expect(listed.policies[0]).toMatchObject({ id: "allow-dev", version: 2n, updatedBy: "tollgate.yaml" });

    await policy.writeFile(FILE.replace(/.*name: dev,.*\n/, "").replace(/.*name: allow-dev,.*\n/, ""));
    await eventually(() =>
      expect(policy.authenticate(DEV_TOKEN)).rejects.toMatchObject({ message: "the token is not known" }),
    );
    expect((await policy.listPolicies()).policies).toEqual([]);
  });

  test("may require a sandbox", async () => {
    const principal = await dev();
    const { revision } = await policy.listPolicies();
    await policy.writeFile(
      FILE.replace('["files:read_*"] }', '["files:read_*"], conditions: { require_sandbox: true } }'),
    );
    await eventually(async () => expect((await policy.mayCall(principal, "files", "read_a")).allow).toBe(false));
    expect((await policy.mayCall(principal, "files", "read_a", { sandboxed: true })).allow).toBe(true);
    expect((await policy.mayCall(principal, "files", "write_a", { sandboxed: true })).allow).toBe(false);
    expect(await policy.listPolicies()).toMatchObject({
      revision: revision + 1n,
      policies: [{ id: "allow-dev", conditions: '{"require_sandbox":true}', version: 2n }],
    });
  });

  test("with a mistake changes nothing, and a right one is taken after it", async () => {
    const before = await policy.listPolicies();
    await policy.writeFile(FILE.replace("effect: allow", "effect: alow"));
    await policy.writeFile(FILE.replace("effect: allow", "effect: alow").replace("read_*", "list"));
    const principal = await dev();
    // A round of the poll and more has passed when something later has been taken.
    await policy.writeFile(
      `${FILE}  - { name: later, effect: deny, principals: ["*"], actions: ["*"], resources: ["x:*"] }\n`,
    );
    await eventually(async () => expect((await policy.listPolicies()).policies).toHaveLength(2));
    expect((await policy.listPolicies()).revision).toBe(before.revision + 1n);
    expect((await policy.mayCall(principal, "files", "read_a")).allow).toBe(true);
  });

  test("with a mistake keeps the service from starting, and says where", async () => {
    await expect(runPolicy(infra, { text: FILE.replace("effect: allow", "effect: alow") })).rejects.toThrow(
      /tollgate\.yaml:11:32: policies\[0\]\.effect/,
    );
  });

  test("with Cedar that does not fit keeps the service from starting, and says where", async () => {
    const wrong = "permit (principal, action, resource) when { resource.owner == 1 };";
    const text = `${FILE}  - { name: own, cedar: '${wrong}' }\n`;
    await expect(runPolicy(infra, { text })).rejects.toThrow(
      /policies "own" cedar:1:45: attribute `owner`.* not found/,
    );
  });

  test("may close the management API, but not by its policies", async () => {
    const lockOut = `  - { name: lock-out, effect: deny, principals: ["*"], actions: ["admin/*"], resources: ["*"] }\n`;
    await expect(runPolicy(infra, { text: `${FILE}${lockOut}` })).rejects.toThrow("nobody could administer any more");
    await policy.writeFile(FILE.replace(/.*name: admin,.*\n/, ""));
    await eventually(() =>
      expect(policy.authenticate(ADMIN_TOKEN)).rejects.toMatchObject({ message: "the token is not known" }),
    );
  });

  test("the same at every start changes nothing", async () => {
    const { revision } = await policy.listPolicies();
    await restart();
    expect((await policy.listPolicies()).revision).toBe(revision);
  });

  test("takes over a policy of the API with the same id", async () => {
    await policy.putPolicy({ id: "mine" });
    await policy.writeFile(
      `${FILE}  - { name: mine, effect: deny, principals: ["*"], actions: ["*"], resources: ["x:*"] }\n`,
    );
    await eventually(async () =>
      expect((await policy.listPolicies()).policies.find(({ id }) => id === "mine")).toMatchObject({
        source: "file",
        version: 2n,
      }),
    );
  });
});

describe("the service", () => {
  test("is ready, and two may start at once on an empty schema", async () => {
    expect(await policy.readiness()).toBe(200);
    await policy.close();
    await query("DROP SCHEMA policy CASCADE");
    await query("CREATE SCHEMA policy AUTHORIZATION tollgate_policy");
    const [one, other] = await Promise.all([runPolicy(infra), runPolicy(infra)]);
    expect((await one.listPolicies()).revision).toBe((await other.listPolicies()).revision);
    await one.close();
    policy = other;
  });

  test("decides without its database, and says that it is not ready", async () => {
    const principal = await dev();
    await query("ALTER SCHEMA policy RENAME TO policy_away");
    try {
      await eventually(async () => expect(await policy.readiness()).toBe(503));
      expect((await policy.mayCall(principal, "files", "read_a")).allow).toBe(true);
      await expect(policy.putPolicy({})).rejects.toMatchObject({ code: "unavailable", retryable: true });
      expect((await policy.mayCall(principal, "files", "write_a")).allow).toBe(false);
    } finally {
      await query("ALTER SCHEMA policy_away RENAME TO policy");
    }
    await eventually(async () => expect(await policy.readiness()).toBe(200));
    expect((await policy.putPolicy({})).policy?.id).toBe("no-writes");
  });
});
