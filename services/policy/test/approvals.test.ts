import { policyV1 } from "@tollgate/contracts";
import { callUnary } from "@tollgate/service";
import { eventually, useInfrastructure } from "@tollgate/testkit";
import pg from "pg";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { runPolicy, type RunningPolicy } from "./running-policy.ts";

const FILE = `
control_plane:
  auth:
    tokens:
      - { name: dev, token: "\${DEV_TOKEN}", tenant: acme, team: payments }
      - { name: admin, token: "\${ADMIN_TOKEN}", permissions: [mcp, admin] }
policies:
  - { name: allow-dev, effect: allow, principals: ["token:dev"], actions: ["*"], resources: ["db:*"] }
risk_levels: { approval_timeout: 600 }
`;
const SECRET = "4111-1111-1111-1111";
const ARGUMENTS = `{"card":"${SECRET}","n":1}`;

const infra = useInfrastructure();
let policy: RunningPolicy;

beforeEach(async () => {
  await query("DROP SCHEMA IF EXISTS policy CASCADE");
  await query("CREATE SCHEMA policy AUTHORIZATION tollgate_policy");
  policy = await runPolicy(infra, { text: FILE });
});
afterEach(() => policy.close());

async function query<R extends pg.QueryResultRow>(sql: string): Promise<R[]> {
  const client = new pg.Client({ connectionString: infra.adminUrl });
  await client.connect();
  try {
    return (await client.query<R>(sql)).rows;
  } finally {
    await client.end();
  }
}

const principalOf = (id: string, tenant = "acme") =>
  policyV1.Principal.fromPartial({ id, tenant, team: "payments", permissions: ["mcp"], credential: id });
const DEV = principalOf("dev");
const resourceOf = (fields: Partial<policyV1.Resource> = {}) =>
  policyV1.Resource.fromPartial({ group: "data", server: "db", tool: "drop", risk: "HIGH", ...fields });
const unary = () => ({ metadata: policy.metadata, timeoutMs: 10_000, service: "policy" });

async function ask(fields: Partial<policyV1.RequestApprovalRequest> = {}) {
  const { client } = policy;
  const request = { principal: DEV, resource: resourceOf(), arguments: ARGUMENTS, justification: "why", ...fields };
  const answer = await callUnary(client.requestApproval.bind(client), request, unary());
  return { ...answer, approval: answer.approval! };
}

async function say(
  id: string,
  decision: string,
  by: string,
  more: { reason?: string; tenant?: string; permissions?: string[] } = {},
) {
  const { client } = policy;
  const { reason = "", tenant = "acme", permissions = ["mcp"] } = more;
  const word = { id, decision, reason, by: { ...principalOf(by, tenant), permissions } };
  return callUnary(client.decideApproval.bind(client), word, unary());
}

async function get(id: string): Promise<policyV1.Approval> {
  const { client } = policy;
  return (await callUnary(client.getApproval.bind(client), { id }, unary())).approval!;
}

async function list(fields: Partial<policyV1.ListApprovalsRequest> = {}) {
  const { client } = policy;
  const request = { tenant: "", status: "", principal: "", pageSize: 100, cursor: "", ...fields };
  return callUnary(client.listApprovals.bind(client), request, unary());
}

async function mayCall(given: string | undefined = ARGUMENTS, resource = resourceOf()): Promise<policyV1.Decision> {
  const question = { principal: DEV, action: "tools/call", resources: [resource], arguments: given };
  return (await policy.decide(question)).decisions[0]!;
}

