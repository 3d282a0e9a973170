import { createSealers } from "@tollgate/mcp";
import type { registryV1 } from "@tollgate/contracts";
import { eventually, modernClient } from "@tollgate/testkit";
import { beforeEach, describe, expect, test } from "vitest";
import { demandApprovals } from "./controlled-approvals.ts";
import { principal } from "./controlled-policy.ts";
import { useInstallation } from "./installation.ts";
import { beginSession, cutStreamsAfterEach, postModern } from "./mcp-connections.ts";
import { registryServer, registryTool } from "./sample-catalogue.ts";

const installation = useInstallation({ replicas: 2 });
cutStreamsAfterEach();

const DENIED = -32003;
const CAPABILITIES = "io.modelcontextprotocol/clientCapabilities";
const WHY = { "tollgate/justification": "why" };
const SCHEMA = {
  type: "object",
  properties: { path: { type: "string", pattern: "^/data/" }, slow: { type: "string", pattern: "^(a+)+$" } },
  required: ["path"],
};
const rule = (tool: string, risk: string, fallbacks: { server: string; tool: string }[] = []) => ({
  tool,
  risk,
  fallbacks,
  concurrency: 0,
  callTimeoutMs: 0,
  cachedResultMs: 0,
});
const toolWith = (name: string, inputSchema: unknown) =>
  registryTool(name, { definition: JSON.stringify({ name, inputSchema }) });
const SERVERS: registryV1.Server[] = [
  registryServer({
    id: "one",
    tools: [
      ...["drop", "echo", "read"].map((name) => registryTool(name)),
      toolWith("medium", SCHEMA),
      toolWith("low", SCHEMA),
      toolWith("broken", { $ref: "http://127.0.0.1:1/elsewhere" }),
    ],
    toolRules: [
      rule("drop", "HIGH"),
      rule("medium", "MEDIUM"),
      rule("broken", "MEDIUM"),
      rule("echo", "LOW", [
        { server: "two", tool: "drop" },
        { server: "two", tool: "medium" },
        { server: "two", tool: "read" },
      ]),
    ],
  }),
  registryServer({
    id: "two",
    tools: [registryTool("drop"), toolWith("medium", SCHEMA), registryTool("read")],
    toolRules: [rule("drop", "HIGH"), rule("medium", "MEDIUM")],
  }),
];

beforeEach(async () => {
  const { around } = installation;
  around.policy.tokens.set("approver", principal({ id: "ann", permissions: ["admin"] }));
  around.setServers(SERVERS);
  demandApprovals(around.policy);
  await around.policy.changeTaken();
  for (const replica of [0, 1])
    await eventually(async () => {
      const { last } = await postModern(installation.url("/mcp", replica), "tools/list", {});
      expect(JSON.stringify(last.result)).toContain("two__drop");
    });
});

type Call = { meta?: object; replica?: number; elicitation?: object; token?: string };

async function call(name: string, given: object, more: Call & Record<string, unknown> = {}): Promise<any> {
  const { meta, replica = 0, elicitation, token = "token", ...params } = more;
  const _meta = { [CAPABILITIES]: elicitation === undefined ? {} : { elicitation }, ...meta };
  const sent = { name, arguments: given, ...params, _meta };
  return (await postModern(installation.url("/mcp", replica), "tools/call", sent, { token })).last;
}

async function decide(id: string, word: string, replica = 0): Promise<void> {
  const response = await fetch(installation.url(`/api/v1/approvals/${id}/${word}`, replica), {
    method: "POST",
    headers: { authorization: "Bearer approver", "content-type": "application/json" },
    body: JSON.stringify({ reason: "r" }),
  });
  expect(response.status).toBe(200);
}

const frames = () => installation.runner.calls.map(({ frame }) => JSON.parse(frame));

