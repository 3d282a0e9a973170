import type { policyV1 } from "@tollgate/contracts";
import { eventually, useInfrastructure } from "@tollgate/testkit";
import pg from "pg";
import { beforeEach, describe, expect, test } from "vitest";
import { watchAs } from "./gateway.ts";
import { identityCalls } from "./identity-calls.ts";
import { runPolicy, type RunningPolicy } from "./running-policy.ts";

const infra = useInfrastructure();
let policy: RunningPolicy;
let identity: ReturnType<typeof identityCalls>;

const FILE = `
control_plane:
  auth:
    agents:
      - { name: bot, tenant: acme, team: platform, roles: [deployment] }
    tokens:
      - { name: admin, token: "\${ADMIN_TOKEN}", permissions: [mcp, admin] }
      - { name: bot-ci, token: "secret-of-ci", agent: bot }
      - { name: bot-night, token: "secret-of-night", agent: bot, permissions: ["mcp:disk/files"] }
    certificates:
      - { name: host, alternative_name: "URI:spiffe://acme/bot", agent: bot }
      - { name: reporter, common_name: reporter.acme, tenant: acme, roles: [reader] }
      - { name: pinned, sha256: "${"AB:".repeat(31)}AB", agent: bot, permissions: ["mcp:disk"] }
policies:
  - { name: bots, effect: allow, principals: ["agent:bot"], actions: ["*"], resources: ["files:*"] }
  - { name: deployers, effect: allow, principals: ["role:deployment"], actions: ["*"], resources: ["deploy:*"] }
  - { name: readers, effect: allow, principals: ["role:reader"], actions: ["*"], resources: ["wiki:*"] }
`;

beforeEach(async () => {
  await query("DROP SCHEMA IF EXISTS policy CASCADE");
  await query("CREATE SCHEMA policy AUTHORIZATION tollgate_policy");
  await start(FILE);
  return () => policy.close();
});

