import { useInfrastructure } from "@tollgate/testkit";
import { decodeJwt } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startIssuer, type TestIssuer } from "./issuer.ts";
import { identityCalls } from "./identity-calls.ts";
import { type OidcIssuer, startOidcIssuer } from "./oidc-issuer.ts";
import { runPolicy, type RunningPolicy } from "./running-policy.ts";

const RESOURCE = "https://mcp.example.com/mcp";
const infra = useInfrastructure();
let acme: OidcIssuer;
let globex: TestIssuer;
let policy: RunningPolicy;
let identity: ReturnType<typeof identityCalls>;

beforeAll(async () => {
  const groups = ["Cloud Admins", "developers", "Domain Users"];
  acme = await startOidcIssuer({ resource: RESOURCE, claims: { org: "acme", groups } });
  globex = await startIssuer();
  policy = await runPolicy(infra, {
    text: `
control_plane:
  public_url: https://mcp.example.com
  auth:
    oauth:
      - name: acme
        issuer: ${acme.issuer}
        claims: { tenant: org, roles: groups }
        role_map: { Cloud Admins: admins }
      - { name: globex, issuer: "${globex.issuer}", claims: { tenant: org } }
policies:
  - { name: admins, effect: allow, principals: ["role:admins"], actions: ["*"], resources: ["files:*"] }
  - { name: alice, effect: allow, principals: ["user:acme/alice"], actions: ["*"], resources: ["diary:*"] }
  - { name: with-mfa, effect: allow, principals: ["*"], actions: ["*"], resources: ["safe:*"], conditions: { mfa: true } }
`,
  });
  identity = identityCalls(policy);
});
afterAll(async () => {
  await policy.close();
  await acme.close();
  await globex.close();
});

const may = async (token: string, server: string) =>
  (await policy.mayCall((await policy.authenticate(token)).principal, server, "x")).allow;

describe("tokens of a real OpenID provider", () => {
  test("of a service account: found by discovery, with its groups", async () => {
    const { principal, expiresAtMs } = await policy.authenticate(await acme.clientCredentials());
    expect(principal).toMatchObject({
      id: "user:acme/service",
      tenant: "acme",
      roles: ["admins", "developers"],
      permissions: ["mcp"],
      credential: acme.issuer,
      amr: [],
    });
    expect(Number(expiresAtMs)).toBeGreaterThan(Date.now());
    expect(await may(await acme.clientCredentials(), "files")).toBe(true);
    expect(await may(await acme.clientCredentials(), "safe")).toBe(false);
  });

  test("of a user who has signed in, with how", async () => {
    const token = await acme.authorizationCode();
    const { principal } = await policy.authenticate(token);
    expect(principal).toMatchObject({ id: "user:acme/alice", amr: ["pwd", "otp", "mfa"], acr: "urn:acme:gold" });
    expect(principal!.authenticatedAtMs).toBe(BigInt(decodeJwt<{ auth_time: number }>(token).auth_time) * 1_000n);
    expect([await may(token, "diary"), await may(token, "safe")]).toEqual([true, true]);
  });

  test("for another resource are refused", async () => {
    const token = await acme.clientCredentials("https://mcp.other.example/mcp");
    await expect(policy.authenticate(token)).rejects.toMatchObject({
      code: "unauthenticated",
      message: "the access token is meant for somebody else (aud)",
    });
  });

  test("are taken after it has changed its key, and those of the old key no more", async () => {
    const before = await acme.clientCredentials();
    expect(await may(before, "files")).toBe(true);
    await acme.rotate();
    expect(await may(await acme.clientCredentials(), "files")).toBe(true);
    await expect(policy.authenticate(before)).rejects.toMatchObject({
      code: "unauthenticated",
      message: "the access token is signed with a key that the issuer has not",
    });
  });
});

describe("several issuers", () => {
  const ofGlobex = (claims: Record<string, unknown> = {}) => globex.token({ aud: RESOURCE, org: "acme", ...claims });

  test("the same subject of two is two people, in one tenant too", async () => {
    const { principal } = await policy.authenticate(await ofGlobex({ sub: "alice" }));
    expect(principal).toMatchObject({ id: "user:globex/alice", tenant: "acme", credential: globex.issuer });
    expect(await may(await ofGlobex({ sub: "alice" }), "diary")).toBe(false);
    expect(await may(await ofGlobex({ sub: "acme/alice" }), "diary")).toBe(false);
  });

  test("none may speak for another", async () => {
    const stolen = await globex.token({ iss: acme.issuer, aud: RESOURCE });
    await expect(policy.authenticate(stolen)).rejects.toMatchObject({ code: "unauthenticated" });
    await expect(policy.authenticate(await ofGlobex({ iss: "https://x.example" }))).rejects.toMatchObject({
      message: "the access token is not of an issuer whose tokens are taken here (iss)",
    });
  });
});

describe("a user", () => {
  const token = () => acme.authorizationCode();
  const put = (rest: Parameters<typeof identity.putPrincipal>[0]) =>
    identity.putPrincipal({ id: "user:acme/alice", ...rest });

  test("who is disabled is nobody at once; others of the issuer go on", async () => {
    const mine = await token();
    const { principal } = await policy.authenticate(mine);
    await put({ disabled: true, note: "has left" });
    await expect(policy.authenticate(mine)).rejects.toMatchObject({
      code: "unauthenticated",
      message: '"user:acme/alice" is disabled',
    });
    expect(await policy.mayCall(principal, "diary", "x")).toMatchObject({ allow: false });
    expect(await may(await acme.clientCredentials(), "files")).toBe(true);
    await identity.deletePrincipal("user:acme/alice");
    expect(await may(mine, "diary")).toBe(true);
  });

  test("has the token's roles and those given, without those withdrawn", async () => {
    const mine = await token();
    const { principal: before } = await policy.authenticate(mine);
    await put({ roles: ["guest"], withdrawnRoles: ["admins"] });
    expect((await policy.authenticate(mine)).principal?.roles).toEqual(["developers", "guest"]);
    // What a gateway was told before counts no more.
    expect(await policy.mayCall(before, "files", "x")).toMatchObject({ allow: false });
    await identity.putRole({ name: "developers", disabled: true });
    expect((await policy.authenticate(mine)).principal?.roles).toEqual(["guest"]);
    await identity.putRole({ name: "developers" });
    await identity.deletePrincipal("user:acme/alice");
    expect((await policy.authenticate(mine)).principal?.roles).toEqual(["admins", "developers"]);
  });
});

test("a token that is bound to a certificate is good with that one only", async () => {
  const sha256 = "ab".repeat(32);
  const cnf = { "x5t#S256": Buffer.from(sha256, "hex").toString("base64url") };
  const token = await globex.token({ aud: RESOURCE, cnf });
  const certificate = { sha256, commonName: "x", alternativeNames: [], notAfterMs: BigInt(Date.now() + 60_000) };
  expect((await identity.authenticate({ token, certificate })).principal?.id).toBe("user:globex/alice");
  for (const other of [undefined, { ...certificate, sha256: "cd".repeat(32) }])
    await expect(identity.authenticate({ token, certificate: other })).rejects.toMatchObject({
      code: "unauthenticated",
    });
});