describe("from MEDIUM on arguments have to fit the tool's schema", () => {
  test("or are refused with the places of the mistakes, and reach no server", async () => {
    const { error } = await call("one__medium", { path: "/etc/hidden" });
    expect(error).toEqual({
      code: -32602,
      message: 'the arguments do not fit the tool\'s input schema: /path must match pattern "^/data/"',
      data: {
        code: "invalid_argument",
        retryable: false,
        errors: [{ path: "/path", message: 'must match pattern "^/data/"' }],
      },
    });
    expect((await call("one__medium", {})).error.code).toBe(-32602);
    expect((await call("one__medium", { path: "/data/a", slow: `${"a".repeat(40_000)}b` })).error.code).toBe(-32602);
    expect(frames()).toEqual([]);
    expect((await call("one__medium", { path: "/data/a", slow: "aaa" })).result).toBeDefined();
    expect((await call("one__low", {})).result).toBeDefined();
  });

  test("and where that cannot be used, nothing passes", async () => {
    const { error } = await call("one__broken", {});
    expect(error).toMatchObject({ code: -32602, message: expect.stringContaining("cannot be used") });
    expect(frames()).toEqual([]);
  });

  test("but whoever may not call the tool learns nothing of its schema", async () => {
    installation.around.policy.allow = () => false;
    await installation.around.policy.changeTaken();
    expect((await call("one__medium", {})).error).toMatchObject({
      code: DENIED,
      message: "one__medium: denied by none",
    });
  });
});

describe("a tool that may answer in another's place", () => {
  const fallbacks = () =>
    installation.runner.calls
      .at(-1)!
      .envelope.fallbacks?.map(({ server, tool, decision }) => [`${server}:${tool}`, decision.approval]);

  test("is none where people have to approve first, or the arguments do not fit", async () => {
    await call("one__echo", { path: "/etc" });
    expect(fallbacks()).toEqual([["two:read", undefined]]);
  });

  test("is one once the same call of it is approved, and says so", async () => {
    const given = { path: "/data/a" };
    const { approvalId } = (await call("two__drop", given, { meta: WHY })).error.data;
    await decide(approvalId, "approve");
    await call("one__echo", given);
    expect(fallbacks()).toEqual([
      ["two:drop", approvalId],
      ["two:medium", undefined],
      ["two:read", undefined],
    ]);
  });
});

