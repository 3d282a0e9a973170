import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { policiesOf, policyOf, stateOf as stateWith, targetOf, tokenOf } from "../../test/sample-policies.ts";
import type { Target } from "./cedar-question.ts";
import { decider } from "./decision.ts";
import type { PolicyRecord } from "./policy.ts";
import { NO_PRINCIPALS } from "./principal.ts";
import { NO_SETTINGS } from "./settings.ts";
import { buildState, type PolicyState } from "./state.ts";
import type { TokenRecord } from "./token.ts";

const NOW = Date.UTC(2027, 0, 1);

function token(name: string, rest: Partial<TokenRecord> = {}): TokenRecord {
  return tokenOf(name, { team: "payments", roles: ["developer"], ...rest });
}

const TOKENS = [
  token("dev"),
  token("reader", { roles: ["reader"], team: "sales" }),
  token("both", { roles: ["developer", "reader", "intern"] }),
  token("guest", { tenant: "globex", team: "default", roles: [] }),
  token("admin-only", { permissions: ["admin"] }),
  token("old", { expiresAtMs: NOW }),
  token("gone", { revokedAtMs: NOW - 1 }),
];

const stateOf = (records: readonly PolicyRecord[]): PolicyState => stateWith(records, TOKENS);

/** What a request says of a token counts for nothing. */
const NOBODY = { id: "", tenant: "", team: "sales", roles: ["intern"], permissions: [] };

const GROUPS: Record<string, string> = { files: "disk", everything: "demo", "files-eu": "disk", postgres: "data" };

function target(text: string, sandboxed = false): Target {
  const [server, tool = ""] = text.split(/:(.*)/s);
  return targetOf({ group: GROUPS[server!] ?? "other", server: server!, tool, sandboxed });
}

function ask(state: PolicyState, who: string, action: string, what: string, sandboxed = false) {
  const tenant = TOKENS.find(({ name }) => name === who)?.tenant ?? "acme";
  return decider(state, { principal: { ...NOBODY, id: who, tenant }, action, nowMs: NOW })(target(what, sandboxed));
}

const SET = policiesOf(
  "dev-files: allow | role:developer | tools/call | files:read_* files:list",
  "dev-sees: allow | role:developer | tools/list | *",
  "demo: allow | token:dev team:sales | * | group:demo",
  "eu: allow | tenant:globex | * | *-eu:*",
  "sql: allow | * | tools/call | postgres:select* postgres:*explain*",
  "no-interns: deny | role:intern | * | *:*_secret* postgres:*",
  "no-drop: deny | * | * | *:*drop*",
  "odd: allow | token:reader | tools/call | files:a:b files:é? files:**",
  "stars: allow | token:guest | tools/call | *:st*r*s",
  "reads: allow | token:guest | resources/read | docs:file:///* docs:test://a/b",
  "prompts: allow | token:guest | prompts/list prompts/get | docs:greet*",
);

