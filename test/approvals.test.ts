import {
  eventually,
  fixtureServer,
  legacyClient,
  modernClient,
  openPeer,
  postMcp,
  useInfrastructure,
  useSystem,
} from "@tollgate/testkit";
import { beforeAll, describe, expect, test } from "vitest";

// Calls that people have to approve of, from the client to the audit, with all services.

const infra = useInfrastructure();
const yamlWith = (levels: string) => `
groups: [{ id: demo }]
mcp_servers:
  - id: fixture
    group: demo
    type: node
    command: ${fixtureServer}
    tools: { tally: { risk: HIGH }, answers: { risk: CRITICAL }, echo: { fallback: [{ server: other, tool: tally }] } }
  - { id: other, group: demo, type: node, command: ${fixtureServer}, risk: HIGH }
policies:
  - { name: callers, effect: allow, principals: ["*"], actions: ["*"], resources: ["*"] }
  - name: approvers
    effect: allow
    principals: ["token:ann", "token:bob", "token:eve"]
    actions: ["admin/approvals/read", "admin/approvals/decide"]
    resources: ["*"]
risk_levels: { ${levels} }
`;
const system = useSystem(infra, {
  yaml: yamlWith("approval_timeout: 3600"),
  tenants: ["eve"],
  colleagues: ["ann", "bob"],
});

const ADMIN = () => system.adminToken;
const ANN = () => system.tokenOf("ann");
const BOB = () => system.tokenOf("bob");
const META = "io.modelcontextprotocol/clientCapabilities";
const DENIED = -32003;
const URL_NEEDED = -32042;

interface Answer {
  readonly status: number;
  readonly body: any;
}

