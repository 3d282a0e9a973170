import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Claims, looksLikeJwt, type OauthSettings, permitsMcp, toUser, type User } from "./access-token.ts";

const SETTINGS: OauthSettings = {
  name: undefined,
  publicUrl: "https://mcp.example.com",
  issuer: "https://login.example.com",
  jwksUri: undefined,
  audience: undefined,
  requiredScopes: ["mcp"],
  adminScope: undefined,
  claims: { principal: "sub", tenant: "tenant", team: "team", roles: "roles" },
  roleMap: {},
  algorithms: ["ES256"],
  clockSkewSeconds: 30,
};
const NO_SIGN_IN = { amr: [], acr: "", authenticatedAtMs: 0 };
const CLAIMS = { sub: "alice", aud: "https://mcp.example.com/mcp", scope: "mcp" };

function resolve(
  claims: Claims,
  settings: Partial<OauthSettings> = {},
  header: Claims = { typ: "at+jwt" },
): User | string {
  const user = toUser({ header, claims: { ...CLAIMS, ...claims } }, { ...SETTINGS, ...settings });
  return user.ok ? user.value : user.reason;
}

const permissions = (claims: Claims, settings: Partial<OauthSettings> = {}) => {
  const user = resolve(claims, settings);
  return typeof user === "string" ? user : user.permissions;
};

describe("what the token is meant for", () => {
  const FOR_OTHERS = "is meant for somebody else (aud)";

  test.each<[unknown, unknown]>([
    ["https://mcp.example.com/mcp", ["mcp"]],
    ["HTTPS://MCP.Example.com:443/mcp", ["mcp"]],
    [["https://other.example", "https://mcp.example.com/mcp"], ["mcp"]],
    // A route's own URL is good for what is below it.
    ["https://mcp.example.com/mcp/files", ["mcp:files"]],
    ["https://mcp.example.com/mcp/files/disk", ["mcp:files/disk"]],
    [
      ["https://mcp.example.com/mcp/a", "https://mcp.example.com/mcp/b/c"],
      ["mcp:a", "mcp:b/c"],
    ],
    [["https://mcp.example.com/mcp/a", "https://mcp.example.com/mcp"], ["mcp"]],
    // Transports have URLs of their own.
    ["https://mcp.example.com/mcp/sse", ["mcp"]],
    ["https://mcp.example.com/mcp/files/sse", ["mcp:files"]],
    ["https://mcp.example.com/mcp/files/disk/ws", ["mcp:files/disk"]],
    // What is beside it, above it or only looks like it.
    ["https://mcp.example.com", FOR_OTHERS],
    ["https://mcp.example.com/", FOR_OTHERS],
    ["https://mcp.example.com/mcp/", FOR_OTHERS],
    ["https://mcp.example.com/mcpx", FOR_OTHERS],
    ["https://mcp.example.com/api", FOR_OTHERS],
    ["https://mcp.example.com/mcp/../api", FOR_OTHERS],
    ["https://mcp.example.com/mcp/Files", FOR_OTHERS],
    ["https://mcp.example.com/mcp/a/b/c", FOR_OTHERS],
    ["https://mcp.example.com/mcp?x", FOR_OTHERS],
    ["https://mcp.example.com/mcp#x", FOR_OTHERS],
    ["http://mcp.example.com/mcp", FOR_OTHERS],
    ["https://mcp.example.com:8443/mcp", FOR_OTHERS],
    ["https://mcp.example.com.evil.example/mcp", FOR_OTHERS],
    ["https://evil.example/https://mcp.example.com/mcp", FOR_OTHERS],
    ["https://mcp.example.com@evil.example/mcp", FOR_OTHERS],
    ["https://u@mcp.example.com/mcp", FOR_OTHERS],
    ["mcp", FOR_OTHERS],
    ["*", FOR_OTHERS],
    ["", FOR_OTHERS],
    [[], FOR_OTHERS],
    [[["https://mcp.example.com/mcp"]], FOR_OTHERS],
    [{ 0: "https://mcp.example.com/mcp" }, FOR_OTHERS],
    [null, FOR_OTHERS],
    [undefined, FOR_OTHERS],
  ])("%j → %j", (aud, expected) => expect(permissions({ aud })).toEqual(expected));

  test("may be named otherwise by the settings, to the letter", () => {
    expect(permissions({ aud: ["account", "tollgate"] }, { audience: "tollgate" })).toEqual(["mcp"]);
    expect(permissions({ aud: "Tollgate" }, { audience: "tollgate" })).toBe(FOR_OTHERS);
    expect(permissions({}, { audience: "tollgate" })).toEqual(["mcp"]);
  });

  test("follows the path of a public URL", () => {
    const publicUrl = "https://example.com/tools";
    expect(permissions({ aud: "https://example.com/tools/mcp/a" }, { publicUrl })).toEqual(["mcp:a"]);
    expect(permissions({ aud: "https://example.com/mcp" }, { publicUrl })).toBe(FOR_OTHERS);
  });

  test("a permission covers its group or server and nothing beside", () => {
    const at = (group: string, server: string) => ({ group, server });
    expect(permitsMcp(["mcp"], at("any", "thing"))).toBe(true);
    expect(permitsMcp(["mcp:a"], at("a", "b"))).toBe(true);
    expect(permitsMcp(["mcp:a"], at("ab", "a"))).toBe(false);
    expect(permitsMcp(["mcp:a/b"], at("a", "b"))).toBe(true);
    expect(permitsMcp(["mcp:a/b"], at("a", "c"))).toBe(false);
    expect(permitsMcp(["admin"], at("a", "b"))).toBe(false);
    expect(permitsMcp([], at("a", "b"))).toBe(false);
  });
});