describe("decisions", () => {
  const state = stateOf(SET);

  test.each<[string, string, string, boolean, string]>([
    // A role, and what a glob covers.
    ["dev", "tools/call", "files:read_file", true, "allowed by policy dev-files"],
    ["dev", "tools/call", "files:read_", true, "allowed by policy dev-files"],
    ["dev", "tools/call", "files:read", false, "no policy allows tools/call on files:read"],
    ["dev", "tools/call", "files:xread_file", false, "no policy allows tools/call on files:xread_file"],
    ["dev", "tools/call", "files:list", true, "allowed by policy dev-files"],
    ["dev", "tools/call", "files:list_all", false, "no policy allows tools/call on files:list_all"],
    ["dev", "tools/call", "files:write_file", false, "no policy allows tools/call on files:write_file"],
    ["dev", "tools/call", "files-eu:read_file", false, "no policy allows tools/call on files-eu:read_file"],
    ["dev", "tools/call", "FILES:read_file", false, "no policy allows tools/call on FILES:read_file"],
    ["dev", "tools/call", "files:READ_file", false, "no policy allows tools/call on files:READ_file"],
    ["both", "tools/call", "files:read_file", true, "allowed by policy dev-files"],
    ["guest", "tools/call", "files:read_file", false, "no policy allows tools/call on files:read_file"],
    // What may be used is listed, unless a policy denies to list it.
    ["dev", "tools/list", "files:read_file", true, "allowed by policy dev-files"],
    ["dev", "tools/list", "files:write_file", false, "no policy allows tools/call on files:write_file"],
    ["dev", "tools/list", "files", true, "allowed by policy dev-sees"],
    ["dev", "tools/call", "files", false, "no policy allows tools/call on files"],
    ["reader", "tools/list", "files:read_file", true, "allowed by policy odd"],
    ["guest", "tools/list", "files:read_file", false, "no policy allows tools/call on files:read_file"],
    // A whole group, to a token or a team.
    ["dev", "tools/call", "everything:echo", true, "allowed by policy demo"],
    ["reader", "tools/call", "everything:echo", true, "allowed by policy demo"],
    ["reader", "tools/list", "everything:echo", true, "allowed by policy demo"],
    ["dev", "tools/list", "everything:echo", true, "allowed by policy demo"],
    ["both", "tools/call", "everything:echo", false, "no policy allows tools/call on everything:echo"],
    ["guest", "tools/call", "everything:echo", false, "no policy allows tools/call on everything:echo"],
    ["reader", "tools/call", "unknown:echo", false, "no policy allows tools/call on unknown:echo"],
    // A tenant, and globs of servers.
    ["guest", "tools/call", "files-eu:anything", true, "allowed by policy eu"],
    ["guest", "tools/call", "files-eu", true, "allowed by policy eu"],
    ["guest", "tools/call", "files-us:anything", false, "no policy allows tools/call on files-us:anything"],
    ["dev", "tools/call", "files-eu:anything", false, "no policy allows tools/call on files-eu:anything"],
    // Everybody.
    ["guest", "tools/call", "postgres:select", true, "allowed by policy sql"],
    ["reader", "tools/call", "postgres:select_all", true, "allowed by policy sql"],
    ["reader", "tools/call", "postgres:do_explain_it", true, "allowed by policy sql"],
    ["reader", "tools/list", "postgres:select", true, "allowed by policy sql"],
    // A deny wins, over any number of allows.
    ["both", "tools/call", "postgres:select", false, "denied by policy no-interns"],
    ["both", "tools/list", "files:read_secrets", false, "denied by policy no-interns"],
    ["both", "tools/call", "files:drop_secret", false, "denied by policies no-drop, no-interns"],
    ["dev", "tools/call", "files:read_drop", false, "denied by policy no-drop"],
    ["guest", "tools/call", "files-eu:drop", false, "denied by policy no-drop"],
    // Only a star is special; a tool's name may hold anything.
    ["reader", "tools/call", "files:a:b", true, "allowed by policy odd"],
    ["guest", "tools/call", "x:stars", true, "allowed by policy stars"],
    ["guest", "tools/call", "x:st**r\\s\"'\n💥s", true, "allowed by policy stars"],
    ["guest", "tools/call", "x:star", false, "no policy allows tools/call on x:star"],
    // Resources by their uri, prompts by their name, each by its own action.
    ["guest", "resources/read", "docs:file:///a/b.txt?c#d", true, "allowed by policy reads"],
    ["guest", "resources/read", "docs:test://a/b", true, "allowed by policy reads"],
    ["guest", "resources/read", "docs:test://a/b/c", false, "no policy allows resources/read on docs:test://a/b/c"],
    ["guest", "prompts/list", "docs:greeting", true, "allowed by policy prompts"],
    ["guest", "resources/list", "docs:file:///a", true, "allowed by policy reads"],
    ["guest", "resources/list", "docs:test://a/b/c", false, "no policy allows resources/read on docs:test://a/b/c"],
    ["guest", "tools/call", "docs:file:///a", false, "no policy allows tools/call on docs:file:///a"],
    ["guest", "prompts/get", "docs:greeting", true, "allowed by policy prompts"],
    ["guest", "prompts/list", "docs:greeting", true, "allowed by policy prompts"],
    ["guest", "tools/call", "docs:greeting", false, "no policy allows tools/call on docs:greeting"],
    ["guest", "resources/read", "files-eu:drop://x", false, "denied by policy no-drop"],
    // Who may not ask at all.
    ["gone", "tools/call", "files:read_file", false, 'the token "gone" was revoked at 2026-12-31T23:59:59.999Z'],
    ["old", "tools/call", "files:read_file", false, 'the token "old" expired at 2027-01-01T00:00:00.000Z'],
    ["nobody", "tools/call", "files:read_file", false, "the token is not known"],
    ["admin-only", "tools/call", "files:read_file", false, 'the token "admin-only" lacks the permission mcp'],
    // What is not known is refused.
    ["dev", "tools/delete", "files:read_file", false, 'the action "tools/delete" is not known'],
    ["dev", "", "files:read_file", false, 'the action "" is not known'],
    ["dev", "*", "files:read_file", false, 'the action "*" is not known'],
  ])("%s %s %s → %s", (who, action, what, allow, reason) => {
    const decision = ask(state, who, action, what);
    expect({ allow: decision.allow, reason: decision.reason }).toEqual({ allow, reason });
    expect(decision.policyIds).toEqual(/polic(?:y|ies) ([a-z-]+(?:, [a-z-]+)*)$/.exec(reason)?.[1]?.split(", ") ?? []);
  });

  test("a principal of another tenant with the same name is refused", () => {
    const decide = decider(state, {
      principal: { ...NOBODY, id: "dev", tenant: "globex" },
      action: "tools/call",
      nowMs: NOW,
    });
    expect(decide(target("files:list"))).toMatchObject({ allow: false, reason: '"dev" is not of the tenant "globex"' });
  });

  test("a question without a principal is refused", () => {
    const decide = decider(state, { principal: undefined, action: "tools/call", nowMs: NOW });
    expect(decide(target("files:list"))).toMatchObject({ allow: false, reason: "the request names no principal" });
  });

  test("without policies everything is denied", () => {
    expect(ask(stateOf([]), "dev", "tools/call", "files:list")).toEqual({
      allow: false,
      policyIds: [],
      reason: "no policy allows tools/call on files:list",
      variesByArguments: false,
      validUntilMs: 0,
      stepUp: undefined,
      approvalsNeeded: 0,
      approvalId: "",
      limits: [],
      record: [],
    });
  });

  test("a set of policies that was given back decides nothing any more", () => {
    const old = stateOf(SET);
    expect(ask(old, "dev", "tools/call", "files:list").allow).toBe(true);
    old.engine.dispose();
    expect(ask(old, "dev", "tools/call", "files:list")).toMatchObject({
      allow: false,
      reason: "could not be decided, so it is denied: this set of policies is no longer in use",
    });
    expect(ask(state, "dev", "tools/call", "files:list").allow).toBe(true);
  });
});

