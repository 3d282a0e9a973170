import { eventually, useInfrastructure } from "@tollgate/testkit";
import { CompactSign, type CryptoKey, exportSPKI, generateKeyPair, UnsecuredJWT } from "jose";
import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { watchAs } from "./gateway.ts";
import { newKey, type SigningKey, startIssuer, type TestIssuer } from "./issuer.ts";
import { DEV_TOKEN, runPolicy, type RunningPolicy } from "./running-policy.ts";

const RESOURCE = "https://mcp.example.com/mcp";
const NEVER = Math.floor(Date.now() / 1_000) + 86_400;

const infra = useInfrastructure();
let issuer: TestIssuer;
let policy: RunningPolicy;

function fileWith(oauth: string): string {
  return `
control_plane:
  public_url: https://mcp.example.com
  auth:
    tokens:
      - { name: dev, token: "\${DEV_TOKEN}", tenant: acme, roles: [developer] }
      - { name: alice, token: "of-a-token-named-alice", tenant: acme }
    ${oauth}
policies:
  - { name: developers, effect: allow, principals: ["role:developer"], actions: ["*"], resources: ["files:read_*"] }
  - { name: of-acme, effect: allow, principals: ["tenant:acme"], actions: ["*"], resources: ["wiki:*"] }
  - { name: of-alice, effect: allow, principals: ["user:alice"], actions: ["*"], resources: ["diary:*"] }
  - { name: of-token-alice, effect: allow, principals: ["token:alice"], actions: ["*"], resources: ["vault:*"] }
  - { name: not-bob, effect: deny, principals: ["user:bob|x"], actions: ["*"], resources: ["*"] }
`;
}

const CLAIMS = "claims: { tenant: org, team: unit, roles: realm_access.roles }";
const oauthOf = (url: string, rest = "") => `oauth: { issuer: "${url}", ${CLAIMS}${rest} }`;

const ALGORITHMS = ["ES256", "RS256", "PS256", "EdDSA"];
let keys: SigningKey[];
let text: string;

beforeAll(async () => {
  issuer = await startIssuer();
  keys = await Promise.all(ALGORITHMS.map((alg) => newKey(`key-${alg}`, alg)));
  issuer.rotate(...keys);
  text = fileWith(oauthOf(issuer.issuer, ", admin_scope: tollgate:admin"));
  policy = await runPolicy(infra, { text });
});
afterAll(async () => {
  await policy.close();
  await issuer.close();
});

/** Writes another file and waits until it holds; put back what was there after the test. */
async function change(to: string): Promise<void> {
  const { revision } = await policy.listPolicies();
  await policy.writeFile(to);
  await eventually(async () => expect((await policy.listPolicies()).revision).toBeGreaterThan(revision));
}

/** It fetches keys anew. */
async function restart(): Promise<void> {
  await policy.close();
  policy = await runPolicy(infra, { text });
}

const tokenFor = (claims: Record<string, unknown> = {}, sign?: Parameters<TestIssuer["token"]>[1]) =>
  issuer.token({ aud: RESOURCE, ...claims }, sign);

async function expectRefused(token: string, message: string | RegExp): Promise<void> {
  await expect(policy.authenticate(token)).rejects.toMatchObject({
    code: "unauthenticated",
    message: expect.stringMatching(message),
  });
}

describe("an access token", () => {
  test("resolves to its user, until it expires", async () => {
    const claims = { org: "acme", unit: "payments", realm_access: { roles: ["developer"] }, exp: NEVER };
    expect(await policy.authenticate(await tokenFor(claims))).toEqual({
      principal: {
        id: "user:alice",
        tenant: "acme",
        team: "payments",
        roles: ["developer"],
        permissions: ["mcp"],
        credential: issuer.issuer,
        amr: [],
        acr: "",
        authenticatedAtMs: 0n,
      },
      revision: expect.any(BigInt),
      // With what the clocks may differ by.
      expiresAtMs: BigInt((NEVER + 30) * 1_000),
    });
  });

  test.each(ALGORITHMS)("may be signed with %s", async (alg) => {
    const key = keys.find((each) => each.alg === alg)!;
    expect((await policy.authenticate(await tokenFor({}, { key }))).principal?.id).toBe("user:alice");
  });

  test("without the scope is somebody's who may do nothing", async () => {
    const { principal } = await policy.authenticate(await tokenFor({ scope: "openid", org: "acme" }));
    expect(principal).toMatchObject({ id: "user:alice", permissions: [] });
    expect(await policy.mayCall(principal, "wiki", "read")).toMatchObject({
      allow: false,
      policyIds: [],
      reason: 'the user "alice" lacks the permission mcp',
    });
  });

  test("opens the management API with the scope that the settings name", async () => {
    const { principal } = await policy.authenticate(await tokenFor({ scope: "mcp admin tollgate:admin" }));
    expect(principal?.permissions).toEqual(["mcp", "admin"]);
  });

  test("beside listed tokens, which go on", async () => {
    expect((await policy.authenticate(DEV_TOKEN)).principal?.id).toBe("dev");
    await expectRefused("not.a.token", /^the access token cannot be read$/);
    await expectRefused("nobodys", /^the token is not known$/);
  });
});