async function api(method: string, path: string, options: { token?: string; body?: object } = {}): Promise<Answer> {
  const { token = ADMIN(), body } = options;
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const init = body === undefined ? { headers: { authorization: headers.authorization } } : { headers };
  const response = await fetch(`${system.gatewayUrl}/api/v1/approvals${path}`, {
    method,
    ...init,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: await response.json() };
}

const say = (id: string, word: "approve" | "deny" | "revoke", token: string, reason = "") =>
  api("POST", `/${id}/${word}`, { token, body: { reason } });

/** A client that can do nothing but say why. */
async function call(tool: string, callArguments: object, { why = "", token = system.token } = {}): Promise<any> {
  const client = modernClient({ url: `${system.gatewayUrl}/mcp`, token });
  const _meta = why === "" ? {} : { "tollgate/justification": why };
  return (await client.request("tools/call", { name: `fixture__${tool}`, arguments: callArguments, _meta })).last;
}

async function events(kind: string, filter: object = {}): Promise<any[]> {
  const query = new URLSearchParams({ kind, limit: "500" });
  const headers = { authorization: `Bearer ${ADMIN()}` };
  const response = await fetch(`${system.gatewayUrl}/api/v1/audit/events?${query.toString()}`, { headers });
  const { items } = (await response.json()) as { items: any[] };
  return items.filter((event) => Object.entries(filter).every(([key, value]) => event[key] === value));
}

beforeAll(async () => {
  await eventually(async () => {
    const echoed = await call("echo", { message: "hi" });
    expect(echoed.result?.content[0].text).toBe("hi");
  });
});

describe("a HIGH call", () => {
  test("is refused with how to go on, runs once somebody else approves, and its event names the approval", async () => {
    const { error } = await call("tally", { n: 1 });
    expect(error).toMatchObject({ code: DENIED, data: { status: "pending", needed: 1 } });
    expect(error.data.how).toContain("tollgate/justification");
    const id = error.data.approvalId as string;
    expect(error.data.url).toMatch(new RegExp(`/approvals/${id}$`));
    // Nobody approves of what nobody has justified.
    expect(await say(id, "approve", ANN())).toMatchObject({ status: 409, body: { code: "failed_precondition" } });
    expect((await call("tally", { n: 1 }, { why: "the numbers are wrong" })).error.data).toMatchObject({
      approvalId: id,
      how: expect.not.stringContaining("justification"),
    });

    const { body: open } = await api("GET", `/${id}`, { token: ANN() });
    expect(open).toMatchObject({
      principal: "caller",
      server: "fixture",
      tool: "tally",
      risk: "HIGH",
      arguments: { n: 1 },
      justification: "the numbers are wrong",
    });
    expect(await say(id, "approve", ANN(), "fine")).toMatchObject({ status: 200, body: { status: "approved" } });
    // The order of the keys is nobody's business.
    expect((await call("tally", { n: 1 })).result.content[0].text).toContain("tally");
    await eventually(async () => {
      const [event] = await events("call", { tool: "tally" });
      expect(event).toMatchObject({ risk: "HIGH", decision: { approval: id } });
      expect(event.decision.reason).toMatch(/approved by ann, until 20/);
      const changes = (await events("approval", { approval: id })).map(({ change, by }) => [change, by]);
      expect(changes).toEqual([
        ["approved", "ann"],
        ["requested", undefined],
        ["requested", undefined],
      ]);
    });
  });

  test("with other arguments, of another caller or of another tool needs another approval", async () => {
    const first = (await call("tally", { n: 2 }, { why: "why" })).error.data.approvalId;
    await say(first, "approve", ANN());
    expect((await call("tally", { n: 2 })).result).toBeDefined();
    for (const changed of [{ n: 3 }, { n: 2, m: 1 }, { n: "2" }, {}]) {
      const { error } = await call("tally", changed, { why: "why" });
      expect(error).toMatchObject({ code: DENIED, data: { status: "pending" } });
      expect(error.data.approvalId).not.toBe(first);
    }
    expect((await call("tally", { n: 2 }, { token: `${system.token}_other` })).error.code).toBe(DENIED);
    const client = modernClient({ url: `${system.gatewayUrl}/mcp`, token: system.token });
    const other = await client.request("tools/call", { name: "other__tally", arguments: { n: 2 } });
    expect(other.last.error.code).toBe(DENIED);
  });

  test("whose arguments could be read in two ways is refused", async () => {
    const meta = { "io.modelcontextprotocol/protocolVersion": "2026-07-28", [META]: {} };
    const params = `{"name":"fixture__tally","arguments":{"n":2,"n":9},"_meta":${JSON.stringify(meta)}}`;
    const headers = { "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "fixture__tally" };
    const body = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":${params}}`;
    const reply = await postMcp({ url: `${system.gatewayUrl}/mcp`, token: system.token }, body, { headers });
    expect(reply.last.error).toMatchObject({
      code: -32602,
      message: expect.stringContaining('"n" is given more than once'),
    });
  });

  test("stays denied for whoever asks again, with who and why", async () => {
    const { approvalId } = (await call("tally", { n: 4 }, { why: "why" })).error.data;
    expect(await say(approvalId, "deny", BOB())).toMatchObject({ status: 400 });
    expect(await say(approvalId, "deny", BOB(), "not today")).toMatchObject({ body: { status: "denied" } });
    for (let i = 0; i < 2; i++)
      expect((await call("tally", { n: 4 }, { why: "please" })).error).toMatchObject({
        code: DENIED,
        message: "fixture__tally: denied by bob: not today",
      });
    expect(await say(approvalId, "approve", ANN())).toMatchObject({ status: 409 });
  });

  test("is not let in any more from when its approval was taken back", async () => {
    const { approvalId } = (await call("tally", { n: 5 }, { why: "why" })).error.data;
    await say(approvalId, "approve", ANN());
    expect((await call("tally", { n: 5 })).result).toBeDefined();
    expect(await say(approvalId, "revoke", BOB(), "enough")).toMatchObject({ body: { status: "revoked" } });
    expect((await call("tally", { n: 5 }, { why: "why" })).error.data.approvalId).not.toBe(approvalId);
  });

  test("is not approved by whoever wants it, nor by whoever may not decide", async () => {
    const asAdmin = { token: ADMIN(), why: "my own" };
    const { approvalId } = (await call("tally", { n: 6 }, asAdmin)).error.data;
    expect(await say(approvalId, "approve", ADMIN())).toMatchObject({ status: 403 });
    expect(await say(approvalId, "approve", `${system.token}_other`)).toMatchObject({ status: 403 });
    expect((await call("tally", { n: 6 }, asAdmin)).error.code).toBe(DENIED);
    await say(approvalId, "approve", BOB());
    expect((await call("tally", { n: 6 }, asAdmin)).result).toBeDefined();
  });

  test("may be asked for beforehand, and is seen by its caller and by approvers only", async () => {
    const body = { server: "fixture", tool: "tally", arguments: { n: 7 }, justification: "tonight's work" };
    const asked = await api("POST", "", { token: system.token, body });
    expect(asked).toMatchObject({ status: 201, body: { status: "pending", principal: "caller", arguments: { n: 7 } } });
    const { id } = asked.body;
    expect((await api("POST", "", { token: system.token, body })).body.id).toBe(id);
    expect((await api("GET", `/${id}`, { token: system.token })).status).toBe(200);
    expect((await api("GET", `/${id}`, { token: `${system.token}_other` })).status).toBe(404);
    const ids = async (token: string, query: string) =>
      (await api("GET", query, { token })).body.items.map((each: { id: string }) => each.id);
    expect(await ids(ANN(), "?status=pending")).toContain(id);
    expect(await ids(system.token, "")).toContain(id);
    expect(await ids(`${system.token}_other`, "?tenant=acme&principal=caller")).not.toContain(id);
    await say(id, "approve", ANN());
    expect((await call("tally", { n: 7 })).result).toBeDefined();
    expect(await api("POST", "", { token: system.token, body })).toMatchObject({ status: 409 });
    const low = { server: "fixture", tool: "echo", arguments: {} };
    expect(await api("POST", "", { token: system.token, body: low })).toMatchObject({ status: 409 });
  });

  test("is nothing that another tenant's approver knows of", async () => {
    const eve = system.tokenOf("eve");
    const { approvalId } = (await call("tally", { n: 8 }, { why: "why" })).error.data;
    expect(await say(approvalId, "approve", eve)).toMatchObject({ status: 404 });
    expect(await api("GET", `/${approvalId}`, { token: eve })).toMatchObject({ status: 404 });
    expect((await api("GET", "?tenant=acme", { token: eve })).body.items).toEqual([]);
    // The permission admin is for all of them.
    const rival = { token: `${system.token}_other`, why: "why" };
    const theirs = (await call("tally", { n: 8 }, rival)).error.data.approvalId;
    expect(await say(theirs, "approve", ANN())).toMatchObject({ status: 404 });
    expect(await say(theirs, "approve", ADMIN())).toMatchObject({ body: { status: "approved" } });
  });

  test("pages of the inbox hold each request once", async () => {
    const seen: string[] = [];
    let cursor = "";
    do {
      const { body } = await api("GET", `?limit=2${cursor && `&cursor=${cursor}`}`);
      seen.push(...body.items.map((each: { id: string }) => each.id));
      cursor = body.nextCursor ?? "";
    } while (cursor !== "");
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen.length).toBeGreaterThan(5);
  });
});

test("a CRITICAL call needs two others, ends by itself, and is an alert when asked for and when let in", async () => {
  const { approvalId } = (await call("answers", { n: 1 }, { why: "incident 7" })).error.data;
  expect(await say(approvalId, "approve", ANN())).toMatchObject({ body: { status: "pending", needed: 2 } });
  expect(await say(approvalId, "approve", ANN())).toMatchObject({ status: 409, body: { code: "already_exists" } });
  expect((await call("answers", { n: 1 })).error.code).toBe(DENIED);
  const { body } = await say(approvalId, "approve", BOB());
  expect(body.status).toBe("approved");
  const left = Date.parse(body.expiresAt) - Date.parse(body.changedAt);
  expect(left).toBe(900_000);
  expect((await call("answers", { n: 1 })).result).toBeDefined();
  await eventually(async () => {
    const reasons = (await events("alert", { approval: approvalId })).map(({ reason }) => reason as string);
    expect(reasons).toEqual([
      expect.stringMatching(/^let in: .*approved by ann, bob/),
      expect.stringMatching(/^asked for: incident 7/),
    ]);
  });
});

describe("each kind of client is told as it can be told", () => {
  test("2026-07-28: asked why and for the page, held, and let in once it is approved", async () => {
    const client = modernClient({ url: `${system.gatewayUrl}/mcp`, token: system.token });
    const request = async (more: object) => {
      const _meta = { [META]: { elicitation: { form: {}, url: {} } } };
      const params = { name: "fixture__tally", arguments: { n: 20 }, _meta, ...more };
      return (await client.request("tools/call", params)).last.result;
    };
    const first = await request({});
    expect(first).toMatchObject({
      resultType: "input_required",
      inputRequests: {
        justification: { method: "elicitation/create", params: { mode: "form" } },
        approval: { method: "elicitation/create", params: { mode: "url" } },
      },
    });
    const id = first.inputRequests.approval.params.elicitationId;
    const { requestState } = first;
    const content = { justification: "a form says why" };
    const inputResponses = { justification: { action: "accept", content }, approval: { action: "accept" } };
    const held = request({ requestState, inputResponses });
    await eventually(async () => {
      const { body } = await api("GET", `/${id}`);
      expect(body.justification).toBe("a form says why");
    });
    await say(id, "approve", ANN());
    const result = await held;
    expect(result.content[0].text).toContain("tally");
  });

  test("2026-07-28: a state of one call does not open another, and who declines is told in words", async () => {
    const client = modernClient({ url: `${system.gatewayUrl}/mcp`, token: system.token });
    const _meta = { [META]: { elicitation: { url: {} } } };
    const params = { name: "fixture__tally", arguments: { n: 21 }, _meta };
    const { requestState } = (await client.request("tools/call", params)).last.result;
    const elsewhere = { ...params, name: "fixture__answers", requestState };
    expect((await client.request("tools/call", elsewhere)).last.error.code).toBe(-32602);
    const inputResponses = { approval: { action: "decline" } };
    const declined = await client.request("tools/call", { ...params, requestState, inputResponses });
    expect(declined.last.error).toMatchObject({ code: DENIED, data: { status: "pending" } });
    const changed = { ...params, arguments: { n: 22 }, requestState };
    expect((await client.request("tools/call", changed)).last.result.requestState).not.toBe(requestState);
  });

  test("2025-11-25 with url elicitation: -32042, and a notification when it is decided", async () => {
    const peer = await openPeer({
      revision: "2025-11-25",
      to: { url: `${system.gatewayUrl}/mcp`, token: system.token },
      capabilities: { elicitation: { url: {} } },
    });
    try {
      const params = { name: "fixture__tally", arguments: { n: 23 }, _meta: { "tollgate/justification": "why" } };
      const { error } = await peer.request("tools/call", params).catch((thrown: unknown) => thrown as any);
      expect(error).toMatchObject({ code: URL_NEEDED, data: { elicitations: [{ mode: "url" }] } });
      const [{ elicitationId }] = error.data.elicitations;
      await say(elicitationId, "approve", ANN());
      await eventually(() => {
        const notes = peer.received.filter(({ message }) => message.method === "notifications/elicitation/complete");
        expect(notes.map(({ message }) => message.params)).toEqual([{ elicitationId }]);
      });
      expect((await peer.request("tools/call", params)).result).toBeDefined();
    } finally {
      await peer.close();
    }
  });

  test("2025-11-25 without: an error in words", async () => {
    const client = await legacyClient({ url: `${system.gatewayUrl}/mcp`, token: system.token });
    const params = { name: "fixture__tally", arguments: { n: 24 }, _meta: { "tollgate/justification": "why" } };
    const { error } = (await client.request("tools/call", params)).last;
    expect(error).toMatchObject({ code: DENIED, message: expect.stringContaining("Send the same call again") });
    await say(error.data.approvalId, "approve", ANN());
    expect((await client.request("tools/call", params)).last.result).toBeDefined();
  });
});

test("times are over by themselves, of requests and of access, and the audit has it once", async () => {
  const short = "approval_timeout: 2, HIGH: { access_seconds: 2 }";
  await system.configure(yamlWith(short));
  // What is asked for now lapses in seconds; until the file is taken, in an hour.
  let n = 100;
  const { lapsing } = await eventually(async () => {
    const { body } = await api("POST", "", {
      token: system.token,
      body: { server: "fixture", tool: "tally", arguments: { n: n++ }, justification: "why" },
    });
    expect(Date.parse(body.expiresAt) - Date.parse(body.requestedAt)).toBe(2_000);
    return { lapsing: body.id as string };
  });
  const { approvalId } = (await call("tally", { n: 50 }, { why: "why" })).error.data;
  await say(approvalId, "approve", ANN());
  await eventually(async () => {
    const { error } = await call("tally", { n: 50 }, { why: "why" });
    expect(error?.data.approvalId).toBeDefined();
    expect(error.data.approvalId).not.toBe(approvalId);
  });
  for (const id of [lapsing, approvalId]) {
    await eventually(
      async () => {
        expect((await api("GET", `/${id}`)).body.status).toBe("expired");
        expect(await events("approval", { approval: id, change: "expired" })).toHaveLength(1);
      },
      { timeoutMs: 20_000 },
    );
  }
  expect(await say(lapsing, "approve", ANN())).toMatchObject({ status: 409 });
}, 40_000);

test("the page says nothing of any approval to whoever has no token", async () => {
  const { approvalId } = (await call("answers", { secret: "hunter2" }, { why: "why" })).error.data;
  const response = await fetch(`${system.gatewayUrl}/approvals/${approvalId}`);
  expect(response.status).toBe(200);
  expect(response.headers.get("content-security-policy")).toContain("default-src 'none'");
  expect(await response.text()).not.toMatch(/hunter2|answers|caller/);
  expect((await fetch(`${system.gatewayUrl}/approvals/none`)).status).toBe(404);
  expect((await fetch(`${system.gatewayUrl}/api/v1/approvals/${approvalId}`)).status).toBe(401);
});