describe("policies that require a sandbox", () => {
  const state = stateOf(
    policiesOf(
      "apart: allow | * | tools/call | files:* | sandbox",
      "no-bare-writes: deny | * | tools/call | *:write_* | sandbox",
      "x: allow | * | tools/call | x:*",
      "no-drop: deny | * | * | *:drop",
    ),
  );
  const lacking = ": its server is in no sandbox";

  test.each<[string, boolean, string]>([
    ["files:list", true, "allowed by policy apart"],
    ["files:list", false, `no policy allows tools/call on files:list${lacking}`],
    ["files:write_all", true, "allowed by policy apart"],
    ["files:write_all", false, `denied by policy no-bare-writes${lacking}`],
    ["x:list", false, "allowed by policy x"],
    ["x:write_all", true, "allowed by policy x"],
    ["x:write_all", false, `denied by policy no-bare-writes${lacking}`],
    // A sandbox alone opens nothing, and is not named where it would not help.
    ["files:drop", true, "denied by policy no-drop"],
    ["files:drop", false, "denied by policy no-drop"],
    ["postgres:select", true, "no policy allows tools/call on postgres:select"],
    ["postgres:select", false, "no policy allows tools/call on postgres:select"],
  ])("%s, in a sandbox: %s → %s", (what, sandboxed, reason) => {
    expect(ask(state, "dev", "tools/call", what, sandboxed)).toMatchObject({
      allow: reason.startsWith("allowed"),
      reason,
    });
  });
});

