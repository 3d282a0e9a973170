import { AppError } from "@tollgate/errors";
import { describe, expect, test } from "vitest";
import { publicUrlOf } from "./installation.ts";
import { loadDesiredState } from "./load.ts";

const ISSUER = "issuer: https://login.example.com/realms/acme";

function load(controlPlane: string, env: Record<string, string> = {}) {
  return loadDesiredState(`control_plane: { ${controlPlane} }`, { file: "f.yaml", env }).controlPlane;
}

const oauthOf = (settings: string) => load(`auth: { oauth: { ${settings} } }`).oauth[0];

function mistakesOf(controlPlane: string, env: Record<string, string> = {}): string[] {
  try {
    load(controlPlane, env);
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "invalid_argument") throw error;
    return error.message.split("\n  ").slice(1);
  }
  return [];
}

describe("an issuer of access tokens", () => {
  test("needs nothing but its name", () => {
    expect(oauthOf(ISSUER)).toEqual({
      issuer: "https://login.example.com/realms/acme",
      requiredScopes: ["mcp"],
      claims: { principal: "sub" },
      roleMap: {},
      algorithms: ["RS256", "PS256", "ES256", "EdDSA"],
      clockSkewSeconds: 30,
    });
  });

  test("has a setting for whatever issuers do differently", () => {
    const claims = "claims: { principal: email, tenant: org, team: department, roles: realm_access.roles }";
    const rest =
      "jwks_uri: http://127.0.0.1:9/jwks, audience: tollgate, required_scopes: [a, b], admin_scope: tg:admin";
    const map = 'role_map: { "Cloud Admins": admins }, name: acme';
    expect(oauthOf(`${ISSUER}/, ${rest}, ${claims}, ${map}, algorithms: [ES384], clock_skew_seconds: 0`)).toEqual({
      name: "acme",
      roleMap: { "Cloud Admins": "admins" },
      issuer: "https://login.example.com/realms/acme/",
      jwksUri: "http://127.0.0.1:9/jwks",
      audience: "tollgate",
      requiredScopes: ["a", "b"],
      adminScope: "tg:admin",
      claims: { principal: "email", tenant: "org", team: "department", roles: "realm_access.roles" },
      algorithms: ["ES384"],
      clockSkewSeconds: 0,
    });
  });

  test("may be taken from the environment, numbers too", () => {
    const text = "control_plane: { auth: { type: oauth, oauth: { issuer: '${ISS}', clock_skew_seconds: '${SKEW}' } } }";
    const env = { ISS: "https://login.example.com", SKEW: "5" };
    expect(loadDesiredState(text, { file: "f.yaml", env }).controlPlane.oauth[0]).toMatchObject({
      issuer: env.ISS,
      clockSkewSeconds: 5,
    });
  });

  test("goes with listed tokens, and is not there without being named", () => {
    const both = load(`auth: { oauth: { ${ISSUER} }, tokens: [{ name: a, token: secret-0123456789 }] }`);
    expect([both.oauth.length, both.tokens.length]).toEqual([1, 1]);
    expect(load("auth: { type: token }").oauth).toEqual([]);
  });

  test("may be one of several, each with a name", () => {
    const list = `[{ name: acme, ${ISSUER} }, { name: globex, issuer: https://id.globex.example, required_scopes: [] }]`;
    expect(load(`auth: { type: oauth, oauth: ${list} }`).oauth).toMatchObject([
      { name: "acme", requiredScopes: ["mcp"] },
      { name: "globex", issuer: "https://id.globex.example", requiredScopes: [] },
    ]);
  });
});

