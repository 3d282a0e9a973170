import { once } from "node:events";
import { mkdtempSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createAuthority,
  eventually,
  fixtureServer,
  type TestCertificate,
  useInfrastructure,
  useSystem,
} from "@tollgate/testkit";
import { afterAll, describe, expect, test } from "vitest";

/** The gateway's edge with all that is behind it: TLS, client certificates, addresses, actions of administration, sessions. */
const folder = mkdtempSync(join(tmpdir(), "tollgate-edge-"));
const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const authority = await createAuthority();
const serving = await authority.server();
const bot = await authority.client({ commonName: "bot", uris: ["spiffe://acme/bot"] });
const unknown = await authority.client({ commonName: "somebody" });
afterAll(() => rm(folder, { recursive: true }));

const infra = useInfrastructure();
const system = useSystem(infra, {
  // Continues control_plane.auth, which begins with the tokens.
  yaml: `    agents: [{ name: bot, tenant: acme, team: robots }]
    certificates: [{ name: bot-host, alternative_name: "URI:spiffe://acme/bot", agent: bot }]
groups: [{ id: demo }]
mcp_servers: [{ id: everything, group: demo, type: node, command: ${fixtureServer} }]
policies:
  - { name: robots, effect: allow, principals: ["agent:bot"], actions: ["*"], resources: ["everything:echo"] }
  - { name: inside, effect: allow, principals: ["token:caller"], actions: ["*"], resources: ["*"], conditions: { network: [10.0.0.0/8] } }
  - { name: auditors, effect: allow, principals: ["token:caller"], actions: [admin/audit/read], resources: ["*"] }
  - { name: no-restarts, effect: deny, principals: ["token:admin"], actions: [admin/servers/write], resources: ["*"] }
`,
  env: {
    gateway: {
      TOLLGATE_TLS_CERT_FILE: file("cert.pem", serving.cert),
      TOLLGATE_TLS_KEY_FILE: file("key.pem", serving.key),
      TOLLGATE_TLS_CLIENT_CA_FILE: file("ca.pem", authority.cert),
      TOLLGATE_TLS_CLIENT_CERTIFICATES: "optional",
      TOLLGATE_TRUSTED_PROXIES: "127.0.0.1/32",
    },
  },
});

interface Asked {
  readonly method?: string;
  readonly token?: string;
  readonly client?: TestCertificate;
  readonly headers?: Record<string, string>;
  readonly body?: object;
}

async function ask(path: string, { method = "GET", token, client, headers, body }: Asked) {
  const asked = httpsRequest(`${system.gatewayUrl.replace("http:", "https:")}${path}`, {
    method,
    agent: false,
    ca: authority.cert,
    ...(client === undefined ? {} : { cert: client.cert, key: client.key }),
    headers: {
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      accept: "application/json, text/event-stream",
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
  });
  asked.end(body === undefined ? undefined : JSON.stringify(body));
  const [response] = (await once(asked, "response")) as [IncomingMessage];
  const text = Buffer.concat((await response.toArray()) as Buffer[]).toString("utf8");
  const answer: any = text === "" ? undefined : JSON.parse(text);
  return { status: response.statusCode, headers: response.headers, answer };
}

const META = {
  "io.modelcontextprotocol/protocolVersion": "2026-07-28",
  "io.modelcontextprotocol/clientCapabilities": {},
};
function rpc(method: string, params: Record<string, unknown>, asked: Asked) {
  const name = params["name"];
  const headers = {
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": method,
    ...(typeof name === "string" ? { "mcp-name": name } : {}),
    ...asked.headers,
  };
  const body = { jsonrpc: "2.0", id: 1, method, params: { ...params, _meta: META } };
  return ask("/mcp", { ...asked, method: "POST", headers, body });
}
const echo = (asked: Asked) => rpc("tools/call", { name: "everything__echo", arguments: { message: "hi" } }, asked);
const api = (method: string, path: string, asked: Asked = {}) =>
  ask(`/api/v1${path}`, { method, token: system.adminToken, ...asked });

test("a certificate stands for its agent, which sees and calls what policies allow it, and no longer than they do", async () => {
  await eventually(async () => expect((await echo({ client: bot })).answer.result).toBeDefined());
  const { answer } = await rpc("tools/list", {}, { client: bot });
  expect(answer.result.tools.map(({ name }: { name: string }) => name)).toEqual(["everything__echo"]);
  expect((await echo({ client: unknown })).status).toBe(401);
  expect((await echo({})).status).toBe(401);
  await eventually(async () => {
    const { items } = (await api("GET", "/audit/events?kind=call&limit=1")).answer;
    expect(items[0]).toMatchObject({
      principal: "agent:bot",
      tenant: "acme",
      team: "robots",
      credential: "certificate:bot-host",
    });
  });
  const { status, answer: taken } = await api("PUT", "/principals/agent:bot?tenant=acme", {
    body: { team: "robots", disabled: true },
  });
  expect([status, taken]).toMatchObject([200, { disabled: true }]);
  expect((await echo({ client: bot })).status).toBe(401);
});

test("a policy's network is that of the client, as a trusted proxy says it", async () => {
  const from = (address: string) => echo({ token: system.token, headers: { "x-forwarded-for": address } });
  expect((await from("10.1.2.3")).answer.result).toBeDefined();
  expect((await from("198.51.100.7")).answer.error.message).toContain("no policy allows");
  expect((await from("10.1.2.3, 198.51.100.7")).answer.error.message).toContain("no policy allows");
  expect((await from("10.1.2.3")).answer.result).toBeDefined();
});

describe("the management API", () => {
  test("is opened by a policy, for what it allows only", async () => {
    const asked = { token: system.token };
    expect((await api("GET", "/audit/events", asked)).status).toBe(200);
    const refused = await api("GET", "/tokens", asked);
    expect([refused.status, refused.answer.action]).toEqual([403, "admin/tokens/read"]);
  });

  test("is closed by a policy to whoever has the permission", async () => {
    expect((await api("GET", "/servers")).status).toBe(200);
    const refused = await api("POST", "/servers/everything/restart");
    expect([refused.status, refused.answer.detail]).toEqual([
      403,
      expect.stringContaining("denied by policy no-restarts"),
    ]);
  });

  test("ends a session for good", async () => {
    const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "test", version: "1" } };
    const begun = await ask("/mcp", {
      method: "POST",
      token: system.token,
      body: { jsonrpc: "2.0", id: 1, method: "initialize", params },
    });
    const session = begun.headers["mcp-session-id"] as string;
    const ping = () =>
      ask("/mcp", {
        method: "POST",
        token: system.token,
        headers: { "mcp-session-id": session },
        body: { jsonrpc: "2.0", id: 2, method: "ping" },
      });
    expect((await ping()).status).toBe(200);
    expect((await api("GET", "/sessions?principal=caller")).answer.items).toMatchObject([
      { id: session, tenant: "acme" },
    ]);
    expect((await api("DELETE", `/sessions/${session}`)).status).toBe(200);
    expect((await ping()).status).toBe(404);
    // It is not forgotten with policy's memory.
    await system.kill("policy");
    await system.start("policy");
    await eventually(async () => expect((await ping()).status).toBe(404));
  });
});