describe("decisions about users", () => {
  const ALICE = {
    id: "user:alice",
    tenant: "acme",
    team: "sales",
    roles: ["developer"],
    permissions: ["mcp"],
    credential: "https://login.example.com",
  };
  const OAUTH = {
    name: undefined,
    publicUrl: "https://mcp.example.com",
    issuer: "https://login.example.com",
    jwksUri: undefined,
    audience: undefined,
    requiredScopes: ["mcp"],
    adminScope: undefined,
    claims: { principal: "sub", tenant: undefined, team: undefined, roles: undefined },
    roleMap: {},
    algorithms: ["ES256"],
    clockSkewSeconds: 30,
  };
  const records = [
    ...SET,
    ...policiesOf("alice: allow | user:alice | * | x:*", "tokens: allow | token:alice | * | y:*"),
  ];
  const state = buildState(1, {
    approvals: [],
    limits: [],
    sessions: [],
    principals: NO_PRINCIPALS,
    tokens: [...TOKENS, token("alice")],
    settings: { ...NO_SETTINGS, oauth: [OAUTH] },
    policies: records,
  });
  const askAs = (principal: Partial<typeof ALICE>, what: string, at = state) =>
    decider(at, { principal: { ...ALICE, ...principal }, action: "tools/call", nowMs: NOW })(target(what));

  test.each<[string, Partial<typeof ALICE>, string, string]>([
    ["a role", {}, "files:read_a", "allowed by policy dev-files"],
    ["a team", {}, "everything:echo", "allowed by policy demo"],
    ["a tenant", { tenant: "globex" }, "files-eu:a", "allowed by policy eu"],
    ["the name", {}, "x:a", "allowed by policy alice"],
    ["a name that is not the user's", { id: "user:alic" }, "x:a", "no policy allows tools/call on x:a"],
    ["the name of a token", {}, "y:a", "no policy allows tools/call on y:a"],
    ["a role that denies", { roles: ["intern"] }, "postgres:select", "denied by policy no-interns"],
    ["no permission", { permissions: [] }, "x:a", 'the user "alice" lacks the permission mcp'],
    ["another permission", { permissions: ["admin"] }, "x:a", 'the user "alice" lacks the permission mcp'],
    ["a token for the group", { permissions: ["mcp:disk"] }, "files:read_a", "allowed by policy dev-files"],
    ["a token for the server", { permissions: ["mcp:disk/files"] }, "files:read_a", "allowed by policy dev-files"],
    [
      "a token for another group",
      { permissions: ["mcp:demo"] },
      "files:read_a",
      'the access token of "alice" is not meant for "files"',
    ],
    [
      "a token for another server",
      { permissions: ["mcp:disk/files-eu"] },
      "files:read_a",
      'the access token of "alice" is not meant for "files"',
    ],
  ])("by %s", (_name, principal, what, reason) => {
    expect(askAs(principal, what)).toMatchObject({ allow: reason.startsWith("allowed"), reason });
  });

  test("a token is never taken for a user, nor a user for a token", () => {
    expect(askAs({ id: "alice", credential: "alice" }, "y:a")).toMatchObject({ allow: true, policyIds: ["tokens"] });
    expect(askAs({ id: "alice", credential: "alice" }, "x:a")).toMatchObject({ allow: false });
  });

  test("where access tokens are not taken, nobody is a user", () => {
    expect(askAs({}, "x:a", stateOf(records))).toMatchObject({
      allow: false,
      reason: "access tokens of its issuer are not taken any more",
    });
  });
});

