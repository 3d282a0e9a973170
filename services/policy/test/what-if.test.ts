import { policyV1 } from "@tollgate/contracts";
import { callUnary } from "@tollgate/service";
import { useInfrastructure } from "@tollgate/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FILE, runPolicy, type RunningPolicy } from "./running-policy.ts";

const AGENTS = `    agents: [{ name: bot, tenant: acme, team: payments, roles: [developer] }]
    tokens:
      - { name: bot-1, token: bot-secret-0123456789, agent: bot }
      - { name: gone, token: gone-secret-0123456789, tenant: acme, roles: [developer], expires_at: 2020-01-01T00:00:00Z }
`;

const infra = useInfrastructure();
let policy: RunningPolicy;
beforeAll(async () => (policy = await runPolicy(infra, { text: FILE.replace("    tokens:\n", AGENTS) })));
afterAll(() => policy.close());

type Policies = { readonly proposed?: readonly object[]; readonly removed?: string[] };

const unary = () => ({ metadata: policy.metadata, timeoutMs: 30_000, service: "policy" });
const policyOf = (fields: object) =>
  policyV1.Policy.fromPartial({ effect: "allow", principals: ["*"], actions: ["*"], resources: ["*"], ...fields });
const toRequest = ({ proposed = [], removed = [] }: Policies) => ({ proposed: proposed.map(policyOf), removed });

function questionOf(principal: Partial<policyV1.Principal>, resource: Partial<policyV1.Resource>, fields: object = {}) {
  return policyV1.DecideRequest.fromPartial({
    principal,
    action: "tools/call",
    resources: [{ group: "disk", server: "files", tool: "read_a", ...resource }],
    ...fields,
  });
}

async function ask(question: policyV1.DecideRequest, policies: Policies = {}) {
  const request = { question, atMs: 0n, ...toRequest(policies) };
  const answer = await callUnary(policy.client.testPolicies.bind(policy.client), request, unary());
  return answer.decisions[0]!;
}

describe("a test of the policies", () => {
  test("answers for a known token as it is, whatever of its tenant and team is said", async () => {
    expect(await ask(questionOf({ id: "dev" }, {}))).toMatchObject({ allow: true, policyIds: ["allow-dev"] });
    expect(await ask(questionOf({ id: "dev", tenant: "acme" }, { tool: "write_a" }))).toMatchObject({
      allow: false,
      policyIds: [],
      reason: expect.stringContaining("no policy allows tools/call on files:write_a"),
    });
    expect(await ask(questionOf({ id: "dev", tenant: "rival" }, {}))).toMatchObject({ allow: false });
  });

  test("supposes other roles where they are said", async () => {
    const asked = (roles: string[]) => ask(questionOf({ id: "admin", roles }, {}));
    expect((await asked([])).allow).toBe(false);
    expect((await asked(["developer"])).allow).toBe(true);
    expect((await asked(["tester"])).allow).toBe(false);
  });

  test("answers for agents and users by what is kept of them, without a credential", async () => {
    const agent = { id: "agent:bot", tenant: "acme", permissions: ["mcp"] };
    const user = { id: "user:ann", tenant: "acme", roles: ["developer"], permissions: ["mcp"] };
    expect(await ask(questionOf(agent, {}))).toMatchObject({ allow: true, policyIds: ["allow-dev"] });
    expect(await ask(questionOf({ ...agent, tenant: "rival" }, {}))).toMatchObject({ allow: false });
    expect(await ask(questionOf({ id: "bot-1" }, {}))).toMatchObject({ allow: true });
    expect(await ask(questionOf({ ...agent, roles: ["tester"] }, {}))).toMatchObject({ allow: false, policyIds: [] });
    expect(await ask(questionOf(user, {}))).toMatchObject({ allow: true });
    expect(await ask(questionOf({ ...user, roles: [] }, {}))).toMatchObject({ allow: false });
    const given = { tenant: "acme", id: "user:ann", withdrawnRoles: ["developer"] };
    const principal = policyV1.KnownPrincipal.fromPartial(given);
    await callUnary(policy.client.putPrincipal.bind(policy.client), { principal, actor: "tester" }, unary());
    expect(await ask(questionOf(user, {}))).toMatchObject({ allow: false, policyIds: [] });
    expect(await ask(questionOf({ id: "gone" }, {}))).toMatchObject({
      allow: false,
      reason: expect.stringContaining("expired"),
    });
  });

  test("says what is demanded beside policies", async () => {
    const risky = { risk: "HIGH" };
    const withArguments = { arguments: '{"a":1}' };
    expect(await ask(questionOf({ id: "dev" }, risky, withArguments))).toMatchObject({
      allow: false,
      approvalsNeeded: 1,
    });
    expect(await ask(questionOf({ id: "dev" }, risky))).toMatchObject({ allow: true, variesByArguments: true });
    const { limits } = await ask(questionOf({ id: "dev" }, { risk: "MEDIUM" }, withArguments));
    expect(limits.length).toBeGreaterThan(0);
  });

  test("says what is not known, or not asked well", async () => {
    expect(await ask(questionOf({ id: "nobody" }, {}))).toMatchObject({
      allow: false,
      reason: "the token is not known",
    });
    await expect(ask(questionOf(undefined!, {}))).rejects.toMatchObject({ code: "invalid_argument" });
    expect(await ask(questionOf({ id: "dev" }, {}, { action: "tools/burn" }))).toMatchObject({ allow: false });
  });

  test("tries policies in the place of others, and changes nothing", async () => {
    const before = await policy.listPolicies();
    const question = questionOf({ id: "dev" }, {});
    const denied = await ask(question, { proposed: [{ id: "stop", effect: "deny", resources: ["files:*"] }] });
    expect(denied).toMatchObject({ allow: false, policyIds: ["stop"], reason: "denied by policy stop" });
    const replaced = await ask(question, { proposed: [{ id: "allow-dev", resources: ["files:other"] }] });
    expect(replaced).toMatchObject({ allow: false, policyIds: [] });
    expect(await ask(question, { removed: ["allow-dev"] })).toMatchObject({ allow: false, policyIds: [] });
    expect(await ask(question)).toMatchObject({ allow: true });
    expect(await policy.listPolicies()).toEqual(before);
  });

  test.each<[Policies, string]>([
    [{ removed: ["never"] }, "removed[0]: there is no such policy"],
    [{ proposed: [{ id: "a" }, { id: "a" }] }, "proposed[1].id: is that of another proposed policy"],
    [{ proposed: [{ id: "a" }, { id: "b", effect: "maybe" }] }, "proposed[1].effect: has to be allow or deny"],
    [{ proposed: Array.from({ length: 101 }, (_each, n) => ({ id: `p${n}` })) }, "proposed: has more than 100 entries"],
  ])("refuses %.60j", async (policies, message) => {
    await expect(ask(questionOf({ id: "dev" }, {}), policies)).rejects.toMatchObject({
      code: "invalid_argument",
      message: expect.stringContaining(message),
    });
  });
});

