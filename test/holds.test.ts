import { eventually, useInfrastructure, useSystem } from "@tollgate/testkit";
import { expect, test } from "vitest";

const infra = useInfrastructure();
const system = useSystem(infra, {
  yaml: `
policies:
  - { name: records-of-rival, effect: allow, principals: ["token:other"], actions: ["admin/audit/retention/read", "admin/audit/retention/write"], resources: ["*"] }
audit:
  retention: [{ kind: refusal, days: 90 }]
`,
});

async function api(path: string, options: { method?: string; body?: object; token?: string } = {}) {
  const { method = "GET", body, token = system.adminToken } = options;
  const response = await fetch(`${system.gatewayUrl}/api/v1/audit${path}`, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as any };
}

const other = `${system.token}_other`;

test("holds are put, seen and released, and all of that is on the record", async () => {
  const asked = { tenant: "acme", kind: "call", from: "2026-03-01T00:00:00Z", reason: "Case 2026-114" };
  const put = await api("/holds", { method: "POST", body: asked });
  expect(put).toMatchObject({
    status: 201,
    body: { tenant: "acme", kind: "call", from: "2026-03-01T00:00:00.000Z", to: null, createdBy: "admin" },
  });
  const { id } = put.body;
  expect((await api("/holds")).body.items).toEqual([put.body]);

  const released = await api(`/holds/${id}`, { method: "DELETE" });
  expect(released).toMatchObject({ status: 200, body: { id, releasedBy: "admin" } });
  const changes = await eventually(async () => {
    const { body } = await api("/events?kind=change");
    const found = body.items.filter((each: any) => each.resource === "hold");
    expect(found).toHaveLength(2);
    return found;
  });
  expect(changes.map(({ change, name }: any) => [change, name])).toEqual([
    ["deleted", id],
    ["created", id],
  ]);
});

test("who may by a policy alone holds and sees its own tenant's events", async () => {
  const own = await api("/holds", { method: "POST", body: { reason: "ours" }, token: other });
  expect(own).toMatchObject({ status: 201, body: { tenant: "rival", kind: null, createdBy: "other" } });
  const foreign = await api("/holds", { method: "POST", body: { tenant: "acme", reason: "theirs" }, token: other });
  expect(foreign.status).toBe(403);
  const acmes = await api("/holds", { method: "POST", body: { tenant: "acme", reason: "acme's" } });
  expect((await api("/holds", { token: other })).body.items).toEqual([own.body]);
  expect((await api(`/holds/${acmes.body.id}`, { method: "DELETE", token: other })).status).toBe(404);
  expect((await api("/holds", { token: system.token })).status).toBe(403);
});

test("a hold without a reason, or for no time at all, is refused", async () => {
  expect((await api("/holds", { method: "POST", body: { tenant: "acme" } })).status).toBe(400);
  const never = { reason: "never", from: "2026-03-02T00:00:00Z", to: "2026-03-01T00:00:00Z" };
  expect((await api("/holds", { method: "POST", body: never })).status).toBe(400);
});

test("how long events are kept is as tollgate.yaml says", async () => {
  // The refusal of the test before is under a checkpoint within half a minute.
  const items = await eventually(
    async () => {
      const { body } = await api("/retention");
      expect(body.items.map(({ kind }: any) => kind)).toEqual(expect.arrayContaining(["change", "refusal"]));
      return body.items;
    },
    { timeoutMs: 60_000 },
  );
  const days = Object.fromEntries(items.map((each: any) => [each.kind, each.days]));
  expect(days).toMatchObject({ refusal: 90, change: 2_557 });
}, 90_000);