async function start(text: string): Promise<void> {
  policy = await runPolicy(infra, { text });
  identity = identityCalls(policy);
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

const who = async (token: string) => (await policy.authenticate(token)).principal;
const may = async (principal: policyV1.Principal | undefined, server: string) => policy.mayCall(principal, server, "x");

async function expectRefused(answer: Promise<unknown>, code: string, message: string | RegExp): Promise<void> {
  await expect(answer).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
}

describe("a token that the API makes", () => {
  test("is shown once, has what was said, and is nowhere in the database", async () => {
    const { token, secret, revision } = await identity.createToken({
      name: "ci",
      team: "platform",
      roles: ["reader"],
      permissions: ["mcp:disk", "admin"],
    });
    expect(secret).toMatch(/^tg_[\w-]{43}$/);
    expect(token).toMatchObject({ name: "ci", tenant: "acme", source: "api", createdBy: "tester", revokedAtMs: 0n });
    expect(await policy.authenticate(secret)).toEqual({
      principal: {
        id: "ci",
        tenant: "acme",
        team: "platform",
        roles: ["reader"],
        permissions: ["mcp:disk", "admin"],
        credential: "ci",
        amr: [],
        acr: "",
        authenticatedAtMs: 0n,
      },
      revision,
      expiresAtMs: 0n,
    });
    expect(await may(await who(secret), "wiki")).toMatchObject({ allow: true });
    await identity.rotateToken("ci", { overlapMs: 60_000 });
    await policy.revokeToken("ci");
    const tables = await query<{ name: string }>(
      "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'policy'",
    );
    expect(tables.map(({ name }) => name)).toEqual(expect.arrayContaining(["tokens", "revocations", "token_uses"]));
    for (const { name } of tables)
      for (const { text } of await query<{ text: string }>(`SELECT t::text AS text FROM policy."${name}" t`))
        expect(text).not.toContain(secret.slice(3));
  });

  test("goes on beside a file that does not list it, and after a restart", async () => {
    const { secret } = await identity.createToken({ name: "ci" });
    await policy.close();
    await start(FILE.replace("name: readers", "name: reading"));
    expect(await who(secret)).toMatchObject({ id: "ci", team: "default", permissions: ["mcp"] });
  });

  test("ends at its time", async () => {
    const expiresAtMs = BigInt(Date.now() + 60_000);
    const { secret } = await identity.createToken({ name: "brief", expiresAtMs });
    expect((await policy.authenticate(secret)).expiresAtMs).toBe(expiresAtMs);
    await query("UPDATE policy.tokens SET expires_at = '2020-01-01' WHERE name = 'brief'");
    await policy.close();
    await start(FILE);
    await expectRefused(policy.authenticate(secret), "unauthenticated", /^the token "brief" expired at 2020-01-01/);
  });

  test.each<[Partial<policyV1.Token>, string, RegExp]>([
    [{ name: "Ci" }, "invalid_argument", /^name: has to be 1 to 63/],
    [{ name: "ci", tenant: "Acme Ltd" }, "invalid_argument", /^tenant: /],
    [{ name: "ci", roles: ["a", "b c"] }, "invalid_argument", /^roles\[1\]: /],
    [{ name: "ci", permissions: ["all"] }, "invalid_argument", /^permissions\[0\]: has to be mcp, mcp:GROUP/],
    [{ name: "ci", expiresAtMs: 1n }, "invalid_argument", /^expires_at: has passed$/],
    [{ name: "ci", expiresAtMs: 2n ** 62n }, "invalid_argument", /^expires_at: is not a time$/],
    [{ name: "ci", agent: "bot" }, "invalid_argument", /^agent: has to be agent:NAME$/],
    [{ name: "ci", agent: "agent:bot", roles: ["x"] }, "invalid_argument", /^roles: do not go with agent/],
    [{ name: "ci", agent: "agent:other" }, "failed_precondition", /^agent: there is no "agent:other" in the tenant/],
    [{ name: "ci", agent: "agent:bot", tenant: "globex" }, "failed_precondition", /^agent: there is no "agent:bot"/],
    [{ name: "admin" }, "failed_precondition", /^the token "admin" is of the configuration file/],
  ])("is not made of %o", (token, code, message) => expectRefused(identity.createToken(token), code, message));

  test("has a name of its own, which may be given anew once it is revoked: the revocation is the secret's", async () => {
    const { secret: first } = await identity.createToken({ name: "ci" });
    await expectRefused(identity.createToken({ name: "ci" }), "already_exists", /^there is a token named "ci" already/);
    await policy.revokeToken("ci");
    const { secret: second } = await identity.createToken({ name: "ci", team: "other" });
    expect(await who(second)).toMatchObject({ id: "ci", team: "other" });
    await expectRefused(policy.authenticate(first), "unauthenticated", /^the token is not known$/);
  });
});

describe("rotation", () => {
  test("leaves the earlier secret for the overlap, and no longer", async () => {
    const { secret: first } = await identity.createToken({ name: "ci" });
    const beforeMs = Date.now();
    const { secret: second, token } = await identity.rotateToken("ci", { overlapMs: 60_000 });
    expect(Number(token!.previousUntilMs)).toBeGreaterThanOrEqual(beforeMs + 60_000);
    const [old, own] = await Promise.all([policy.authenticate(first), policy.authenticate(second)]);
    expect([old.principal?.id, own.principal?.id]).toEqual(["ci", "ci"]);
    // Gateways remember it no longer than that.
    expect([old.expiresAtMs, own.expiresAtMs]).toEqual([token!.previousUntilMs, 0n]);

    await query("UPDATE policy.tokens SET previous_until = '2020-01-01' WHERE name = 'ci'");
    await policy.close();
    await start(FILE);
    await expectRefused(policy.authenticate(first), "unauthenticated", /^this secret of the token "ci" was rotated/);
    expect(await who(second)).toMatchObject({ id: "ci" });
  });

  test("once more within the overlap ends the oldest at once; without an overlap, the present one", async () => {
    const { secret: first } = await identity.createToken({ name: "ci" });
    const { secret: second } = await identity.rotateToken("ci", { overlapMs: 60_000 });
    const { secret: third } = await identity.rotateToken("ci", { overlapMs: 60_000 });
    await expectRefused(policy.authenticate(first), "unauthenticated", /^the token is not known$/);
    expect([await who(second), await who(third)]).toMatchObject([{ id: "ci" }, { id: "ci" }]);
    const { secret: fourth } = await identity.rotateToken("ci");
    for (const gone of [second, third]) await expectRefused(policy.authenticate(gone), "unauthenticated", /not known/);
    expect(await who(fourth)).toMatchObject({ id: "ci" });
  });

  test("both secrets are revoked together, and the file cannot bring either back", async () => {
    const { secret: first } = await identity.createToken({ name: "ci" });
    const { secret: second } = await identity.rotateToken("ci", { overlapMs: 60_000 });
    await policy.revokeToken("ci");
    for (const gone of [first, second]) await expectRefused(policy.authenticate(gone), "unauthenticated", /revoked/);
    await expectRefused(identity.rotateToken("ci"), "failed_precondition", /^the token "ci" was revoked/);
    await policy.close();
    const again = [first, second].map((secret, i) => `      - { name: again-${i}, token: ${secret} }\n`).join("");
    await start(FILE.replace("    certificates:\n", `${again}    certificates:\n`));
    for (const gone of [first, second]) await expectRefused(policy.authenticate(gone), "unauthenticated", /revoked/);
  });

  test("may move the end", async () => {
    await identity.createToken({ name: "ci", expiresAtMs: BigInt(Date.now() + 60_000) });
    const expiresAtMs = BigInt(Date.now() + 3_600_000);
    expect((await identity.rotateToken("ci", { expiresAtMs })).token).toMatchObject({ expiresAtMs });
    expect((await identity.rotateToken("ci")).token).toMatchObject({ expiresAtMs });
  });

  test("is not for tokens of the file, or that are not there, or for longer than a week", async () => {
    await expectRefused(identity.rotateToken("bot-ci"), "failed_precondition", /is of the configuration file/);
    for (const name of ["nobody", "nul\0"])
      await expectRefused(identity.rotateToken(name), "not_found", /^there is no/);
    await identity.createToken({ name: "ci" });
    await expectRefused(identity.rotateToken("ci", { overlapMs: 604_800_001 }), "invalid_argument", /^overlap_ms: /);
  });
});

test("when a token was used last is shown, is no revision, and outlives a restart", async () => {
  const { revision } = await identity.createToken({ name: "ci" });
  const gateway = watchAs(policy, "g1");
  await eventually(() => expect(gateway.revision()).toBe(revision));
  const atMs = BigInt(Date.now() - 1_000);
  const used = [
    { tenant: "acme", credential: "ci", atMs },
    { tenant: "acme", credential: "ci", atMs: atMs - 5_000n },
    { tenant: "globex", credential: "admin", atMs },
    { tenant: "acme", credential: "certificate:host", atMs },
    { tenant: "acme", credential: "bot-ci", atMs: BigInt(Date.now() + 3_600_000) },
  ];
  gateway.use(used.slice(1));
  gateway.use(used.slice(0, 1));
  const lastUse = async (name: string) =>
    (await policy.listTokens()).tokens.find((each) => each.name === name)?.lastUsedAtMs;
  await eventually(async () => expect(await lastUse("ci")).toBe(atMs));
  // No later than now, whatever the gateway's clock says.
  expect(Number(await lastUse("bot-ci"))).toBeLessThanOrEqual(Date.now());
  expect((await policy.listPolicies()).revision).toBe(revision);
  gateway.leave();

  await policy.close();
  await start(FILE);
  expect(await lastUse("ci")).toBe(atMs);
  expect(await lastUse("admin")).toBe(0n);
  expect((await policy.listPolicies()).revision).toBe(revision);
});

describe("an agent", () => {
  test("is the same by each of its tokens, with the permissions of each", async () => {
    const agent = { id: "agent:bot", tenant: "acme", team: "platform", roles: ["deployment"] };
    expect(await who("secret-of-ci")).toMatchObject({ ...agent, permissions: ["mcp"], credential: "bot-ci" });
    expect(await who("secret-of-night")).toMatchObject({ ...agent, permissions: ["mcp:disk/files"] });
    expect(await may(await who("secret-of-ci"), "deploy")).toMatchObject({ policyIds: ["deployers"] });
    expect(await may(await who("secret-of-ci"), "files")).toMatchObject({ policyIds: ["bots"] });
    expect(await may(await who("secret-of-night"), "deploy")).toMatchObject({ allow: false });
  });

  test("goes on with its other tokens when one is revoked", async () => {
    const { secret } = await identity.createToken({ name: "bot-third", agent: "agent:bot" });
    const [ci, third] = [await who("secret-of-ci"), await who(secret)];
    expect(third).toMatchObject({ id: "agent:bot", roles: ["deployment"], credential: "bot-third" });
    await policy.revokeToken("bot-ci");
    await expectRefused(who("secret-of-ci"), "unauthenticated", /^the token "bot-ci" was revoked/);
    expect(await may(ci, "files")).toMatchObject({ allow: false, reason: expect.stringMatching(/was revoked/) });
    expect(await may(third, "files")).toMatchObject({ allow: true });
  });

  test("that is disabled is nobody at once, and stays so whatever the file says", async () => {
    const principal = await who("secret-of-ci");
    const off = { id: "agent:bot", team: "platform", roles: ["deployment"], disabled: true, note: "leaked" };
    const answer = await identity.putPrincipal(off);
    expect(answer.principal).toMatchObject({ ...off, updatedBy: "tester" });
    const refused = () => expectRefused(who("secret-of-ci"), "unauthenticated", /^"agent:bot" is disabled$/);
    await refused();
    expect(await may(principal, "files")).toMatchObject({ allow: false, reason: '"agent:bot" is disabled' });
    // The same once more is no change.
    expect((await identity.putPrincipal(off)).revision).toBe(answer.revision);

    await policy.close();
    await start(FILE.replace("roles: [deployment]", "roles: [deployment, reader]"));
    await refused();
    await identity.putPrincipal({ ...off, roles: ["deployment", "reader"], disabled: false });
    expect(await who("secret-of-ci")).toMatchObject({ roles: ["deployment", "reader"] });
  });

  test("loses roles that are withdrawn from it, or from everybody of its tenant", async () => {
    const principal = await who("secret-of-ci");
    await identity.putRole({ name: "deployment", disabled: true });
    expect(await may(principal, "deploy")).toMatchObject({ allow: false });
    expect(await may(principal, "files")).toMatchObject({ allow: true });
    expect(await who("secret-of-ci")).toMatchObject({ roles: [] });
    await identity.putRole({ tenant: "globex", name: "deployment", disabled: true });
    await identity.putRole({ name: "deployment", description: "may deploy" });
    expect(await may(principal, "deploy")).toMatchObject({ allow: true });
    await identity.putPrincipal({
      id: "agent:bot",
      team: "platform",
      roles: ["deployment"],
      withdrawnRoles: ["deployment"],
    });
    expect(await may(principal, "deploy")).toMatchObject({ allow: false });
    expect((await identity.listRoles()).roles).toEqual([
      { tenant: "acme", name: "deployment", description: "may deploy", disabled: false },
      { tenant: "globex", name: "deployment", description: "", disabled: true },
    ]);
  });

  test("of the API may be made and changed, and goes once no token stands for it", async () => {
    await identity.putPrincipal({ id: "agent:new", roles: ["reader"] });
    const { secret } = await identity.createToken({ name: "new-ci", agent: "agent:new" });
    expect(await may(await who(secret), "wiki")).toMatchObject({ allow: true });
    await identity.putPrincipal({ id: "agent:new", team: "other" });
    expect(await who(secret)).toMatchObject({ team: "other", roles: [] });
    expect((await identity.listPrincipals("acme")).principals.map(({ id }) => id)).toEqual([
      "agent:bot",
      "agent:new",
      "agent:reporter",
    ]);
    const refused = expectRefused(identity.deletePrincipal("agent:new"), "failed_precondition", /^the token "new-ci"/);
    await refused;
    await policy.revokeToken("new-ci");
    await identity.deletePrincipal("agent:new");
    await expectRefused(identity.deletePrincipal("agent:new"), "not_found", /^nothing is kept of "agent:new"/);
  });

  test("that the file drops is gone, tokens of the API that stand for it too", async () => {
    const { secret } = await identity.createToken({ name: "bot-third", agent: "agent:bot" });
    await policy.close();
    await start(
      `control_plane: { auth: { tokens: [{ name: admin, token: "\${ADMIN_TOKEN}", permissions: [admin] }] } }`,
    );
    await expectRefused(who(secret), "unauthenticated", /^"agent:bot" is not known in the tenant "acme"$/);
    await expectRefused(who("secret-of-ci"), "unauthenticated", /^the token is not known$/);
  });

  test.each<[Partial<policyV1.KnownPrincipal>, string, RegExp]>([
    [{ id: "bot" }, "invalid_argument", /^id: has to be agent:NAME or user:SUBJECT$/],
    [{ id: "agent:Bot" }, "invalid_argument", /^id: /],
    [{ id: "user:a b" }, "invalid_argument", /^id: /],
    [{ id: "user:a", tenant: "" }, "invalid_argument", /^tenant: /],
    [{ id: "user:a", team: "x" }, "invalid_argument", /^team: a user's comes from the access token$/],
    [{ id: "user:a", withdrawnRoles: ["x", ""] }, "invalid_argument", /^withdrawn_roles\[1\]: /],
    [{ id: "user:a", note: "a\0b" }, "invalid_argument", /^note: /],
    [{ id: "agent:bot", roles: ["root"], team: "platform" }, "failed_precondition", /are of the configuration file/],
  ])("is not put as %j", (principal, code, message) => expectRefused(identity.putPrincipal(principal), code, message));

  test("cannot be disabled or lose its token where nobody else could administer", async () => {
    await policy.close();
    const agents = "agents: [{ name: root, tenant: acme }]";
    const tokens = "tokens: [{ name: r, token: secret-r, agent: root, permissions: [admin] }]";
    await start(`control_plane: { auth: { ${agents}, ${tokens} } }`);
    const off = { id: "agent:root", team: "default", disabled: true };
    await expectRefused(identity.putPrincipal(off), "failed_precondition", /^only tokens of "agent:root" have/);
    await expectRefused(policy.revokeToken("r"), "failed_precondition", /^"r" is the last token with the permission/);
    await identity.createToken({ name: "other", permissions: ["admin"] });
    await identity.putPrincipal(off);
    await expectRefused(policy.revokeToken("other"), "failed_precondition", /^"other" is the last token/);
  });
});

describe("a client certificate", () => {
  const certificate = (rest: Partial<policyV1.Certificate>) => ({
    sha256: "00".repeat(32),
    commonName: "",
    alternativeNames: [],
    notAfterMs: BigInt(Date.now() + 60_000),
    ...rest,
  });

  test("stands for an agent, by its name, subject or fingerprint, until it ends", async () => {
    const spiffe = certificate({ alternativeNames: ["DNS:x", "URI:spiffe://acme/bot"] });
    const answer = await identity.authenticate({ certificate: spiffe });
    expect(answer.expiresAtMs).toBe(spiffe.notAfterMs);
    expect(answer.principal).toMatchObject({ id: "agent:bot", team: "platform", credential: "certificate:host" });
    expect(await may(answer.principal, "files")).toMatchObject({ allow: true });
    const reporter = await identity.authenticate({ certificate: certificate({ commonName: "reporter.acme" }) });
    expect(reporter.principal).toMatchObject({ id: "agent:reporter", tenant: "acme", roles: ["reader"] });
    expect(await may(reporter.principal, "wiki")).toMatchObject({ allow: true });
    const pinned = await identity.authenticate({ certificate: certificate({ sha256: "ab".repeat(32) }) });
    expect(pinned.principal).toMatchObject({ id: "agent:bot", permissions: ["mcp:disk"] });
  });

  test.each<[string, Partial<policyV1.Certificate>, RegExp]>([
    ["that nobody knows", { commonName: "stranger" }, /^the client certificate is not known$/],
    ["of a near name", { commonName: "Reporter.acme" }, /^the client certificate is not known$/],
    ["with another kind of name", { alternativeNames: ["DNS:spiffe://acme/bot"] }, /is not known$/],
    ["without a name", {}, /^the client certificate is not known$/],
    ["that has expired", { commonName: "reporter.acme", notAfterMs: 1n }, /^the client certificate has expired$/],
  ])("%s is refused", (_name, rest, message) =>
    expectRefused(identity.authenticate({ certificate: certificate(rest) }), "unauthenticated", message),
  );

  test("does not matter beside a token, and is not taken once the file drops it or the agent is disabled", async () => {
    const host = certificate({ commonName: "reporter.acme" });
    expect((await identity.authenticate({ token: "secret-of-ci", certificate: host })).principal?.id).toBe("agent:bot");
    await expectRefused(identity.authenticate({ token: "nobodys", certificate: host }), "unauthenticated", /not known/);
    const { principal } = await identity.authenticate({ certificate: host });
    await identity.putPrincipal({ id: "agent:reporter", team: "default", roles: ["reader"], disabled: true });
    await expectRefused(identity.authenticate({ certificate: host }), "unauthenticated", /is disabled$/);
    expect(await may(principal, "wiki")).toMatchObject({ allow: false });
    await policy.writeFile(FILE.replace(/.*name: reporter.*\n/, ""));
    await eventually(() =>
      expectRefused(identity.authenticate({ certificate: host }), "unauthenticated", /not known$/),
    );
    expect(await may(principal, "wiki")).toMatchObject({ allow: false });
  });
});