const SERVERS = ["files", "files-eu", "postgres", "x"];
const TOOLS = ["read_file", "select", "drop", "list", "a:b", ""];
const anyPolicy = fc.record({
  effect: fc.constantFrom<"allow" | "deny">("allow", "allow", "deny"),
  principals: fc.subarray(
    ["*", "token:dev", "token:guest", "role:reader", "role:intern", "team:sales", "tenant:globex"],
    {
      minLength: 1,
      maxLength: 2,
    },
  ),
  actions: fc.subarray(["*", "tools/list", "tools/call"], { minLength: 1 }),
  resources: fc.subarray(["*", "group:disk", "files*:*", "*:read_*", "postgres:select", "x:*"], {
    minLength: 1,
    maxLength: 2,
  }),
  conditions: fc.constantFrom({}, { require_sandbox: true as const }),
});
const anyPolicies = fc
  .array(anyPolicy, { maxLength: 6 })
  .map((list): PolicyRecord[] => list.map((each, index) => policyOf({ ...each, id: `p${index}` })));
const anyQuestion = fc.record({
  who: fc.constantFrom("dev", "reader", "both", "guest"),
  action: fc.constantFrom("tools/list", "tools/call"),
  what: fc.tuple(fc.constantFrom(...SERVERS), fc.constantFrom(...TOOLS)).map(([server, tool]) => `${server}:${tool}`),
  sandboxed: fc.boolean(),
});

describe("for any policies", () => {
  type Asked = { who: string; action: string; what: string; sandboxed: boolean };
  function decideWith(records: PolicyRecord[], { who, action, what, sandboxed }: Asked) {
    const state = stateOf(records);
    try {
      return ask(state, who, action, what, sandboxed);
    } finally {
      state.engine.dispose();
    }
  }

  test("their order does not matter", () => {
    fc.assert(
      fc.property(anyPolicies, fc.infiniteStream(fc.nat()), anyQuestion, (records, keys, question) => {
        const shuffled = records.map((record) => ({ record, key: keys.next().value as number }));
        shuffled.sort((one, other) => one.key - other.key);
        expect(
          decideWith(
            shuffled.map(({ record }) => record),
            question,
          ),
        ).toEqual(decideWith(records, question));
      }),
      { numRuns: 60 },
    );
  });

  test("one more deny never allows, one more allow never denies by policy", () => {
    fc.assert(
      fc.property(anyPolicies, anyPolicy, anyQuestion, (records, extra, question) => {
        const before = decideWith(records, question);
        const added = policyOf({ ...extra, id: "extra" });
        const after = decideWith([...records, added], question);
        expect(extra.effect === "deny" ? before.allow || !after.allow : !before.allow || after.allow).toBe(true);
        const denies = records.filter(({ effect }) => effect === "deny").map(({ id }) => id);
        if (before.policyIds.some((id) => denies.includes(id))) expect(after.allow).toBe(false);
      }),
      { numRuns: 60 },
    );
  });

  test("a sandbox never takes away what is allowed without", () => {
    fc.assert(
      fc.property(anyPolicies, anyQuestion, (records, question) => {
        const bare = decideWith(records, { ...question, sandboxed: false });
        const apart = decideWith(records, { ...question, sandboxed: true });
        expect(bare.allow && !apart.allow).toBe(false);
      }),
      { numRuns: 60 },
    );
  });

  test("a decision names only policies that are there, with the effect that it has", () => {
    fc.assert(
      fc.property(anyPolicies, anyQuestion, (records, question) => {
        const { allow, policyIds } = decideWith(records, question);
        for (const id of policyIds) {
          expect(records.find((record) => record.id === id)?.effect).toBe(allow ? "allow" : "deny");
        }
        expect(allow && policyIds.length === 0).toBe(false);
      }),
      { numRuns: 60 },
    );
  });
});