describe("a call that waits for approval", () => {
  test("is held, goes on when another replica's API decides, and no server sees what was asked", async () => {
    const elicitation = { form: {}, url: {} };
    const { result } = await call("one__drop", { n: 1 }, { elicitation });
    expect(result).toMatchObject({ resultType: "input_required", requestState: expect.any(String) });
    const { url, elicitationId } = result.inputRequests.approval.params;
    expect(url).toMatch(new RegExp(`/approvals/${elicitationId}$`));
    const inputResponses = {
      justification: { action: "accept", content: { justification: "because" } },
      approval: { action: "accept" },
    };
    const held = call("one__drop", { n: 1 }, { elicitation, requestState: result.requestState, inputResponses });
    const { approvals } = installation.around.policy;
    await eventually(() => expect(approvals.get(elicitationId)?.justification).toBe("because"));
    await decide(elicitationId, "approve", 1);
    expect((await held).result.content).toBeDefined();
    expect(frames()).toHaveLength(1);
    expect(frames()[0].params).toEqual({ name: "drop", arguments: { n: 1 }, _meta: expect.anything() });
    expect(installation.runner.calls[0]!.envelope.facts.decision.approval).toBe(elicitationId);
  });

  test("is not let in when its client has gone meanwhile", async () => {
    const elicitation = { url: {} };
    const { result } = await call("one__drop", { n: 6 }, { elicitation, meta: WHY });
    const { elicitationId } = result.inputRequests.approval.params;
    const leaving = new AbortController();
    const meta = { [CAPABILITIES]: { elicitation } };
    const client = modernClient({ url: installation.url(), token: "token" });
    const params = { name: "one__drop", arguments: { n: 6 }, _meta: meta, requestState: result.requestState };
    const held = client.request("tools/call", params, { signal: leaving.signal });
    const { decided } = installation.around.policy;
    const asked = decided.length;
    await eventually(() => expect(decided.length).toBeGreaterThan(asked));
    leaving.abort();
    await expect(held).rejects.toMatchObject({ name: "AbortError" });
    await decide(elicitationId, "approve");
    // The next one is let in, so the first would have been.
    expect((await call("one__drop", { n: 6 })).result).toBeDefined();
    expect(frames()).toHaveLength(1);
  });

  test("is asked for no form by a client that has none, nor for a page by one that opens none", async () => {
    const keys = async (elicitation: object, n: number) =>
      Object.keys((await call("one__drop", { n }, { elicitation })).result?.inputRequests ?? {});
    expect(await keys({}, 2)).toEqual(["justification"]);
    expect(await keys({ form: {} }, 2)).toEqual(["justification"]);
    expect(await keys({ url: {} }, 2)).toEqual(["approval"]);
    expect((await call("one__drop", { n: 2 })).error).toMatchObject({ code: DENIED });
    // Nothing is left that a form could ask for.
    expect((await call("one__drop", { n: 3 }, { elicitation: {}, meta: WHY })).error).toMatchObject({ code: DENIED });
    expect(frames()).toEqual([]);
  });

  test("is not let in by what a client brings back of another call, of its own making, or of a parked one", async () => {
    const seal = (more: object) => {
      const whose = { tenant: "acme", principal: "dev", server: "one", method: "tools/call", name: "drop" };
      const expiresAt = Date.now() + 60_000;
      return createSealers(installation.serviceKey).state.seal({ ...whose, expiresAt, ...more });
    };
    const runner = installation.runner.name;
    for (const more of [
      { parked: "call-1", runner },
      { state: "own" },
      { approval: "00000000-0000-7000-8000-000000000000" },
    ]) {
      const answer = await call("one__drop", { n: 4 }, { meta: WHY, requestState: seal(more), inputResponses: {} });
      expect(answer.error).toMatchObject({ code: DENIED, data: { status: "pending" } });
    }
    for (const state of [seal({ approval: "a", principal: "other" }), seal({ approval: "a", name: "echo" }), "tg1.x.y"])
      expect((await call("one__drop", { n: 4 }, { requestState: state })).error.code).toBe(-32602);
    expect(frames()).toEqual([]);
    expect(installation.runner.bound).toEqual([]);
  });

  test("is one that a legacy client hears of on its session, whichever replica has decided", async () => {
    const session = await beginSession(installation, { capabilities: { elicitation: { url: {} } } });
    const stream = await session.listen();
    const params = { name: "one__drop", arguments: { n: 5 }, _meta: WHY };
    const { error } = (await session.request("tools/call", params)).last;
    expect(error.code).toBe(-32042);
    const [{ elicitationId }] = error.data.elicitations;
    await decide(elicitationId, "approve", 1);
    await eventually(() =>
      expect(stream.messages).toEqual([
        { jsonrpc: "2.0", method: "notifications/elicitation/complete", params: { elicitationId } },
      ]),
    );
    expect((await session.request("tools/call", params, { replica: 1 })).last.result).toBeDefined();
  });

  test("is no task that goes on: it was decided on when it began", async () => {
    const whose = { tenant: "acme", principal: "dev", server: "one", runner: installation.runner.name };
    const taskId = createSealers(installation.serviceKey).task.seal({ ...whose, task: "task-1", tool: "drop" });
    const _meta = { [CAPABILITIES]: { extensions: { "io.modelcontextprotocol/tasks": {} } } };
    const { last } = await postModern(installation.url(), "tasks/get", { taskId, _meta });
    expect(last.error).toBeUndefined();
    expect(installation.runner.bound).toHaveLength(1);
  });
});