describe("scopes", () => {
  test.each<[Claims, Partial<OauthSettings>, string[]]>([
    [{ scope: "openid mcp" }, {}, ["mcp"]],
    [{ scope: "openid" }, {}, []],
    [{ scope: "mcpx mcp:tools" }, {}, []],
    [{ scope: undefined }, {}, []],
    [{ scope: 7 }, {}, []],
    [{ scope: undefined, scp: ["mcp"] }, {}, ["mcp"]],
    [{ scope: undefined, scp: "a mcp" }, {}, ["mcp"]],
    [{ scope: "a" }, { requiredScopes: ["a", "b"] }, []],
    [{ scope: "b a" }, { requiredScopes: ["a", "b"] }, ["mcp"]],
    [{ scope: undefined }, { requiredScopes: [] }, ["mcp"]],
    // The management API: only where the settings say by which scope.
    [{ scope: "mcp admin tollgate:admin" }, {}, ["mcp"]],
    [{ scope: "mcp tg" }, { adminScope: "tg" }, ["mcp", "admin"]],
    [{ scope: "tg" }, { adminScope: "tg" }, ["admin"]],
    [{ scope: "mcp tg", aud: "https://mcp.example.com/mcp/files" }, { adminScope: "tg" }, ["mcp:files"]],
  ])("%j with %j → %j", (claims, settings, expected) => expect(permissions(claims, settings)).toEqual(expected));
});

describe("who it stands for", () => {
  test("what the claims say", () => {
    const claims = { tenant: "acme", team: "payments", roles: ["developer", "reader", "developer"] };
    const expected = { id: "user:alice", permissions: ["mcp"], ...claims, roles: ["developer", "reader"] };
    expect(resolve(claims)).toEqual({ ...expected, ...NO_SIGN_IN });
  });

  test("and the defaults where they say nothing", () => {
    expect(resolve({})).toEqual({
      id: "user:alice",
      tenant: "default",
      team: "default",
      roles: [],
      permissions: ["mcp"],
      ...NO_SIGN_IN,
    });
    const claims = { principal: "sub", tenant: undefined, team: undefined, roles: undefined };
    expect(resolve({ tenant: "acme", team: "x", roles: ["admin"] }, { claims })).toMatchObject({
      tenant: "default",
      roles: [],
    });
  });

  test("claims may be inside others, or have a URL for a name", () => {
    const claims = {
      principal: "user.login",
      tenant: "https://acme.example/tenant",
      team: "org.unit.name",
      roles: "realm_access.roles",
    };
    const given = {
      user: { login: "al" },
      "https://acme.example/tenant": "acme",
      org: { unit: { name: "payments" } },
      realm_access: { roles: ["developer", "offline_access", "default-roles-acme", "Domain Users", 7] },
    };
    expect(resolve(given, { claims })).toMatchObject({
      id: "user:al",
      tenant: "acme",
      team: "payments",
      roles: ["developer", "default-roles-acme"],
    });
    expect(resolve({ org: "flat" }, { claims: { ...claims, principal: "sub" } })).toMatchObject({ team: "default" });
  });

  test.each<[string, Claims, RegExp]>([
    ["no subject", { sub: undefined }, /^has no usable sub/],
    ["a subject that is no text", { sub: ["alice"] }, /^has no usable sub/],
    ["an empty subject", { sub: "" }, /^has no usable sub/],
    ["a subject of lines", { sub: "alice\nbob" }, /^has no usable sub/],
    ["a subject with a space", { sub: "alice team:root" }, /^has no usable sub/],
    ["a subject like a pattern", { sub: "*" }, /^has no usable sub/],
    ["a long subject", { sub: "x".repeat(191) }, /^has no usable sub/],
    ["a tenant that is no name", { tenant: "Acme Ltd" }, /^has no usable tenant/],
    ["a tenant that is no text", { tenant: ["acme"] }, /^has no usable tenant/],
    ["an empty tenant", { tenant: "" }, /^has no usable tenant/],
    ["a team that is no name", { team: "a/b" }, /^has no usable team/],
    ["too many roles", { roles: Array.from({ length: 257 }, (_, index) => `r${index}`) }, /^has more than 256 roles$/],
    ["a key of its client", { cnf: { jkt: "x" } }, /^is bound to a key of its client/],
  ])("%s is refused", (_name, claims, reason) => expect(resolve(claims)).toMatch(reason));

  test.each(["logout+jwt", "dpop+jwt", "id_token+jwt", 7, null])("the type %j is refused", (typ) => {
    expect(resolve({}, {}, { typ })).toBe("is not an access token (typ)");
  });
  test.each([undefined, "JWT", "jwt", "at+JWT", "application/at+jwt"])("the type %j is taken", (typ) => {
    expect(resolve({}, {}, { typ })).toMatchObject({ id: "user:alice" });
  });

  test("no name reaches into what every object has", () => {
    for (const name of ["constructor", "__proto__.constructor", "constructor.name", "roles.length"]) {
      const claims = { ...SETTINGS.claims, principal: name };
      expect(resolve({ roles: ["a"] }, { claims })).toMatch(/^has no usable/);
    }
  });

  test("whatever the claims are, the answer is a reason or somebody whose names are names", () => {
    const key = fc.constantFrom("sub", "aud", "scope", "scp", "tenant", "team", "roles", "cnf");
    fc.assert(
      fc.property(fc.dictionary(key, fc.jsonValue()), (claims) => {
        const user = resolve(claims);
        if (typeof user === "string") return;
        expect(user.id).toMatch(/^user:[\x21-\x7e]{1,190}$/);
        for (const name of [user.tenant, user.team, ...user.roles]) expect(name).toMatch(/^[a-z0-9-]{1,63}$/);
        expect(user.permissions).not.toContain("admin");
      }),
    );
  });
});

