import { eventually, fixtureServer, modernClient, useInfrastructure, useSystem } from "@tollgate/testkit";
import { beforeAll, describe, expect, test } from "vitest";

const infra = useInfrastructure();
const system = useSystem(infra, {
  yaml: `
groups:
  - { id: demo, name: Demo }
mcp_servers:
  - { id: files, group: demo, type: node, command: ${fixtureServer}, env: { FIXTURE_ERA: modern } }
policies:
  - { name: calls, effect: allow, principals: ["*"], actions: ["tools/call"], resources: ["*"] }
  - { name: finance, effect: allow, principals: ["tenant:blue"], actions: ["admin/usage/read", "admin/metering/read", "admin/metering/write"], resources: ["*"] }
`,
  tenants: ["red", "blue"],
});
const CALLS = 3;

async function api(
  path: string,
  { token = system.adminToken, body, accept }: { token?: string; body?: unknown; accept?: string } = {},
): Promise<{ status: number; type: string | null; text: string; body: any }> {
  const headers: Record<string, string> = { authorization: `Bearer ${token}` };
  if (accept !== undefined) headers["accept"] = accept;
  if (body !== undefined) headers["content-type"] = "application/json";
  const init = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  const response = await fetch(`${system.gatewayUrl}${path}`, { ...init, headers });
  const text = await response.text();
  const type = response.headers.get("content-type");
  return { status: response.status, type, text, body: type?.includes("json") === true ? JSON.parse(text) : undefined };
}

const usageOf = async (query: string, token?: string) =>
  (await api(`/api/v1/metering/usage?${query}`, token === undefined ? {} : { token })).body;

beforeAll(async () => {
  await eventually(async () => expect((await api("/api/v1/servers/files")).body.status).toBe("ready"));
  for (const tenant of ["red", "blue"]) {
    const client = modernClient({ url: `${system.gatewayUrl}/mcp`, token: system.tokenOf(tenant) });
    for (let at = 0; at < CALLS; at++)
      await client.request("tools/call", { name: "files__echo", arguments: { message: "hi" } }, { id: at });
  }
  await eventually(async () => expect((await usageOf("")).total.calls).toBe(2 * CALLS));
});

describe("usage", () => {
  test("says what calls used, by step and group, and up to when it is complete", async () => {
    const { items, total, more, asOf } = await usageOf("group_by=tenant,tool&step=hour&tenant=red");
    expect(items).toHaveLength(1);
    expect(items[0]).toMatchObject({ key: { tenant: "red", tool: "echo" }, calls: CALLS, downstreamCalls: CALLS });
    expect(Date.parse(items[0].from) % 3_600_000).toBe(0);
    expect(items[0].cost).toMatch(/^0\.000\d+$/);
    expect(total).toMatchObject({ calls: CALLS, errors: 0, from: null });
    expect([more, Date.parse(asOf) > Date.now() - 600_000]).toEqual([false, true]);
  });

  test("is filtered, and what is no filter is refused", async () => {
    expect((await usageOf("server=files&user=nobody")).total.calls).toBe(0);
    expect((await usageOf("server=files&from=2026-01-01T00:00:00Z")).total.calls).toBe(2 * CALLS);
    for (const wrong of ["sever=files", "step=week", "from=yesterday", "groupBy=tool&group_by=tool", "groupBy=cost"])
      expect([wrong, (await api(`/metering/usage?${wrong}`)).status]).toEqual([wrong, 400]);
    expect((await api("/metering/usage?rating=4711")).status).toBe(404);
  });

  test("is a table for those who ask for one", async () => {
    const asked = await api("/metering/usage?groupBy=tenant,server&step=month", { accept: "text/csv" });
    expect(asked.type).toBe("text/csv; charset=utf-8");
    const [head, ...lines] = asked.text.trimEnd().split("\r\n");
    expect(head).toBe(
      "from,tenant,server,calls,errors,durationMs,cpuMs,requestBytes,responseBytes,downstreamCalls,coldStarts,cost,currency",
    );
    const cells = lines.map((line) => line.split(",").slice(1, 4).join());
    expect(cells.toSorted()).toEqual([`blue,files,${CALLS}`, `red,files,${CALLS}`]);
    expect((await api("/metering/usage?groupBy=tenant&format=csv")).text).toContain("tenant,calls");
    expect((await api("/metering/usage?groupBy=tenant&format=json", { accept: "text/csv" })).body.currency).toBe("USD");
  });

  test("of another tenant is shown to administrators only", async () => {
    const token = system.tokenOf("blue");
    expect((await usageOf("groupBy=tenant", token)).items.map(({ key }: any) => key.tenant)).toEqual(["blue"]);
    expect((await api("/metering/usage?tenant=red", { token })).status).toBe(403);
    expect((await api("/metering/usage", { token: system.tokenOf("red") })).status).toBe(403);
    expect((await api("/api/v1/metering/chargeback?month=2026-11&tenant=red", { token })).status).toBe(403);
  });
});

