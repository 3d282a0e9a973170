import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { eventually, fixtureServer, modernClient, useInfrastructure, useSystem } from "@tollgate/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

/** What a SIEM gets of calls that go through the gate, and what the API says of it. */
const lines: string[] = [];
const receiver = createServer((request, response) => {
  void (async () => {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    lines.push(...body.trimEnd().split("\n"));
    response.end();
  })();
});
receiver.listen(0, "127.0.0.1");
await once(receiver, "listening");
const { port } = receiver.address() as AddressInfo;
afterAll(() => receiver.close());

const infra = useInfrastructure();
const system = useSystem(infra, {
  yaml: `
groups: [{ id: demo }]
mcp_servers: [{ id: everything, group: demo, type: node, command: ${fixtureServer} }]
policies:
  - { name: calls, effect: allow, principals: ["*"], actions: ["*"], resources: ["*"] }
  - { name: siem, effect: allow, principals: ["tenant:red"], actions: [admin/audit/exports/read, admin/audit/exports/write], resources: ["*"] }
audit:
  exports:
    - { id: siem, type: http, url: "http://127.0.0.1:${port}/", from: beginning, batch_wait: 0.1 }
    - { id: reds, type: http, url: "http://127.0.0.1:${port}/", tenants: [red], kinds: [budget] }
    - { id: both, type: http, url: "http://127.0.0.1:${port}/", tenants: [red, blue], kinds: [budget] }
`,
  tenants: ["red", "blue"],
});

async function api(
  method: string,
  path: string,
  { token = system.adminToken, body }: { token?: string; body?: object } = {},
) {
  const response = await fetch(`${system.gatewayUrl}/api/v1${path}`, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, answer: (await response.json()) as any };
}

const received = () => lines.map((line) => JSON.parse(line));
const callsOf = (tenant: string) =>
  received().filter((event) => event.kind === "call" && event.tenant === tenant && event.method === "tools/call");

beforeAll(async () => {
  await eventually(async () => expect((await api("GET", "/servers/everything")).answer.status).toBe("ready"));
  for (const tenant of ["red", "blue", "blue"]) {
    const client = modernClient({ url: `${system.gatewayUrl}/mcp`, token: system.tokenOf(tenant) });
    await client.request("tools/call", { name: "everything__echo", arguments: { message: "hi" } }, { id: 1 });
  }
  await eventually(() => expect([callsOf("red").length, callsOf("blue").length]).toEqual([1, 2]));
});

describe("an export", () => {
  test("has what happens, as it was recorded, and the API says how far it is", async () => {
    const { answer } = await api("GET", `/audit/events?id=${callsOf("red")[0].id}`);
    expect(answer.items).toEqual([callsOf("red")[0]]);
    await eventually(async () => {
      const { items } = (await api("GET", "/audit/exports")).answer;
      const siem = items.find(({ id }: { id: string }) => id === "siem");
      expect(siem).toEqual({
        id: "siem",
        type: "http",
        lag: expect.any(Number),
        sent: expect.any(Number),
        problem: null,
        lastSentAt: expect.any(String),
      });
      expect(siem.sent).toBeGreaterThanOrEqual(3);
    });
    expect(received()).toContainEqual(
      expect.objectContaining({
        kind: "change",
        resource: "export",
        name: "siem",
        change: "created",
        principal: "file",
      }),
    );
  });

  test("is shown to whom a policy lets see exports only where it is of the own tenant alone", async () => {
    const idsShown = async (token: string) =>
      (await api("GET", "/audit/exports", { token })).answer.items.map(({ id }: { id: string }) => id);
    expect(await idsShown(system.adminToken)).toEqual(["both", "reds", "siem"]);
    expect(await idsShown(system.tokenOf("red"))).toEqual(["reds"]);
  });
});

describe("a replay", () => {
  const done = (id: string, token?: string) =>
    eventually(async () => {
      const { items } = (await api("GET", "/audit/replays", token === undefined ? {} : { token })).answer;
      const found = items.find((each: { id: string }) => each.id === id);
      expect(found.status).toBe("done");
      return found;
    });

  test("sends events once more, and is recorded", async () => {
    const filter = { tenant: "blue", kind: "call", tool: "echo" };
    const { status, answer } = await api("POST", "/audit/replays", { body: { export: "siem", filter } });
    expect([status, answer.filter]).toEqual([201, { ...filter, to: expect.any(String) }]);
    expect(await done(answer.id)).toMatchObject({
      sent: 2,
      total: 2,
      problem: null,
      by: expect.stringContaining("admin"),
    });
    expect(callsOf("blue")).toHaveLength(4);
    await eventually(() =>
      expect(received()).toContainEqual(
        expect.objectContaining({ kind: "change", resource: "replay", name: answer.id, tenant: "blue" }),
      ),
    );
    const ended = await api("DELETE", `/audit/replays/${answer.id}`);
    expect([ended.status, ended.answer.status]).toEqual([200, "done"]);
  });

  test("is of one's own tenant's events, and nobody else sees it", async () => {
    const red = system.tokenOf("red");
    const { answer } = await api("POST", "/audit/replays", {
      token: red,
      body: { export: "siem", filter: { kind: "call" } },
    });
    expect(answer.filter.tenant).toBe("red");
    expect((await done(answer.id, red)).sent).toBeGreaterThanOrEqual(1);
    expect(callsOf("blue")).toHaveLength(4);
    const { items } = (await api("GET", "/audit/replays", { token: red })).answer;
    expect(items.map((each: { id: string }) => each.id)).toEqual([answer.id]);
    const others = (await api("GET", "/audit/replays")).answer.items;
    expect(others).toHaveLength(2);
    expect((await api("DELETE", `/audit/replays/${others[1].id}`, { token: red })).status).toBe(404);
    const foreign = { export: "siem", filter: { tenant: "blue" } };
    expect((await api("POST", "/audit/replays", { token: red, body: foreign })).status).toBe(403);
    expect((await api("GET", "/audit/exports", { token: system.tokenOf("blue") })).status).toBe(403);
  });

  test.each([
    [{ export: "nowhere" }, 404],
    [{ export: "siem", filter: { tool: "x", unknown: 1 } }, 400],
    [{ export: "siem", filter: { from: "yesterday" } }, 400],
    [{}, 400],
  ])("of %j is refused", async (body, status) => {
    expect((await api("POST", "/audit/replays", { body })).status).toBe(status);
  });
});
