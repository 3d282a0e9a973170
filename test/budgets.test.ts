import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import {
  eventually,
  fixtureServer,
  type McpReply,
  modernClient,
  useInfrastructure,
  useSystem,
} from "@tollgate/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";

// What calls cost, as metering counts it, against a budget: from the calls to the refusal, the record and the webhook.

const infra = useInfrastructure();
const received: string[] = [];
const receiver = createServer((request, response) => {
  let body = "";
  request.on("data", (chunk) => (body += String(chunk)));
  request.on("end", () => {
    received.push(body);
    response.writeHead(204).end();
  });
});
const system = useSystem(infra, {
  yaml: `
groups: [{ id: demo, name: Demo }]
mcp_servers:
  - { id: fixture, group: demo, type: node, command: ${fixtureServer} }
policies:
  - { name: allow, effect: allow, principals: ["*"], actions: ["*"], resources: ["fixture:*"] }
`,
});

beforeAll(() => new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve)));
afterAll(() => new Promise((resolve) => receiver.close(resolve)));

async function api(path: string, body?: object): Promise<any> {
  const headers = { authorization: `Bearer ${system.adminToken}`, "content-type": "application/json" };
  const put = { method: "PUT", headers, body: JSON.stringify(body) };
  const response = await fetch(`${system.gatewayUrl}/api/v1${path}`, body === undefined ? { headers } : put);
  const answer = await response.json();
  expect([response.status, answer]).toEqual([200, expect.anything()]);
  return answer;
}

const call = async (): Promise<McpReply> =>
  modernClient({ url: `${system.gatewayUrl}/mcp`, token: system.token }).request("tools/call", {
    name: "fixture__echo",
    arguments: { text: "x" },
  });

const budgetEvents = async () => (await api("/audit/events?kind=budget")).items as Record<string, unknown>[];

test("calls are let in until their costs have spent it, and each threshold is told once, whatever is killed", async () => {
  const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`;
  // A call costs a ten-thousandth, and its time.
  await api("/limits/money", { per: "team", budget: { amount: "0.002", period: "month", webhook: { url } } });
  await eventually(async () => expect((await call()).last.error).toBeUndefined());
  for (let at = 1; at < 12; at++) await call();
  await eventually(async () => expect(await budgetEvents()).toHaveLength(1));
  // Before it has told of what comes now, or in the middle of it.
  for (let at = 0; at < 10; at++) await call();
  await system.kill("policy");
  await system.start("policy");
  const refused = await eventually(async () => {
    const { error } = (await call()).last;
    expect(error?.message).toMatch(/the limit "money" is reached: 0.002 a month for each team; it begins anew at/);
    return error;
  });
  expect(refused!.data).toMatchObject({ retryAfterSeconds: expect.any(Number) });
  await eventually(async () => expect(await budgetEvents()).toHaveLength(3));
  const { total } = await api("/metering/usage?group_by=team");
  const events = (await budgetEvents()).toReversed();
  expect(events.map(({ threshold, key }) => [threshold, key])).toEqual([
    [50, "acme/research"],
    [80, "acme/research"],
    [100, "acme/research"],
  ]);
  expect(Number(events[2]!["spent"])).toBeGreaterThanOrEqual(0.002);
  expect(Number(events[2]!["spent"])).toBeLessThanOrEqual(Number(total.cost));
  // A request may come twice when policy is killed, and then with the same id.
  await eventually(
    () => {
      const told = new Map(
        received.map((body) => JSON.parse(body) as Record<string, unknown>).map((each) => [each["id"], each]),
      );
      expect(new Set(told.keys())).toEqual(new Set(events.map(({ id }) => id)));
      expect(new Set([...told.values()].map(({ threshold }) => threshold))).toEqual(new Set([50, 80, 100]));
    },
    { timeoutMs: 30_000 },
  );
  // What an administrator has changed here is on the record too, by whom.
  const changes = (await api("/audit/events?kind=change")).items as Record<string, unknown>[];
  expect(changes.find(({ resource }) => resource === "limit")).toMatchObject({
    principal: "admin",
    change: "created",
    name: "money",
    after: { budget: { amount: "0.002", thresholds: [50, 80, 100] } },
  });
});
