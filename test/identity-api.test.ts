import { eventually, fixtureServer, modernClient, useInfrastructure, useSystem } from "@tollgate/testkit";
import { beforeAll, describe, expect, test } from "vitest";

// Who may come in, through the management API of a whole system: tokens, agents and users, roles.

const infra = useInfrastructure();
const system = useSystem(infra, {
  // The list of tokens stands last in what the system puts before this: the agents join its parent.
  yaml: `    agents: [{ name: of-file, tenant: acme, roles: [reader] }]
groups: [{ id: demo, name: Demo }]
mcp_servers:
  - { id: fixture, group: demo, type: node, command: ${fixtureServer} }
policies:
  - { name: callers, effect: allow, principals: ["token:caller", "role:reader"], actions: ["*"], resources: ["fixture:*"] }
  - { name: granting, effect: allow, principals: ["role:granting"], actions: ["admin/tokens/write"], resources: ["*"] }
`,
});

async function api(method: string, path: string, body?: object, token = system.adminToken) {
  const json = body === undefined ? {} : { "content-type": "application/json" };
  const headers = { authorization: `Bearer ${token}`, ...json };
  const init = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
  const response = await fetch(`${system.gatewayUrl}/api/v1${path}`, init);
  const answer: any = await response.json();
  return { status: response.status, cache: response.headers.get("cache-control"), answer };
}

/** Undefined, or the code of the problem. */
async function call(token: string, route = "/mcp"): Promise<string | undefined> {
  const client = modernClient({ url: `${system.gatewayUrl}${route}`, token });
  const { status, last } = await client.request("tools/call", { name: "fixture__echo" });
  return status === 401 ? "401" : last.error?.message;
}

async function newToken(body: object): Promise<string> {
  const { status, answer } = await api("POST", "/tokens", { tenant: "acme", ...body });
  expect([status, answer.detail]).toEqual([201, undefined]);
  return answer.secret;
}

beforeAll(async () => {
  await eventually(async () => expect(await call(system.token)).toBeUndefined());
});

describe("tokens", () => {
  test("are created, shown once, used, rotated with an overlap, and revoked", async () => {
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
    const body = { name: "ci", tenant: "acme", roles: ["reader"], permissions: ["mcp:demo"], expiresAt };
    const created = await api("POST", "/tokens", body);
    expect(created).toMatchObject({ status: 201, cache: "no-store" });
    const { secret, revision, ...shown } = created.answer;
    expect(shown).toMatchObject({ ...body, team: "default", source: "api", createdBy: "admin", revokedAt: null });
    expect([secret, revision]).toEqual([expect.stringMatching(/^tg_/), expect.any(Number)]);
    const may = (each: string) => call(each, "/mcp/demo");
    // It is for the group's own routes.
    expect([await may(secret), await call(secret)]).toEqual([undefined, "401"]);
    const read = await api("GET", "/tokens/ci");
    expect(read.answer).toEqual({ ...shown, lastUsedAt: read.answer.lastUsedAt });
    await eventually(async () => expect((await api("GET", "/tokens/ci")).answer.lastUsedAt).not.toBeNull());

    const rotated = await api("POST", "/tokens/ci/rotate", { overlapSeconds: 3_600 });
    expect(rotated).toMatchObject({ status: 200, cache: "no-store", answer: { expiresAt } });
    expect(Date.parse(rotated.answer.previousUntil)).toBeGreaterThan(Date.now());
    expect([await may(secret), await may(rotated.answer.secret)]).toEqual([undefined, undefined]);

    expect((await api("DELETE", "/tokens/ci")).status).toBe(200);
    expect([await may(secret), await may(rotated.answer.secret)]).toEqual(["401", "401"]);
    expect((await api("GET", "/tokens/ci")).answer.revokedAt).not.toBeNull();
  });

  test("are listed in pages, filtered, and never with a secret", async () => {
    await newToken({ name: "listed-a" });
    await newToken({ name: "listed-b" });
    const { items } = (await api("GET", "/tokens?tenant=acme&source=api&usable=true")).answer;
    expect(items.map(({ name }: any) => name)).toEqual(expect.arrayContaining(["listed-a", "listed-b"]));
    expect(JSON.stringify(items)).not.toContain("secret");
    const first = (await api("GET", "/tokens?limit=1")).answer;
    const second = (await api("GET", `/tokens?limit=1&cursor=${first.nextCursor}`)).answer;
    expect([first.items.length, second.items.length]).toEqual([1, 1]);
    expect(first.items[0].name < second.items[0].name).toBe(true);
    expect((await api("GET", "/tokens?source=file")).answer.items.map(({ name }: any) => name)).toContain("caller");
  });

  test.each<[string, string, object | undefined, number, string]>([
    ["POST", "/tokens", { name: "Bad" }, 400, "invalid_argument"],
    ["POST", "/tokens", { name: "x", secret: "mine" }, 400, "invalid_argument"],
    ["POST", "/tokens", { name: "x", expiresAt: "2020-01-01T00:00:00Z" }, 400, "invalid_argument"],
    ["POST", "/tokens", { name: "x", agent: "agent:nobody" }, 409, "failed_precondition"],
    ["POST", "/tokens", { name: "caller" }, 409, "failed_precondition"],
    ["POST", "/tokens/caller/rotate", {}, 409, "failed_precondition"],
    ["POST", "/tokens/nobody/rotate", {}, 404, "not_found"],
    ["POST", "/tokens/caller/rotate", { overlapSeconds: 604_801 }, 400, "invalid_argument"],
    ["GET", "/tokens/nobody", undefined, 404, "not_found"],
    ["DELETE", "/tokens/admin", undefined, 409, "failed_precondition"],
  ])("%s %s %o: %i", async (method, path, body, status, code) => {
    expect(await api(method, path, body)).toMatchObject({
      status,
      answer: { status, code, detail: expect.any(String) },
    });
  });

  test("with the permission admin are for those to give who have it", async () => {
    const granting = await newToken({ name: "granting", roles: ["granting"] });
    const admin = { name: "root", permissions: ["admin"] };
    expect((await api("POST", "/tokens", admin, granting)).status).toBe(403);
    await newToken({ name: "second-admin", permissions: ["admin"] });
    expect((await api("POST", "/tokens/second-admin/rotate", {}, granting)).status).toBe(403);
    expect((await api("GET", "/tokens", undefined, granting)).status).toBe(403);
  });
});