describe("prices", () => {
  test("are changed for calls from now on, priced anew for those before, and charged to teams", async () => {
    const month = new Date().toISOString().slice(0, 7);
    const card = { id: "contract", tenant: "red", perCall: "0.125" };
    const written = await api("/api/v1/metering/rate-cards", { body: card });
    expect([written.status, written.body]).toMatchObject([201, { version: 1, perCall: "0.125", rating: null }]);
    const before = (await usageOf("tenant=red")).total.cost;
    const again = { ...card, validFrom: `${month}-01T00:00:00Z` };
    expect((await api("/api/v1/metering/rate-cards", { body: again })).status).toBe(409);
    const rated = (await api("/api/v1/metering/rate-cards", { body: { ...again, rerate: true } })).body;
    expect(rated).toMatchObject({
      version: 2,
      rating: { status: "running", tenant: "red", reason: "rate card contract@2" },
    });
    const { version } = rated.rating;
    await eventually(async () => {
      const { items } = (await api("/api/v1/metering/ratings")).body;
      expect(items[0]).toMatchObject({ version, status: "done", calls: CALLS, costAfter: "0.375" });
    });
    expect((await usageOf("tenant=red")).total.cost).toBe(before);
    expect((await usageOf(`tenant=red&rating=${version}`)).total.cost).toBe("0.375");

    const charged = (await api(`/api/v1/metering/chargeback?month=${month}&rating=${version}`)).body;
    const [blue, red] = charged.lines;
    expect(charged).toMatchObject({ month, total: "0.38", currency: "USD", final: false });
    expect([blue, red]).toMatchObject([
      { tenant: "blue", amount: "0.00" },
      { tenant: "red", calls: CALLS, amount: "0.38", cost: "0.375" },
    ]);
    const table = await api(`/api/v1/metering/chargeback?month=${month}&format=csv`);
    expect(table.text.split("\r\n")[0]).toBe("month,tenant,team,calls,amount,cost,currency,final");
    const { items } = (await api("/api/v1/metering/rate-cards")).body;
    expect(items.map(({ id, version: of }: any) => `${id}@${of}`)).toEqual(["contract@1", "contract@2", "default@1"]);
    await eventually(async () => {
      const { items: events } = (await api("/api/v1/audit/events?kind=change&tenant=red")).body;
      expect(events.map(({ resource, name }: any) => `${resource} ${name}`)).toEqual(
        expect.arrayContaining(["rate_card contract", `rating ${version}`]),
      );
    });
  });

  test("of others, and those of all, are not for those who administer one tenant", async () => {
    const token = system.tokenOf("blue");
    const path = "/api/v1/metering/rate-cards";
    expect((await api(path, { token })).body.items.map(({ id }: any) => id)).toEqual(["default"]);
    expect((await api(path, { token, body: { id: "mine", tenant: "blue", perCall: "0" } })).status).toBe(201);
    expect((await api(path, { token, body: { id: "theirs", tenant: "red", perCall: "0" } })).status).toBe(403);
    expect((await api(path, { token, body: { id: "all", perCall: "0" } })).status).toBe(403);
    expect((await api("/api/v1/metering/ratings", { token, body: { reason: "all" } })).status).toBe(403);
  });

  test("that are none are refused by the field that is wrong", async () => {
    for (const wrong of [
      { perCall: 0.1 },
      { perCall: "-1" },
      { perHour: "1" },
      { currency: "dollars" },
      { tiers: [{}] },
    ]) {
      const { status, body } = await api("/api/v1/metering/rate-cards", { body: { id: "wrong", ...wrong } });
      expect([wrong, status, body.code]).toEqual([wrong, 400, "invalid_argument"]);
    }
  });
});
