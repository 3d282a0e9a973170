import { describe, expect, test } from "vitest";
import { stateOf, tokenOf } from "../../test/sample-policies.ts";
import {
  type Asker,
  callerOf,
  indexPrincipals,
  type KnownPrincipal,
  planAgents,
  type RoleRecord,
  subjectFrom,
} from "./principal.ts";
import { NO_SETTINGS } from "./settings.ts";
import type { PolicyState } from "./state.ts";

const NOW = Date.UTC(2027, 0, 1);
const ISSUER = "https://login.example.com";

function known(id: string, rest: Partial<KnownPrincipal> = {}): KnownPrincipal {
  const kept = { note: "", source: "api" as const, updatedAtMs: 0, updatedBy: "tester" };
  return { tenant: "acme", id, team: "", roles: [], withdrawnRoles: [], disabled: false, ...kept, ...rest };
}

const TOKENS = [
  tokenOf("dev", { team: "payments", roles: ["developer", "closed"] }),
  tokenOf("ci", { agent: "agent:bot", team: "of the token", roles: ["of-the-token"] }),
  tokenOf("night", { agent: "agent:bot", permissions: ["mcp:disk"] }),
  tokenOf("gone", { agent: "agent:bot", revokedAtMs: NOW - 1 }),
  tokenOf("lost", { agent: "agent:nobody" }),
  tokenOf("idle", { agent: "agent:off" }),
];
const PRINCIPALS = [
  known("agent:bot", { team: "platform", roles: ["deployment", "closed", "taken"], withdrawnRoles: ["taken"] }),
  known("agent:off", { disabled: true }),
  known("user:mallory", { disabled: true }),
  known("user:alice", { roles: ["given", "closed"], withdrawnRoles: ["taken"] }),
];
const ROLES: RoleRecord[] = [
  { tenant: "acme", name: "closed", description: "", disabled: true },
  { tenant: "acme", name: "developer", description: "writes code", disabled: false },
];
const CERTIFICATE = { name: "host", commonName: "host", agent: "agent:bot", tenant: "acme", permissions: ["mcp"] };
const OAUTH = { issuer: ISSUER } as PolicyState["settings"]["oauth"][number];

const STATE: PolicyState = {
  ...stateOf([], TOKENS),
  principals: indexPrincipals({ principals: PRINCIPALS, roles: ROLES }),
  settings: { ...NO_SETTINGS, oauth: [OAUTH], certificates: [CERTIFICATE] },
};

function ask(principal: Partial<Asker> & Pick<Asker, "id">, state = STATE) {
  const asker = { tenant: "acme", team: "said", roles: ["said"], permissions: ["mcp", "admin"], ...principal };
  const caller = callerOf(state, { principal: asker, nowMs: NOW });
  return caller.ok ? caller.value : caller.reason;
}

describe("a token", () => {
  test("stands for itself as it is kept, whatever the question says", () => {
    expect(ask({ id: "dev", credential: "dev", amr: ["mfa"], acr: "gold" })).toEqual({
      subject: { kind: "token", id: "dev", tenant: "acme", team: "payments", roles: ["developer"] },
      permissions: ["mcp"],
      signIn: { amr: [], acr: "" },
    });
  });

  test("stands for its agent, with its own permissions", () => {
    const subject = { kind: "agent", id: "bot", tenant: "acme", team: "platform", roles: ["deployment"] };
    expect(ask({ id: "agent:bot", credential: "ci" })).toMatchObject({ subject, permissions: ["mcp"] });
    expect(ask({ id: "agent:bot", credential: "night" })).toMatchObject({ subject, permissions: ["mcp:disk"] });
    expect(ask({ id: "agent:bot", credential: "certificate:host" })).toMatchObject({ subject, permissions: ["mcp"] });
  });

  test.each<[string, Partial<Asker> & Pick<Asker, "id">, string | RegExp]>([
    [
      "revoked, while others of the agent go on",
      { id: "agent:bot", credential: "gone" },
      /^the token "gone" was revoked/,
    ],
    ["of an agent that is not there", { id: "agent:nobody", credential: "lost" }, /^"agent:nobody" is not known/],
    ["of a disabled agent", { id: "agent:off", credential: "idle" }, '"agent:off" is disabled'],
    ["of another agent", { id: "agent:off", credential: "ci" }, 'the credential does not stand for "agent:off"'],
    ["of itself for an agent", { id: "agent:bot", credential: "dev" }, 'the credential does not stand for "agent:bot"'],
    ["of an agent for itself", { id: "ci", credential: "ci" }, 'the credential does not stand for "ci"'],
    ["of another tenant", { id: "agent:bot", credential: "ci", tenant: "globex" }, /is not of the tenant "globex"$/],
    ["that is not there", { id: "agent:bot", credential: "certificate:other" }, "the token is not known"],
    ["that is not named", { id: "agent:bot" }, "the token is not known"],
  ])("%s", (_name, asker, reason) => {
    if (typeof reason === "string") expect(ask(asker)).toBe(reason);
    else expect(ask(asker)).toMatch(reason);
  });
});

describe("a user", () => {
  const alice = { id: "user:alice", credential: ISSUER };

  test("is what the access token says, with what was given and without what was withdrawn", () => {
    const roles = ["developer", "taken", "closed"];
    expect(ask({ ...alice, roles, amr: ["mfa"], acr: "gold", authenticatedAtMs: 5n })).toEqual({
      subject: { kind: "user", id: "alice", tenant: "acme", team: "said", roles: ["developer", "given"] },
      permissions: ["mcp", "admin"],
      signIn: { amr: ["mfa"], acr: "gold", atMs: 5 },
    });
    // Another tenant's of the same subject is somebody else.
    expect(ask({ ...alice, tenant: "globex", roles })).toMatchObject({ subject: { roles } });
  });

  test("who is disabled, or of an issuer that is not taken any more, is nobody", () => {
    expect(ask({ id: "user:mallory", credential: ISSUER })).toBe('"user:mallory" is disabled');
    const reason = "access tokens of its issuer are not taken any more";
    for (const credential of ["https://other.example", "", undefined])
      expect(ask({ id: "user:alice", ...(credential === undefined ? {} : { credential }) })).toBe(reason);
  });
});

test.each([
  ["dev", { kind: "token", id: "dev" }],
  ["agent:bot", { kind: "agent", id: "bot" }],
  ["user:a:b", { kind: "user", id: "a:b" }],
  ["User:a", { kind: "token", id: "User:a" }],
])("the id %j", (id, expected) => expect(subjectFrom(id)).toEqual(expected));

test("agents of the file: what is missing comes, what is dropped goes, and what was taken stays taken", () => {
  const file = { source: "file" as const, team: "t", roles: ["r"] };
  const wanted = (id: string) => ({ tenant: "acme", id, team: "t", roles: ["r"] });
  const stored = [
    known("agent:same", file),
    known("agent:dropped", file),
    known("agent:hurt", { ...file, withdrawnRoles: ["r"] }),
    known("agent:off", { ...file, team: "old", disabled: true, note: "why" }),
    known("agent:api", { team: "t" }),
  ];
  const { remove, put } = planAgents(stored, [wanted("agent:same"), wanted("agent:off"), wanted("agent:new")]);
  expect(remove.map(({ id }) => id)).toEqual(["agent:dropped"]);
  expect(put).toMatchObject([
    { id: "agent:hurt", roles: [], disabled: true, source: "api" },
    { id: "agent:off", team: "t", disabled: true, note: "why", source: "file" },
    { id: "agent:new", team: "t", roles: ["r"], disabled: false, source: "file" },
  ]);
});