describe("mistakes, each with its place", () => {
  test.each<[string, string, unknown[]]>([
    ["no issuer", "auth: { oauth: {} }", ["f.yaml:1:33: control_plane.auth.oauth.issuer is missing"]],
    ["oauth without its section", "auth: { type: oauth }", ["f.yaml:1:24: control_plane.auth.oauth is missing"]],
    [
      "issuers without names",
      `auth: { oauth: [{ ${ISSUER} }, { issuer: "https://x" }] }`,
      [
        "f.yaml:1:34: control_plane.auth.oauth[0].name is missing",
        expect.stringMatching(/control_plane\.auth\.oauth\[1\]\.name is missing$/),
      ],
    ],
    [
      "the same issuer and name twice",
      `auth: { oauth: [{ name: a, ${ISSUER} }, { name: a, ${ISSUER} }] }`,
      [
        expect.stringMatching(/oauth\[1\]\.name is the name of another issuer already$/),
        expect.stringMatching(/oauth\[1\]\.issuer is another entry's already$/),
      ],
    ],
    ["no issuer of a list", "auth: { oauth: [] }", [expect.stringMatching(/auth\.oauth is empty$/)]],
    [
      "a near key of a list's",
      `auth: { oauth: [{ ${ISSUER}, claim: {} }] }`,
      [expect.stringMatching(/oauth\[0\]\.claim .*"claims" meant/)],
    ],
    [
      "a role that is no name",
      `auth: { oauth: { ${ISSUER}, role_map: { Admins: "Cloud Admins" } } }`,
      [expect.stringMatching(/oauth\.role_map\.Admins has to be 1 to 63 of a-z, 0-9 and inner -$/)],
    ],
    [
      "a section that would do nothing",
      `auth: { type: token, oauth: { ${ISSUER} } }`,
      [expect.stringMatching(/^f\.yaml:1:32: control_plane\.auth\.type has to be oauth, or be left out/)],
    ],
    [
      "a near key",
      `auth: { oauth: { ${ISSUER}, jwks_url: "https://x" } }`,
      [expect.stringMatching(/oauth\.jwks_url is not a known key; is "jwks_uri" meant\?$/)],
    ],
    [
      "a claim that nobody reads",
      `auth: { oauth: { ${ISSUER}, claims: { role: r } } }`,
      [expect.stringMatching(/claims\.role is not a known key; is "roles" meant\?$/)],
    ],
    ...["http://login.example.com", "login.example.com", "ftp://x", "file:///etc/keys"].map(
      (issuer): [string, string, unknown[]] => [
        `${issuer}, where anybody could put keys`,
        `auth: { oauth: { issuer: "${issuer}" } }`,
        [expect.stringMatching(/oauth\.issuer has to be an https URL; http is for this machine only$/)],
      ],
    ),
    [
      "credentials in a URL",
      `auth: { oauth: { ${ISSUER}, jwks_uri: "https://u:p@x/jwks" } }`,
      [expect.stringMatching(/jwks_uri must not hold credentials$/)],
    ],
    [
      "an issuer with a query",
      'auth: { oauth: { issuer: "https://x/?a=b" } }',
      [expect.stringMatching(/issuer must have neither query nor fragment$/)],
    ],
    ...["none", "HS256", "rs256"].map((algorithm): [string, string, unknown[]] => [
      `the algorithm ${algorithm}`,
      `auth: { oauth: { ${ISSUER}, algorithms: [RS256, ${algorithm}] } }`,
      [expect.stringMatching(/oauth\.algorithms\[1\] .*"RS256"/)],
    ]),
    [
      "a scope that is two",
      `auth: { oauth: { ${ISSUER}, required_scopes: ["a b"] } }`,
      [expect.stringMatching(/required_scopes\[0\] is not a scope/)],
    ],
    [
      "a clock that is wrong by hours",
      `auth: { oauth: { ${ISSUER}, clock_skew_seconds: 3600 } }`,
      [expect.stringMatching(/oauth\.clock_skew_seconds /)],
    ],
    ...["mcp.example.com", "https://u@x", "https://x/?a", "https://x/#a", "ws://x"].map(
      (url): [string, string, unknown[]] => [
        `the public URL ${url}`,
        `public_url: "${url}"`,
        [expect.stringMatching(/^f\.yaml:1:30: control_plane\.public_url has to be an http or https URL without/)],
      ],
    ),
  ])("%s", (_name, controlPlane, expected) => expect(mistakesOf(controlPlane)).toEqual(expected));

  test("no message repeats a value", () => {
    const secret = "hush-0123456789";
    const settings = `issuer: "http://${secret}", jwks_uri: "${secret}", algorithms: ["${secret}"], admin_scope: "${secret} x"`;
    const mistakes = mistakesOf(`public_url: "${secret}", auth: { type: "${secret}", oauth: { ${settings} } }`);
    expect(mistakes.length).toBeGreaterThan(4);
    expect(mistakes.join("\n")).not.toContain(secret);
  });
});

describe("the public URL", () => {
  test.each([
    ["https://mcp.example.com", "https://mcp.example.com"],
    ["https://MCP.example.com:443/", "https://mcp.example.com"],
    ["https://example.com/tools//", "https://example.com/tools"],
    ["http://10.0.0.1:8080", "http://10.0.0.1:8080"],
  ])("%s has one form", (given, expected) => expect(load(`public_url: "${given}"`).publicUrl).toBe(expected));

  test("is the file's, else the installation's, else where the gateway listens", () => {
    const env = { TOLLGATE_PUBLIC_URL: "https://of-the-environment.example/" };
    expect(publicUrlOf(load("public_url: https://of-the-file.example", env))).toBe("https://of-the-file.example");
    expect(publicUrlOf(load("", env))).toBe("https://of-the-environment.example");
    expect(publicUrlOf(load("port: 81"))).toBe("http://127.0.0.1:81");
    expect(publicUrlOf(load("host: 0.0.0.0"))).toBe("http://127.0.0.1:8080");
    expect(publicUrlOf(load('host: "::1"'))).toBe("http://[::1]:8080");
    expect(mistakesOf("", { TOLLGATE_PUBLIC_URL: "nonsense" })).toEqual([
      expect.stringMatching(/public_url is TOLLGATE_PUBLIC_URL of the environment, which has to be an http or https/),
    ]);
  });
});