describe("recorded calls, decided anew", () => {
  const call = (principal: Partial<policyV1.Principal>, resource: Partial<policyV1.Resource>, atMs = 1_000) =>
    policyV1.RecordedCall.fromPartial({ id: "c", question: questionOf(principal, resource), atMs: BigInt(atMs) });
  const decide = async (calls: policyV1.RecordedCall[], policies: Policies = {}) => {
    const request = { calls, ...toRequest(policies) };
    return (await callUnary(policy.client.whatIf.bind(policy.client), request, unary())).decisions;
  };
  const DEVELOPER = { tenant: "acme", team: "payments", roles: ["developer"] };

  test("rest on who the caller was then, also where nobody knows him now", async () => {
    const gone = { id: "long-gone", ...DEVELOPER };
    const calls = [
      call(gone, {}),
      call({ ...gone, roles: [] }, {}),
      call({ ...gone, id: "user:x|y" }, {}),
      call(gone, { tool: "write_a" }),
    ];
    expect((await decide(calls)).map(({ allow }) => allow)).toEqual([true, false, true, false]);
    const byName = { proposed: [{ id: "a", effect: "deny", principals: ["user:x|y", "token:other"] }] };
    expect((await decide(calls, byName)).map(({ policyIds }) => policyIds)).toEqual([["allow-dev"], [], ["a"], []]);
  });

  test("come back in their order, a thousand at a time", async () => {
    const calls = Array.from({ length: 1_000 }, (_each, n) =>
      call(
        { id: `t${n}`, ...DEVELOPER },
        { tool: `read_${n % 7}`, server: n % 2 === 0 ? "files" : "other" },
        10_000 - n,
      ),
    );
    const decisions = await decide(calls, { proposed: [{ id: "no-3", effect: "deny", resources: ["*:read_3"] }] });
    expect(decisions.map(({ allow }) => allow)).toEqual(calls.map((_each, n) => n % 2 === 0 && n % 7 !== 3));
    await expect(decide([...calls, calls[0]!])).rejects.toMatchObject({ code: "invalid_argument" });
  });

  test("are decided by what is in force at the time of asking, proposal by proposal", async () => {
    const calls = [call({ id: "x", ...DEVELOPER }, {})];
    const proposals = Array.from({ length: 6 }, (_each, n) => ({ proposed: [{ id: `stop-${n}`, effect: "deny" }] }));
    const ids = await Promise.all(proposals.map(async (each) => (await decide(calls, each))[0]!.policyIds));
    expect(ids).toEqual(proposals.map(({ proposed }) => [proposed[0]!.id]));
    expect((await decide(calls))[0]!.allow).toBe(true);
    await policy.putPolicy({ id: "now", resources: ["files:*"] });
    expect((await decide(calls))[0]!.policyIds).toEqual(["now"]);
    expect((await decide(calls, proposals[0]))[0]!.policyIds).toEqual(["now", "stop-0"]);
    await policy.deletePolicy("now");
    expect((await decide(calls, { removed: ["allow-dev"] }))[0]!.allow).toBe(false);
    expect((await decide(calls))[0]!.allow).toBe(true);
  });

  test("are told apart by their time, whichever is asked about first", async () => {
    const ann = { id: "user:ann", ...DEVELOPER, authenticatedAtMs: 1_000n };
    const proposal = (conditions: object) => ({
      proposed: [{ id: "allow-dev", conditions: JSON.stringify(conditions) }],
    });
    const allowedAt = async (seconds: readonly number[], conditions: object) => {
      const calls = seconds.map((each) => call(ann, {}, each * 1_000));
      return (await decide(calls, proposal(conditions))).map(({ allow }) => allow);
    };
    for (const [seconds, allowed] of [
      [
        [100, 61, 62],
        [false, true, false],
      ],
      [
        [30, 99],
        [true, false],
      ],
      [[10], [true]],
    ] as const)
      expect(await allowedAt(seconds, { max_sign_in_age: 60 })).toEqual(allowed);
    const morning = { time: { from: "00:01", to: "00:02" } };
    for (const [seconds, allowed] of [
      [
        [86_460, 130, 119, 60],
        [true, false, true, true],
      ],
      [
        [59, 60],
        [false, true],
      ],
    ] as const)
      expect(await allowedAt(seconds, morning)).toEqual(allowed);
  });

  test("that say nothing of who or what are refused", async () => {
    await expect(decide([policyV1.RecordedCall.fromPartial({ id: "c" })])).rejects.toMatchObject({
      code: "invalid_argument",
    });
  });
});