describe("principals", () => {
  test("agents are created, disabled and enabled at once, and forgotten", async () => {
    const created = await api("PUT", "/principals/agent:bot?tenant=acme", { roles: ["reader"], note: "for tests" });
    expect(created).toMatchObject({ status: 200, answer: { id: "agent:bot", tenant: "acme", team: "default" } });
    const secret = await newToken({ name: "bot", agent: "agent:bot" });
    expect(await call(secret)).toBeUndefined();
    await api("PUT", "/principals/agent:bot?tenant=acme", { roles: ["reader"], disabled: true });
    expect(await call(secret)).toBe("401");
    await api("PUT", "/principals/agent:bot?tenant=acme", { roles: ["reader"], withdrawnRoles: ["reader"] });
    expect(await call(secret)).toMatch(/no policy allows/);
    await api("PUT", "/principals/agent:bot?tenant=acme", { roles: ["reader"] });
    expect(await call(secret)).toBeUndefined();
    expect((await api("GET", "/tokens?agent=agent:bot")).answer.items).toMatchObject([{ name: "bot" }]);

    expect((await api("DELETE", "/principals/agent:bot?tenant=acme")).status).toBe(409);
    await api("DELETE", "/tokens/bot");
    expect((await api("DELETE", "/principals/agent:bot?tenant=acme")).status).toBe(200);
    expect((await api("GET", "/principals/agent:bot?tenant=acme")).status).toBe(404);
  });

  test("users may have any subject", async () => {
    const id = `user:acme/${"|".repeat(180)}`;
    const path = `/principals/${encodeURIComponent(id)}`;
    expect(await api("PUT", path, { disabled: true, note: "left" })).toMatchObject({ status: 200, answer: { id } });
    expect((await api("GET", path)).answer).toMatchObject({
      id,
      tenant: "default",
      disabled: true,
      updatedBy: "admin",
    });
    expect((await api("GET", "/principals?kind=user&disabled=true")).answer.items).toMatchObject([{ id }]);
    expect((await api("GET", "/principals?kind=agent")).answer.items).toMatchObject([{ id: "agent:of-file" }]);
    expect((await api("DELETE", path)).status).toBe(200);
  });

  test.each<[string, object, number]>([
    ["/principals/bot", {}, 400],
    ["/principals/user:a", { team: "x" }, 400],
    ["/principals/user:a", { role: [] }, 400],
    ["/principals/agent:of-file?tenant=acme", { roles: ["root"] }, 409],
    ["/roles/Bad", {}, 400],
  ])("PUT %s %o: %i", async (path, body, status) => {
    expect(await api("PUT", path, body)).toMatchObject({ status, answer: { status } });
  });
});

test("a role is taken from everybody of a tenant, and given back", async () => {
  const secret = await newToken({ name: "reading", roles: ["reader"] });
  expect(await call(secret)).toBeUndefined();
  const off = { description: "frozen", disabled: true };
  expect((await api("PUT", "/roles/reader?tenant=acme", off)).answer).toMatchObject({ name: "reader", ...off });
  expect(await call(secret)).toMatch(/no policy allows/);
  const kept = { tenant: "acme", name: "reader", ...off };
  expect((await api("GET", "/roles/reader?tenant=acme")).answer).toEqual(kept);
  expect((await api("GET", "/roles?tenant=acme")).answer.items).toEqual([kept]);
  await api("PUT", "/roles/reader?tenant=acme", {});
  expect(await call(secret)).toBeUndefined();
  expect((await api("GET", "/roles/nobodys")).status).toBe(404);
});