describe("a token that is bound to a certificate", () => {
  const sha256 = "ab".repeat(32);
  const bound = { "x5t#S256": Buffer.from(sha256, "hex").toString("base64url") };
  const user = (cnf: unknown, certificateSha256?: string) => {
    const resolved = toUser({ header: {}, claims: { ...CLAIMS, cnf }, certificateSha256 }, SETTINGS);
    return resolved.ok ? resolved.value.id : resolved.reason;
  };

  test("is worth something with that one only", () => {
    expect(user(bound, sha256)).toBe("user:alice");
    expect(user(bound)).toBe("is bound to a client certificate (cnf), and there is none");
    expect(user(bound, "cd".repeat(32))).toBe("is bound to another client certificate (cnf)");
  });

  test.each<unknown>([null, {}, "x", 7, [], { jkt: "x" }, { ...bound, jkt: "x" }, { "x5t#S256": 7 }])(
    "cnf %j is refused with whatever certificate",
    (cnf) => expect(user(cnf, sha256)).toMatch(/^is bound to /),
  );
});

test("an issuer with a name stands before its users' subjects", () => {
  expect(resolve({}, { name: "acme" })).toMatchObject({ id: "user:acme/alice" });
  // Policies have to be able to name them.
  expect(resolve({ sub: "x".repeat(186) }, { name: "acme" })).toMatch(/^has no usable sub/);
  expect(resolve({ sub: "" }, { name: "acme" })).toMatch(/^has no usable sub/);
});

test("groups may be called otherwise here", () => {
  const roleMap = { "Cloud Admins": "admins", developer: "coder" };
  const roles = ["Cloud Admins", "developer", "admins", "Domain Users", "constructor", "reader"];
  expect(resolve({ roles }, { roleMap })).toMatchObject({ roles: ["admins", "coder", "constructor", "reader"] });
});

test("how a user has signed in is known as far as the claims say it properly", () => {
  const said = { amr: ["pwd", "mfa"], acr: "urn:acme:gold", auth_time: 1_700_000_000.5 };
  expect(resolve(said)).toMatchObject({
    amr: ["pwd", "mfa"],
    acr: "urn:acme:gold",
    authenticatedAtMs: 1_700_000_000_500,
  });
  const unknown = { amr: [], acr: "", authenticatedAtMs: 0 };
  for (const claims of [{}, { amr: "mfa", acr: ["x"], auth_time: "now" }, { amr: [7], acr: 7, auth_time: 1e300 }])
    expect(resolve(claims)).toMatchObject(unknown);
  for (const auth_time of [-1, 0, Number.NaN, Number.POSITIVE_INFINITY])
    expect(resolve({ auth_time })).toMatchObject(unknown);
});

test("what may be a JWT: three parts, of which only the signature may be missing", () => {
  for (const token of ["e30.e30.c2ln", "e30.e30.", "a-b_.c.d"]) expect(looksLikeJwt(token)).toBe(true);
  for (const token of ["", "secret", "a.b", "a.b.c.d", "a..c", ".b.c", "a.b.c ", "a.b.c\n", "a+b.c.d"])
    expect(looksLikeJwt(token)).toBe(false);
  expect(looksLikeJwt(`a.b.${"c".repeat(8_192)}`)).toBe(false);
});