describe("a decision on a call", () => {
  test("without arguments says that they matter, by the tool's risk", async () => {
    const { client } = policy;
    const resources = ["", "LOW", "MEDIUM", "HIGH", "CRITICAL"].map((risk) => resourceOf({ risk }));
    const request = { principal: DEV, action: "tools/call", resources, address: "", arguments: undefined };
    const { decisions } = await callUnary(client.decide.bind(client), request, unary());
    expect(decisions.map(({ allow, variesByArguments }) => [allow, variesByArguments])).toEqual([
      [true, false],
      [true, false],
      [true, false],
      [true, true],
      [true, true],
    ]);
  });

  test("with arguments needs an approval of just these, and is another revision when it has one", async () => {
    expect(await mayCall()).toMatchObject({ allow: false, approvalsNeeded: 1 });
    const { approval } = await ask();
    expect(await mayCall()).toMatchObject({ allow: false, approvalsNeeded: 1 });
    const before = (await policy.listPolicies()).revision;
    const { revision } = await say(approval.id, "approve", "ann");
    expect(revision).toBe(before + 1n);
    const decision = await mayCall('{ "n": 1, "card": "4111-1111-1111-1111" }');
    expect(decision).toMatchObject({ allow: true, approvalId: approval.id, policyIds: ["allow-dev"] });
    expect(Number(decision.validUntilMs)).toBeGreaterThan(Date.now() + 3_500_000);
    expect(await mayCall('{"n":2}')).toMatchObject({ allow: false, approvalsNeeded: 1 });
    expect(await mayCall("{")).toMatchObject({ allow: false, reason: expect.stringContaining("not JSON") });
    // What no policy allows is not made better by an approval.
    await policy.putPolicy({ id: "closed", resources: ["db:*"] });
    expect(await mayCall()).toMatchObject({ allow: false, approvalsNeeded: 0, reason: "denied by policy closed" });
  });

  test("rests on what is in the database, also after a restart, until it is taken back", async () => {
    const { approval } = await ask();
    await say(approval.id, "approve", "ann");
    await policy.close();
    policy = await runPolicy(infra, { text: FILE });
    expect(await mayCall()).toMatchObject({ allow: true, approvalId: approval.id });
    await say(approval.id, "revoke", "bob");
    expect(await mayCall()).toMatchObject({ allow: false });
    expect((await get(approval.id)).status).toBe("revoked");
  });

  test("needs more as soon as the file says so, whatever was approved before", async () => {
    const { approval } = await ask();
    await say(approval.id, "approve", "ann");
    await policy.writeFile(FILE.replace("600 }", "600, HIGH: { approvals: 2 } }"));
    await eventually(async () => expect(await mayCall()).toMatchObject({ allow: false, approvalsNeeded: 2 }));
    const again = await ask();
    expect(again).toMatchObject({ created: true, approval: { needed: 2 } });
    expect((await say(again.approval.id, "approve", "ann")).approval?.status).toBe("pending");
    expect((await say(again.approval.id, "approve", "bob")).approval?.status).toBe("approved");
    expect(await mayCall()).toMatchObject({ allow: true });
  });
});