describe("is refused", () => {
  const now = () => Math.floor(Date.now() / 1_000);
  const parts = async () => (await tokenFor()).split(".") as [string, string, string];
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");

  test.each<[string, Record<string, unknown>, RegExp]>([
    ["of another issuer", { iss: "https://login.other.example" }, /not of an issuer whose tokens are taken/],
    ["of no issuer", { iss: undefined }, /not of an issuer whose tokens are taken/],
    ["of an issuer that looks like it", { iss: "http://127.0.0.1" }, /not of an issuer whose tokens are taken/],
    ["for another gate", { aud: "https://mcp.other.example/mcp" }, /is meant for somebody else \(aud\)$/],
    ["for nobody", { aud: undefined }, /is meant for somebody else \(aud\)$/],
    ["that never ends", { exp: undefined }, /is refused for its exp$/],
    ["with an end that is no time", { exp: "soon" }, /is refused for its exp$/],
    ["that expired", { exp: 1_000 }, /expired at 1970-01-01T00:16:40\.000Z \(exp\)$/],
    ["of nobody", { sub: undefined }, /has no usable sub/],
    ["of a tenant that is no name", { org: "Acme Ltd" }, /has no usable org/],
  ])("one %s", async (_name, claims, message) => expectRefused(await tokenFor(claims), message));

  test("one that has just expired or does not hold yet, but for what clocks may differ by", async () => {
    expect(await policy.authenticate(await tokenFor({ exp: now() - 10 }))).toBeDefined();
    await expectRefused(await tokenFor({ exp: now() - 40 }), /expired at /);
    expect(await policy.authenticate(await tokenFor({ nbf: now() + 10 }))).toBeDefined();
    await expectRefused(await tokenFor({ nbf: now() + 60 }), /does not hold yet \(nbf\)$/);
  });

  test("one without a signature, whatever it says of it", async () => {
    const [, payload] = await parts();
    const unsecured = new UnsecuredJWT({ iss: issuer.issuer, aud: RESOURCE, sub: "alice", exp: NEVER }).encode();
    await expectRefused(unsecured, /is signed in a way that is not allowed \(alg\)$/);
    for (const alg of ["none", "None", "NONE"]) {
      await expectRefused(
        `${encode({ alg, kid: "key-ES256" })}.${payload}.`,
        /is signed in a way that is not allowed \(alg\)$/,
      );
    }
    await expectRefused(`${encode({ alg: "ES256", kid: "key-ES256" })}.${payload}.`, /has a wrong signature$/);
  });

  test("one that is signed with the issuer's public key as if it were a secret", async () => {
    const { publicKey, kid } = issuer.key;
    const secret = new TextEncoder().encode(await exportSPKI(publicKey));
    const key: SigningKey = { kid, alg: "HS256", privateKey: secret as unknown as CryptoKey, publicKey };
    await expectRefused(await tokenFor({}, { key }), /is signed in a way that is not allowed \(alg\)$/);
  });

  test("one that brings its own key", async () => {
    const mine = await newKey("key-ES256");
    const jwk = await crypto.subtle.exportKey("jwk", mine.publicKey);
    await expectRefused(await tokenFor({}, { key: mine, header: { jwk } }), /has a wrong signature$/);
    const jku = `${issuer.origin}/mine`;
    await expectRefused(await tokenFor({}, { key: mine, header: { jku, x5u: jku } }), /has a wrong signature$/);
    expect(issuer.asked).not.toContain("/mine");
  });

  test("one that was changed after it was signed", async () => {
    const [header, , signature] = await parts();
    const [, payload] = (await tokenFor({ sub: "root" })).split(".");
    await expectRefused(`${header}.${payload}.${signature}`, /has a wrong signature$/);
  });

  test("one that does not name its key where several fit, or one of another kind", async () => {
    const [rs256, ps256] = ["RS256", "PS256"].map((alg) => keys.find((each) => each.alg === alg)!);
    const unnamed = { kid: undefined };
    expect(await policy.authenticate(await tokenFor({}, { key: rs256!, header: unnamed }))).toBeDefined();
    issuer.rotate(...keys, await newKey("second-PS256", "PS256"));
    await restart();
    const refused = /does not name its key \(kid\), and several of the issuer's might be meant$/;
    await expectRefused(await tokenFor({}, { key: ps256!, header: unnamed }), refused);
    issuer.rotate(...keys);
    await restart();
    for (const kid of [7, ["key-ES256"]])
      await expectRefused(await tokenFor({}, { header: { kid } }), /cannot be read$/);
    const { privateKey, publicKey } = await generateKeyPair("ES384");
    const key = { kid: "key-ES256", alg: "ES384", privateKey, publicKey };
    await expectRefused(await tokenFor({}, { key }), /not allowed \(alg\)$/);
  });

  test("one that is something else than an access token", async () => {
    await expectRefused(await tokenFor({}, { header: { typ: "logout+jwt" } }), /is not an access token \(typ\)$/);
    const [, payload, signature] = await parts();
    const header = encode({ alg: "ES256", kid: "key-ES256", crit: ["x"], x: 1 });
    await expectRefused(`${header}.${payload}.${signature}`, /cannot be read$/);
    await expectRefused(await tokenFor({ cnf: { jkt: "x" } }), /is bound to a key of its client/);
    await expectRefused("e30.W10.x", /cannot be read$/);
    await expectRefused(`e30.e30.${"x".repeat(10_000)}`, /^the token is not known$/);
  });

  test("and no reason repeats what was in it", async () => {
    const secret = "hush-hush-0123456789";
    const cases: Record<string, unknown>[] = [
      { iss: secret },
      { aud: secret },
      { sub: `${secret} x` },
      { org: `${secret}!` },
    ];
    for (const claims of cases) {
      const error = await policy.authenticate(await tokenFor(claims)).catch((each: unknown) => each as Error);
      expect((error as Error).message).not.toContain(secret);
    }
  });
});

