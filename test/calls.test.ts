import {
  eventually,
  fixtureServer,
  legacyClient,
  modernClient,
  postMcp,
  useInfrastructure,
  useSystem,
} from "@tollgate/testkit";
import { beforeAll, describe, expect, test } from "vitest";

const infra = useInfrastructure();
const system = useSystem(infra, {
  yaml: `
groups:
  - { id: demo, name: Demo }
  - { id: other, name: Other }
mcp_servers:
  - { id: old, group: demo, type: node, command: ${fixtureServer} }
  - { id: new, group: demo, type: node, command: ${fixtureServer}, env: { FIXTURE_ERA: modern } }
  - { id: broken, group: other, type: node, command: ${fixtureServer}, env: { FIXTURE_START: exit } }
  - { id: absent, group: other, type: command, command: /no/such/program }
policies:
  - { name: allow-demo, effect: allow, principals: ["token:caller", "token:other"], actions: ["tools/call"], resources: ["old:*", "new:*", "broken:*"] }
  - { name: no-flood, effect: deny, principals: ["token:other"], actions: ["tools/call"], resources: ["*:flood"] }
`,
});

const at = (path: string, token = system.token) => ({ url: `${system.gatewayUrl}${path}`, token });

async function api(
  path: string,
  init: { method?: string; headers?: Record<string, string> } = {},
): Promise<{ status: number; body: any }> {
  const headers = { authorization: `Bearer ${system.adminToken}`, ...init.headers };
  const response = await fetch(`${system.gatewayUrl}${path}`, { ...init, headers });
  return { status: response.status, body: await response.json() };
}

beforeAll(async () => {
  await eventually(async () => {
    const { body } = await api("/api/v1/servers");
    expect(body).toHaveProperty("items");
    const status = Object.fromEntries(body.items.map((each: any) => [each.id, each.status]));
    expect(status).toEqual({ old: "ready", new: "ready", broken: "unavailable", absent: "unavailable" });
  });
});

