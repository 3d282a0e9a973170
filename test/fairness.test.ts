import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import {
  eventually,
  fixtureServer,
  type McpReply,
  modernClient,
  useInfrastructure,
  useSystem,
} from "@tollgate/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";

// One tenant has far more calls than its share; another's go on. Counted and in order: no clock is asked.

const PLAN_CALLS = 4;
const PLAN_WAITING = 8;
const FLOOD = 10 * PLAN_CALLS;

const countFile = join(mkdtempSync(join(tmpdir(), "tollgate-fairness-")), "count");
const infra = useInfrastructure();
const system = useSystem(infra, {
  tenants: ["greedy", "modest"],
  yaml: `
groups: [{ id: demo, name: Demo }]
mcp_servers:
  - { id: tool, group: demo, type: node, command: ${fixtureServer} }
  - { id: single, group: demo, type: node, command: ${fixtureServer}, env: { FIXTURE_COUNT_FILE: "${countFile}" }, pool: { mode: exclusive, shared: true, max: 1 } }
plans:
  - { name: small, max_concurrent: ${PLAN_CALLS}, max_waiting: ${PLAN_WAITING} }
tenants:
  - { id: greedy, plan: small }
policies:
  - { name: all, effect: allow, principals: ["token:greedy", "token:modest", "token:caller", "token:other"], actions: ["tools/call"], resources: ["*:*"] }
`,
});
afterAll(() => rmSync(dirname(countFile), { recursive: true }));

function call(token: string, tool: string, args: object): Promise<McpReply> {
  return modernClient({ url: `${system.gatewayUrl}/mcp`, token }).request("tools/call", {
    name: tool,
    arguments: args,
  });
}

beforeAll(async () => {
  for (const tool of ["tool__echo", "single__echo"])
    await eventually(async () => {
      const { last } = await call(system.token, tool, { message: "ready" });
      expect(last.result?.content[0].text).toBe("ready");
    });
});

test("ten times a plan's share: what is beyond is refused and recorded, another tenant's calls are not touched", async () => {
  const flood = Array.from({ length: FLOOD }, () => call(system.tokenOf("greedy"), "tool__sleep", { ms: 200 }));
  const others = Array.from({ length: FLOOD }, () => call(system.tokenOf("modest"), "tool__sleep", { ms: 20 }));
  for (const { status, last } of await Promise.all(others)) {
    expect(status).toBe(200);
    expect(last.result.content[0].text).toBe("slept");
  }
  const answers = await Promise.all(flood);
  const refused = answers.filter(({ status }) => status !== 200);
  // Those that came first are let in at once and those that wait are as soon as there is room, if that is soon enough.
  expect(answers.length - refused.length).toBeGreaterThanOrEqual(PLAN_CALLS);
  expect(refused.length).toBeGreaterThanOrEqual(FLOOD - PLAN_CALLS - PLAN_WAITING);
  for (const { status, headers, last } of refused) {
    expect(status).toBe(429);
    expect(Number(headers.get("retry-after"))).toBeGreaterThan(0);
    expect(last.error.message).toContain(`tenant greedy`);
    expect(last.error.message).toContain(String(PLAN_CALLS));
    expect(last.error.data).toMatchObject({ code: "overloaded", retryAfterSeconds: expect.any(Number) });
  }
  await eventually(async () => {
    const headers = { authorization: `Bearer ${system.adminToken}` };
    const url = `${system.gatewayUrl}/api/v1/audit/events?kind=refusal&limit=1000`;
    const { items } = (await (await fetch(url, { headers })).json()) as { items: { tenant: string; code: string }[] };
    expect(items.map(({ tenant, code }) => `${tenant} ${code}`)).toEqual(refused.map(() => "greedy overloaded"));
  });
});

test("where one process serves all, tenants take turns, however many calls one of them has waiting", async () => {
  const [MANY, FEW, BEGUN] = [60, 5, 3];
  const ran = (): string[] => readFileSync(countFile, "utf8").trim().split("\n");
  const many = Array.from({ length: MANY }, (_each, n) =>
    call(system.token, "single__count", { n: `many-${n}`, ms: 20 }),
  );
  await eventually(() => expect(ran().length).toBeGreaterThanOrEqual(BEGUN));
  const few = Array.from({ length: FEW }, (_each, n) =>
    call(`${system.token}_other`, "single__count", { n: `few-${n}`, ms: 20 }),
  );
  for (const { last } of await Promise.all([...many, ...few])) expect(last.result?.content[0].text).toBe("counted");

  const order = ran().map((each) => JSON.parse(each) as string);
  expect(new Set(order).size).toBe(MANY + FEW);
  const first = order.findIndex((each) => each.startsWith("few-"));
  const last = order.findLastIndex((each) => each.startsWith("few-"));
  // One of each in turn, with some room for calls that reach the runner later than others.
  expect(last - first).toBeLessThan(4 * FEW);
  expect(last).toBeLessThan(MANY);
}, 60_000);