describe("decisions about users", () => {
  const userOf = async (claims: Record<string, unknown>) =>
    (await policy.authenticate(await tokenFor(claims))).principal;
  const may = async (claims: Record<string, unknown>, server: string, tool = "read_a") =>
    (await policy.mayCall(await userOf(claims), server, tool)).allow;

  test("go by role, tenant and name, and a token of the same name is another", async () => {
    expect(await may({ realm_access: { roles: ["developer"] } }, "files")).toBe(true);
    expect(await may({}, "files")).toBe(false);
    expect(await may({ org: "acme" }, "wiki")).toBe(true);
    expect(await may({ org: "globex" }, "wiki")).toBe(false);
    expect(await may({}, "diary")).toBe(true);
    expect(await may({ sub: "alic" }, "diary")).toBe(false);
    expect(await may({}, "vault")).toBe(false);
    const token = (await policy.authenticate("of-a-token-named-alice")).principal;
    expect(await policy.mayCall(token, "vault", "x")).toMatchObject({ allow: true });
    expect(await policy.mayCall(token, "diary", "x")).toMatchObject({ allow: false });
  });

  test("go by the claims that the issuer wrote, whatever was read before", async () => {
    const { kid, alg, privateKey } = issuer.key;
    const signed = (claim: string) => {
      const payload = String.raw`{"iss":"${issuer.issuer}","exp":${NEVER},"aud":"${RESOURCE}","sub":"alice","${claim}":"acme"}`;
      return new CompactSign(Buffer.from(payload)).setProtectedHeader({ alg, kid, typ: "at+jwt" }).sign(privateKey);
    };
    // After the first, JSON.parse of Node 24 reads the second's `org` as `\\u0`.
    for (const [claim, tenant] of [
      [String.raw`\\u0`, "default"],
      [String.raw`\u006frg`, "acme"],
    ] as const)
      expect((await policy.authenticate(await signed(claim))).principal).toMatchObject({ tenant });
  });

  test("deny by name", async () => {
    const claims = { sub: "bob|x", org: "acme" };
    expect(await policy.mayCall(await userOf(claims), "wiki", "read")).toMatchObject({ policyIds: ["not-bob"] });
  });

  test("of one user differ by what each token says", async () => {
    const developer = await userOf({ realm_access: { roles: ["developer"] } });
    const plain = await userOf({});
    expect((await policy.mayCall(developer, "files", "read_a")).allow).toBe(true);
    expect((await policy.mayCall(plain, "files", "read_a")).allow).toBe(false);
  });

  test("keep to the route that the token is meant for", async () => {
    const principal = await userOf({
      aud: `${RESOURCE}/disk/wiki`,
      org: "acme",
      realm_access: { roles: ["developer"] },
    });
    expect(principal?.permissions).toEqual(["mcp:disk/wiki"]);
    expect(await policy.mayCall(principal, "wiki", "read")).toMatchObject({ allow: true });
    expect(await policy.mayCall(principal, "files", "read_a")).toMatchObject({
      allow: false,
      policyIds: [],
      reason: 'the access token of "alice" is not meant for "files"',
    });
  });
});

