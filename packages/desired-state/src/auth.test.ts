import { AppError } from "@tollgate/errors";
import { expect, test } from "vitest";
import { PERMISSION_PATTERN } from "./auth.ts";
import { loadDesiredState } from "./load.ts";

const load = (auth: string) =>
  loadDesiredState(`control_plane: { auth: { ${auth} } }`, { file: "f.yaml", env: {} }).controlPlane;

function mistakesOf(auth: string): string[] {
  try {
    load(auth);
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "invalid_argument") throw error;
    return error.message.split("\n  ").slice(1);
  }
  return [];
}

const BOT = "agents: [{ name: bot, tenant: acme, team: platform, roles: [deployment] }]";
const SHA256 = "ab".repeat(32);

test("tokens and certificates of an agent are of its tenant, and have its team and roles", () => {
  const tokens = "tokens: [{ name: ci, token: secret-1, agent: bot }, { name: own, token: secret-2 }]";
  const certificates = "certificates: [{ name: host, common_name: bot.acme, agent: bot, permissions: ['mcp:devops'] }]";
  expect(load(`${BOT}, ${tokens}, ${certificates}`)).toMatchObject({
    agents: [{ name: "bot", tenant: "acme", team: "platform", roles: ["deployment"] }],
    tokens: [
      { name: "ci", agent: "bot", tenant: "acme", team: "platform", roles: ["deployment"], permissions: ["mcp"] },
      { name: "own", tenant: "default", team: "default", roles: [] },
    ],
    certificates: [{ name: "host", commonName: "bot.acme", agent: "bot", tenant: "acme", permissions: ["mcp:devops"] }],
  });
});

test("a certificate without an agent is an agent of its own", () => {
  const entry = "{ name: host, alternative_name: 'URI:spiffe://acme/host', tenant: acme, roles: [reader] }";
  expect(load(`certificates: [${entry}]`)).toMatchObject({
    agents: [{ name: "host", tenant: "acme", team: "default", roles: ["reader"] }],
    certificates: [{ name: "host", alternativeName: "URI:spiffe://acme/host", agent: "host", tenant: "acme" }],
  });
});

test("a fingerprint has one form", () => {
  const shown = Array.from({ length: 32 }, () => "AB").join(":");
  for (const given of [SHA256, SHA256.toUpperCase(), shown])
    expect(load(`certificates: [{ name: a, sha256: "${given}" }]`).certificates[0]?.sha256).toBe(SHA256);
});

test.each([
  ["mcp", true],
  ["admin", true],
  ["mcp:devops", true],
  ["mcp:devops/argo-cd", true],
  ["mcp:", false],
  ["mcp:Devops", false],
  ["mcp:devops/", false],
  ["mcp:devops/a/b", false],
  ["admin:devops", false],
  ["*", false],
])("the permission %j: %j", (permission, expected) => expect(PERMISSION_PATTERN.test(permission)).toBe(expected));

test.each<[string, RegExp[]]>([
  [
    "tokens: [{ name: a, token: secret-1, agent: bot }]",
    [/tokens\[0\]\.agent is not the name of an agent in control_plane\.auth\.agents$/],
  ],
  [
    `${BOT}, tokens: [{ name: a, token: secret-1, agent: bot, roles: [x], tenant: acme }]`,
    [/tokens\[0\]\.tenant does not go with agent/, /tokens\[0\]\.roles does not go with agent/],
  ],
  ["tokens: [{ name: a, token: secret-1, permissions: [all] }]", [/permissions\[0\] has to be mcp, mcp:GROUP/]],
  ["agents: [{ name: a }, { name: a }]", [/agents\[1\]\.name is the name of another agent already$/]],
  ["agents: [{ name: a, rolls: [] }]", [/agents\[0\]\.rolls is not a known key; is "roles" meant\?$/]],
  ["certificates: [{ name: a }]", [/certificates\[0\] needs one of sha256, common_name and alternative_name$/]],
  [`certificates: [{ name: a, sha256: ${SHA256}, common_name: a }]`, [/certificates\[0\] needs one of/]],
  ["certificates: [{ name: a, sha256: abc }]", [/sha256 has to be 64 hexadecimal digits$/]],
  [
    "certificates: [{ name: a, common_name: a }, { name: a, common_name: b }]",
    [/certificates\[1\]\.name is the name of another certificate already$/],
  ],
  [
    `${BOT}, certificates: [{ name: bot, common_name: a }]`,
    [/certificates\[0\]\.name is the name of an agent already/],
  ],
])("%j is a mistake", (auth, expected) => {
  expect(mistakesOf(auth)).toEqual(expected.map((each) => expect.stringMatching(each)));
});