describe("a request", () => {
  test("is one for all that ask at once for the same", async () => {
    const answers = await Promise.all(Array.from({ length: 8 }, () => ask()));
    expect(new Set(answers.map(({ approval }) => approval.id)).size).toBe(1);
    expect(answers.filter(({ created }) => created)).toHaveLength(1);
  });

  test("without a justification gets it later, once", async () => {
    const first = await ask({ justification: "" });
    expect(first).toMatchObject({ created: true, approval: { justificationMissing: true } });
    await expect(say(first.approval.id, "approve", "ann")).rejects.toMatchObject({ code: "failed_precondition" });
    expect(await ask({ justification: "because" })).toMatchObject({
      created: true,
      approval: { id: first.approval.id, justification: "because", justificationMissing: false },
    });
    expect(await ask({ justification: "another" })).toMatchObject({
      created: false,
      approval: { justification: "because" },
    });
  });

  test("keeps the call's arguments sealed, and shows them to who asks for it alone", async () => {
    const { approval } = await ask();
    await say(approval.id, "approve", "ann");
    for (const table of ["approvals", "approval_votes"])
      for (const { text } of await query<{ text: string }>(`SELECT t::text AS text FROM policy.${table} t`)) {
        expect(text).not.toContain(SECRET);
        expect(text).not.toContain(Buffer.from(SECRET).toString("hex"));
      }
    expect((await get(approval.id)).arguments).toBe(ARGUMENTS);
    expect((await list()).approvals[0]).toMatchObject({ id: approval.id, arguments: "" });
  });

  test("is refused where there are too many, where it is too large, and where nobody has to approve", async () => {
    await Promise.all(Array.from({ length: 100 }, (_, n) => ask({ arguments: `{"n":${n}}` })));
    await expect(ask({ arguments: '{"n":100}' })).rejects.toMatchObject({ code: "overloaded" });
    expect((await ask({ arguments: '{"n":99}' })).created).toBe(false);
    expect((await ask({ principal: principalOf("other") })).created).toBe(true);
    const large = `{"a":"${"x".repeat(65_536)}"}`;
    await expect(ask({ arguments: large })).rejects.toMatchObject({ code: "payload_too_large" });
    const low = resourceOf({ risk: "MEDIUM" });
    await expect(ask({ resource: low })).rejects.toMatchObject({ code: "failed_precondition" });
    await expect(ask({ justification: "x".repeat(2_001) })).rejects.toMatchObject({ code: "invalid_argument" });
    // Those that somebody has decided on leave their place.
    const { approvals } = await list({ principal: "dev" });
    await say(approvals[0]!.id, "approve", "ann");
    expect((await ask({ arguments: '{"n":100}' })).created).toBe(true);
  });

  test("is decided by two different others where the tool is CRITICAL", async () => {
    const { approval } = await ask({ resource: resourceOf({ risk: "CRITICAL" }) });
    await expect(say(approval.id, "approve", "dev")).rejects.toMatchObject({ code: "permission_denied" });
    const votes = await Promise.allSettled([1, 2, 3].map(() => say(approval.id, "approve", "ann")));
    expect(votes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    expect((await get(approval.id)).status).toBe("pending");
    expect((await say(approval.id, "approve", "bob")).approval).toMatchObject({
      status: "approved",
      votes: [{ by: "ann" }, { by: "bob" }],
    });
    expect(await mayCall(ARGUMENTS, resourceOf({ risk: "CRITICAL" }))).toMatchObject({ allow: true });
  });

  test("is decided within its tenant, or by whoever has the permission admin", async () => {
    const { approval } = await ask();
    await expect(say(approval.id, "approve", "eve", { tenant: "rival" })).rejects.toMatchObject({ code: "not_found" });
    const admin = { tenant: "rival", permissions: ["admin"] };
    expect((await say(approval.id, "approve", "root", admin)).approval?.status).toBe("approved");
  });

  test("lapses, which is written down", async () => {
    await policy.writeFile(FILE.replace("600 }", "1 }"));
    const { approval } = await eventually(async () => {
      const asked = await ask({ arguments: `{"at":${Date.now()}}` });
      expect(asked.approval.expiresAtMs - asked.approval.requestedAtMs).toBe(1_000n);
      return asked;
    });
    await eventually(async () => {
      const { approvals } = await list({ status: "expired" });
      expect(approvals.map(({ id }) => id)).toContain(approval.id);
    });
    await expect(say(approval.id, "approve", "ann")).rejects.toMatchObject({ code: "failed_precondition" });
    expect((await ask({ arguments: (await get(approval.id)).arguments })).created).toBe(true);
  });

  test("is forgotten long after it has ended, and never while it gives access", async () => {
    const { approval: denied } = await ask();
    await say(denied.id, "deny", "ann", { reason: "no" });
    const { approval: open } = await ask({ arguments: "{}" });
    await query("UPDATE policy.approvals SET changed_at = changed_at - interval '91 days'");
    await eventually(() => expect(get(denied.id)).rejects.toMatchObject({ code: "not_found" }));
    expect((await get(open.id)).status).toBe("pending");
    expect(await query("SELECT * FROM policy.approval_votes")).toEqual([]);
  });
});

describe("lists", () => {
  test("have pages that hold each once, what has changed last first", async () => {
    for (let n = 0; n < 5; n++) await ask({ arguments: `{"n":${n}}` });
    await ask({ principal: principalOf("dev", "rival") });
    const seen: string[] = [];
    let cursor = "";
    do {
      const page = await list({ tenant: "acme", pageSize: 2, cursor });
      seen.push(...page.approvals.map(({ id }) => id));
      cursor = page.nextCursor;
    } while (cursor !== "");
    expect(new Set(seen).size).toBe(5);
    expect(seen).toEqual(seen.toSorted().toReversed());
    await say(seen[4]!, "deny", "ann", { reason: "no" });
    expect((await list({ tenant: "acme" })).approvals[0]?.id).toBe(seen[4]);
    expect((await list({ status: "denied" })).approvals).toHaveLength(1);
  });

  test.each([{ pageSize: 0 }, { pageSize: 501 }, { cursor: "x" }, { cursor: "1.'; DROP TABLE policy.approvals; --" }])(
    "refuse %j",
    async (fields) => {
      await expect(list(fields)).rejects.toMatchObject({ code: "invalid_argument" });
    },
  );
});

test.each(["x", "019a9e1c-5a40-7000-8f2b-3c1d5e7f9a0b"])("there is no approval %s", async (id) => {
  await expect(get(id)).rejects.toMatchObject({ code: "not_found", message: "there is no such approval" });
  await expect(say(id, "approve", "ann")).rejects.toMatchObject({ code: "not_found" });
});