describe("the issuer", () => {
  let own: TestIssuer;
  beforeEach(async () => {
    own = await startIssuer({ path: "/realms/acme", metadataAt: "/realms/acme/.well-known/openid-configuration" });
    await change(fileWith(oauthOf(own.issuer)));
    return async () => {
      await change(text);
      await own.close();
    };
  });
  const keyFetches = () => own.asked.filter((path) => path === "/keys").length;

  test("is asked for its keys once, and for a new one once", async () => {
    const old = own.key;
    await Promise.all(Array.from({ length: 20 }, async () => policy.authenticate(await own.token({ aud: RESOURCE }))));
    expect(keyFetches()).toBe(1);
    own.rotate(await newKey("second"));
    await policy.authenticate(await own.token({ aud: RESOURCE }));
    expect(keyFetches()).toBe(2);
    // The key that went is refused, and nobody can have the issuer asked again and again.
    for (const key of [old, await newKey("third"), await newKey("fourth")]) {
      const token = await own.token({ aud: RESOURCE }, { key });
      await expectRefused(token, /^the access token is signed with a key that the issuer has not$/);
    }
    expect(keyFetches()).toBe(2);
  });

  test("being away makes tokens undecided, not wrong; strangers' are refused without asking it", async () => {
    const token = await own.token({ aud: RESOURCE });
    await own.goAway();
    await expect(policy.authenticate(token)).rejects.toMatchObject({ code: "unavailable", retryable: true });
    await expectRefused(
      await own.token({ aud: RESOURCE, iss: "https://other.example" }),
      /not of an issuer whose tokens are taken/,
    );
    expect((await policy.authenticate(DEV_TOKEN)).principal?.id).toBe("dev");
    expect(await policy.metrics()).toMatch(/authentications_total\{result="undecided"\} 1/);
    await own.listen();
  });

  test("is the only one: the one before is taken no more", async () => {
    expect((await policy.authenticate(await own.token({ aud: RESOURCE }))).principal?.id).toBe("user:alice");
    await expectRefused(await tokenFor(), /not of an issuer whose tokens are taken/);
  });
});

describe("a change of the settings", () => {
  test("is a revision: gateways drop what they remember, and nobody gets in with it any more", async () => {
    const token = await tokenFor({ org: "acme" });
    const { principal, revision } = await policy.authenticate(token);
    expect((await policy.mayCall(principal, "wiki", "read")).allow).toBe(true);
    const gateway = watchAs(policy, "g1");
    await eventually(() => expect(gateway.revision()).toBe(revision));

    await change(fileWith(""));
    await eventually(() => expect(gateway.revision()).toBeGreaterThan(revision));
    await expectRefused(token, /^the token is not known$/);
    expect(await policy.mayCall(principal, "wiki", "read")).toMatchObject({
      allow: false,
      reason: "access tokens of its issuer are not taken any more",
    });
    gateway.leave();
    await change(text);
  });

  test("that changes nothing is none", async () => {
    const token = await tokenFor();
    const { revision } = await policy.authenticate(token);
    await restart();
    expect((await policy.authenticate(token)).revision).toBe(revision);
  });
});

test("no access token is in the database", async () => {
  const token = await tokenFor();
  await policy.authenticate(token);
  const client = new pg.Client({ connectionString: infra.adminUrl });
  await client.connect();
  try {
    const { rows } = await client.query<{ text: string }>(
      "SELECT s::text AS text FROM policy.settings s WHERE name = 'oauth'",
    );
    expect(rows).toHaveLength(1);
    expect(rows[0]!.text).not.toContain(token.split(".")[2]);
  } finally {
    await client.end();
  }
});