describe.each(["old", "new"])("a call to the %s server", (server) => {
  const args = { message: "hi", big: 1, nested: { a: [1.5, null] } };

  test("by a modern client", async () => {
    const { status, last } = await modernClient(at("/mcp")).request(
      "tools/call",
      { name: `${server}__echo`, arguments: args },
      { id: "s-1" },
    );
    expect(status).toBe(200);
    expect(last).toMatchObject({
      jsonrpc: "2.0",
      id: "s-1",
      result: { content: [{ type: "text", text: "hi" }], arguments: args, resultType: "complete" },
    });
  });

  test("by a legacy client", async () => {
    const client = await legacyClient(at(`/mcp/demo/${server}`));
    expect(client.opened.last.result).toMatchObject({ protocolVersion: "2025-11-25", capabilities: { tools: {} } });
    const { last, headers } = await client.request("tools/call", { name: "echo", arguments: args }, { id: 7 });
    expect(headers.get("content-type")).toContain("application/json");
    expect(last).toMatchObject({ id: 7, result: { content: [{ type: "text", text: "hi" }], arguments: args } });
  });

  test("numbers and unknown fields pass as they were written", async () => {
    const odd = '{"message":"m","price":1.0,"big":12345678901234567890,"e":1E5}';
    const meta =
      '"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"x":2.0';
    const body = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"${server}__echo","arguments":${odd},"_meta":{${meta}}}}`;
    const headers = { "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": `${server}__echo` };
    const { last } = await postMcp(at("/mcp"), body, { headers });
    // The fixture parses what it gets; what JavaScript can tell apart has arrived.
    expect(last.result.arguments).toEqual(JSON.parse(odd));
    expect(last.result._meta.received.x).toBe(2);
  });

  test("progress comes before the answer, with the client's own token, on a stream", async () => {
    const request = { name: `${server}__progress`, arguments: { steps: 3 }, _meta: { progressToken: "tok-1" } };
    const { messages, headers } = await modernClient(at("/mcp")).request("tools/call", request, { id: 5 });
    expect(headers.get("content-type")).toContain("text/event-stream");
    expect(messages.slice(0, -1).map((each) => each.params)).toEqual(
      [1, 2, 3].map((progress) => ({ progressToken: "tok-1", progress, total: 3 })),
    );
    expect(messages.at(-1)).toMatchObject({ id: 5, result: { content: [{ text: "done" }] } });
  });

  test("errors of tool and server come through", async () => {
    const client = modernClient(at("/mcp"));
    expect((await client.request("tools/call", { name: `${server}__fail` })).last.result).toMatchObject({
      isError: true,
    });
    expect((await client.request("tools/call", { name: `${server}__error` })).last.error).toEqual({
      code: -32050,
      message: "own error",
      data: { kept: true },
    });
  });

  test("a process that ends during a call: its outcome is unknown, the next call works", async () => {
    const client = modernClient(at("/mcp"));
    const { last } = await client.request("tools/call", { name: `${server}__crash` });
    expect(last.error).toMatchObject({ code: -32009, data: { code: "outcome_unknown" } });
    const { items } = await eventually(async () => {
      const { body } = await api(`/api/v1/audit/events?server=${server}&tool=crash`);
      expect(body.items).toHaveLength(1);
      return body;
    });
    expect(items[0]).toMatchObject({ outcome: "unknown", decision: { allow: true, policies: ["allow-demo"] } });
    await eventually(async () => {
      const again = await client.request("tools/call", { name: `${server}__echo`, arguments: { message: "back" } });
      expect(again.last.result.content[0].text).toBe("back");
    });
  });

  test("garbage on standard output disturbs nobody", async () => {
    const { last } = await modernClient(at("/mcp")).request("tools/call", { name: `${server}__garbage` });
    expect(last.result.content[0].text).toBe("after the garbage");
  });
});

describe("cancellation", () => {
  const cancelledEvent = (id: string) =>
    eventually(async () => {
      const { body } = await api("/api/v1/audit/events?tool=sleep&outcome=cancelled");
      expect(body.items.some((event: any) => event.client === id || event.protocol === id)).toBe(true);
    });

  test("a legacy client's notification ends the call", async () => {
    const client = await legacyClient(at("/mcp"));
    const slow = client.request("tools/call", { name: "old__sleep", arguments: { ms: 20_000 } }, { id: "slow" });
    await eventually(async () => {
      await client.notify("notifications/cancelled", { requestId: "slow" });
      const { body } = await api("/api/v1/audit/events?tool=sleep&outcome=cancelled");
      expect(body.items).toHaveLength(1);
    });
    expect((await slow).last).toMatchObject({ id: "slow", error: { data: { code: "cancelled" } } });
  });

  test("a modern client closes its response", async () => {
    const leaving = new AbortController();
    const call = modernClient(at("/mcp")).request(
      "tools/call",
      { name: "new__sleep", arguments: { ms: 20_000 } },
      { signal: leaving.signal },
    );
    setTimeout(() => leaving.abort(), 300);
    await expect(call).rejects.toThrow("aborted");
    await cancelledEvent("2026-07-28");
  });
});

test("lists: names, definitions as they are, what is missing and why", async () => {
  const all = (await modernClient(at("/mcp")).request("tools/list")).last.result;
  expect(all).toMatchObject({ resultType: "complete", ttlMs: 0, cacheScope: "private" });
  expect(all.tools.map((tool: any) => tool.name)).toContain("old__echo");
  expect(all.tools.find((tool: any) => tool.name === "new__echo")["x-unknown"]).toEqual({ kept: 1 });
  const missing = all._meta["tollgate/unavailable"];
  expect(missing.find((each: any) => each.server === "broken").reason).toContain("fixture: cannot open its database");
  expect(missing.find((each: any) => each.server === "absent").reason).toContain("/no/such/program");
  const one = (await (await legacyClient(at("/mcp/demo/old"))).request("tools/list")).last.result;
  expect(one.tools.map((tool: any) => tool.name)).toContain("echo");
});

test("a caller sees and reaches only what its policies allow, and each refusal is an event", async () => {
  const other = modernClient(at("/mcp", `${system.token}_other`));
  const { tools } = (await other.request("tools/list")).last.result;
  expect(tools.map((tool: any) => tool.name)).not.toContain("old__flood");
  expect(tools.map((tool: any) => tool.name)).toContain("old__echo");
  const { last } = await other.request("tools/call", { name: "old__flood", arguments: { bytes: 1 } });
  expect(last.error).toMatchObject({ code: -32003, message: expect.stringContaining("no-flood") });
  await eventually(async () => {
    const { body } = await api("/api/v1/audit/events?kind=refusal&tenant=rival");
    expect(body.items[0]).toMatchObject({
      code: "denied",
      tool: "flood",
      principal: "other",
      decision: { allow: false, policies: ["no-flood"] },
    });
  });
});

test("tenants do not share a process, and a server sees nothing of the gateway's environment", async () => {
  const read = async (token?: string) =>
    JSON.parse(
      (await modernClient(at("/mcp", token)).request("tools/call", { name: "old__env" })).last.result.content[0].text,
    );
  const [mine, theirs] = [await read(), await read(`${system.token}_other`)];
  expect(mine.pid).not.toBe(theirs.pid);
  // The mark by which its runner finds all processes of a server, and nothing else.
  expect(Object.keys(mine.env).filter((name) => name.startsWith("TOLLGATE"))).toEqual(["TOLLGATE_PROCESS"]);
});

test("the call is in the audit and on the bill", async () => {
  const client = modernClient(at("/mcp/demo/new"));
  const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  await client.request("tools/call", { name: "sleep", arguments: { ms: 60 }, _meta: { traceparent } });
  const event = await eventually(async () => {
    const { body } = await api("/api/v1/audit/events?server=new&tool=sleep&outcome=ok");
    expect(body.items).toHaveLength(1);
    return body.items[0];
  });
  expect(event).toMatchObject({
    tenant: "acme",
    team: "research",
    principal: "caller",
    group: "demo",
    method: "tools/call",
    traceparent,
  });
  expect(event.durationMs).toBeGreaterThanOrEqual(55);
  const usage = await eventually(async () => {
    const { body } = await api("/api/v1/metering/usage?groupBy=server,tool&tenant=acme");
    const row = body.items.find((each: any) => each.key.server === "new" && each.key.tool === "sleep");
    expect(row?.calls).toBeGreaterThanOrEqual(1);
    return row;
  });
  expect(Number(usage.cost)).toBeGreaterThan(0);
  expect((await api("/metering/usage")).body.currency).toBe("USD");
});

describe("what a person can get wrong is said", () => {
  const ping = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "ping" });
  const published = async () => {
    const text = await (await fetch(`${system.gatewayUrl}/metrics`)).text();
    return text.match(/^tollgate_gateway_calls_total.*$/gm)?.join("\n") ?? "";
  };

  test.each([
    ["no token", undefined, "no token was sent"],
    ["a wrong token", "tg_wrong", "not known"],
    ["a token with blanks", "a b", "no bearer token"],
  ])("%s", async (_name, token, reason) => {
    const { status, last, headers } = await postMcp({ url: `${system.gatewayUrl}/mcp`, token }, ping);
    expect(status).toBe(401);
    expect(last.error.message).toContain(reason);
    // That no token was sent is no error of a token (RFC 6750, section 3.1).
    expect(headers.get("www-authenticate")).toMatch(token === undefined ? /^Bearer$/ : /^Bearer error="invalid_token"/);
  });

  test.each([
    ["malformed JSON", "{", 400, -32700, "not JSON"],
    ["a batch", "[]", 400, -32600, "batches"],
    ["no JSON-RPC", '{"id":1,"method":"ping"}', 400, -32600, "jsonrpc"],
    ["params of a wrong type", '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":7}', 400, -32602, "params"],
    ["no session", ping, 400, -32600, "initialize"],
  ])("%s", async (_name, body, status, code, reason) => {
    const before = await published();
    const reply = await postMcp(at("/mcp"), body);
    expect(reply.status).toBe(status);
    expect(reply.last.error).toMatchObject({ code, message: expect.stringContaining(reason) });
    expect(await published()).toBe(before);
  });

  test.each([
    ["/mcp/nowhere", 'no group "nowhere"'],
    ["/mcp/demo/nowhere", 'no server "nowhere"'],
    ["/mcp/other/old", 'no server "old" in group "other"'],
  ])("%s", async (path, reason) => {
    const { status, last } = await modernClient(at(path)).request("tools/list");
    expect(status).toBe(404);
    expect(last.error.message).toContain(reason);
  });

  test("unknown tools, wrong arguments, other methods", async () => {
    const client = modernClient(at("/mcp"));
    expect((await client.request("tools/call", { name: "old__nothing" })).last.error).toMatchObject({
      code: -32602,
      message: "unknown tool: old__nothing",
    });
    expect((await client.request("tools/call", { name: "echo" })).last.error.message).toContain("unknown tool: echo");
    expect((await client.request("tools/call", { name: "old__echo", arguments: [1] })).last.error.code).toBe(-32602);
    expect((await client.request("tools/list", { cursor: "forged" })).last.error.code).toBe(-32602);
    const unknown = await client.request("resources/nothing");
    expect([unknown.status, unknown.last.error.code]).toEqual([404, -32601]);
    const broken = await client.request("tools/call", { name: "broken__echo" });
    expect(broken.last.error.message).toMatch(/unknown tool: broken__echo|unavailable/);
  });

  test("headers of the modern revision have to agree with the body", async () => {
    const meta = {
      "io.modelcontextprotocol/protocolVersion": "2026-07-28",
      "io.modelcontextprotocol/clientCapabilities": {},
    };
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list", params: { _meta: meta } });
    const headers = { "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call" };
    const wrong = await postMcp(at("/mcp"), body, { headers });
    expect([wrong.status, wrong.last.error.code]).toEqual([400, -32020]);
    const futureHeaders = { "mcp-protocol-version": "2027-01-01", "mcp-method": "tools/list" };
    const future = await postMcp(at("/mcp"), body.replace("2026-07-28", "2027-01-01"), { headers: futureHeaders });
    expect([future.status, future.last.error]).toEqual([
      400,
      expect.objectContaining({ code: -32022, data: { supported: ["2026-07-28"], requested: "2027-01-01" } }),
    ]);
    const bare = await postMcp(at("/mcp"), '{"jsonrpc":"2.0","id":1,"method":"tools/list"}', { headers });
    expect([bare.status, bare.last.error.code]).toEqual([400, -32602]);
  });

  test("bodies and headers of HTTP", async () => {
    const url = `${system.gatewayUrl}/mcp`;
    const authorization = `Bearer ${system.token}`;
    const post = (headers: Record<string, string>, body = ping) =>
      fetch(url, { method: "POST", headers: { authorization, ...headers }, body });
    const both = "application/json, text/event-stream";
    expect((await post({ accept: both, "content-type": "text/plain" })).status).toBe(415);
    expect((await post({ accept: "application/json", "content-type": "application/json" })).status).toBe(406);
    expect(
      (await post({ accept: both, "content-type": "application/json", origin: "https://evil.example" })).status,
    ).toBe(403);
    expect(
      (await post({ accept: both, "content-type": "application/json" }, `"${"x".repeat(5 * 1024 * 1024)}"`)).status,
    ).toBe(413);
    expect((await fetch(url, { headers: { authorization, accept: "text/event-stream" } })).status).toBe(405);
    const { session } = await legacyClient(at("/mcp"));
    const stranger = { authorization: `Bearer ${system.token}_other`, "mcp-session-id": session };
    expect((await fetch(url, { method: "DELETE", headers: stranger })).status).toBe(404);
    const own = { authorization, "mcp-session-id": session };
    expect((await fetch(url, { method: "DELETE", headers: own })).status).toBe(200);
    expect((await fetch(url, { method: "DELETE", headers: own })).status).toBe(404);
  });

  test("the management API: problems with a code", async () => {
    expect(await api("/api/v1/servers/nothing")).toMatchObject({
      status: 404,
      body: { code: "not_found", detail: expect.stringContaining("nothing") },
    });
    expect(await api("/api/v1/audit/events?limit=0")).toMatchObject({
      status: 400,
      body: { code: "invalid_argument" },
    });
    expect(await api("/api/v1/audit/events?cursor=forged")).toMatchObject({
      status: 400,
      body: { code: "invalid_argument" },
    });
    expect(await api("/api/v1/servers", { headers: { authorization: `Bearer ${system.token}` } })).toMatchObject({
      status: 403,
      body: { code: "permission_denied" },
    });
    const { body } = await api("/api/v1/openapi.json");
    expect(body.openapi).toBe("3.1.0");
    expect(Object.keys(body.paths)).toEqual(
      expect.arrayContaining(["/api/v1/servers", "/api/v1/audit/events", "/api/v1/metering/usage", "/metering/usage"]),
    );
  });
});

test("every service answers for its health and metrics", async () => {
  for (const url of Object.values(system.httpUrls)) {
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    await eventually(async () => expect((await fetch(`${url}/readyz`)).status).toBe(200));
    expect(await (await fetch(`${url}/metrics`)).text()).toContain("tollgate_");
  }
});

test("no secret is in any service's log", () => {
  for (const service of ["gateway", "policy", "registry", "runner", "audit", "metering"] as const) {
    expect(system.output(service)).not.toContain(system.token);
    expect(system.output(service)).not.toContain(system.adminToken);
    expect(system.output(service)).not.toContain(infra.serviceKey);
  }
});
