import { connectBus, createEventPublisher } from "@tollgate/bus";
import { type CallEvent, newCallId, type RefusalEvent } from "@tollgate/contracts";
import { openLife } from "@tollgate/service";
import {
  callEvent,
  eventually,
  fixtureServer,
  modernClient,
  refusalEvent,
  testLog,
  useInfrastructure,
  useSystem,
} from "@tollgate/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

// Proposed policies over what was recorded, in a whole system: exactly the calls that would have been decided otherwise.

const TEAM = {
  effect: "allow",
  principals: ["role:developer"],
  actions: ["tools/call"],
  resources: ["files:*", "tickets:*"],
};
const infra = useInfrastructure();
const life = openLife(testLog);
const system = useSystem(infra, {
  yaml: `
groups: [{ id: demo, name: Demo }]
mcp_servers:
  - { id: fixture, group: demo, type: node, command: ${fixtureServer}, environment: production }
policies:
  - { name: team, effect: allow, principals: ["role:developer"], actions: ["tools/call"], resources: ["files:*", "tickets:*"] }
  - { name: own, effect: allow, principals: ["token:caller"], actions: ["tools/call"], resources: ["fixture:*"] }
`,
});

const HOUR_MS = 3_600_000;
/** A Monday at midnight, UTC: what is recorded is of the week behind it. */
const MONDAY_MS = Date.UTC(2026, 8, 7);
const WEEK_MS = 7 * 24 * HOUR_MS;

const CALLERS = [
  { principal: "user:ann", team: "web", roles: ["developer"], amr: ["pwd"] },
  { principal: "agent:bot", team: "web", roles: ["developer", "night"], credential: "bot-1" },
  { principal: "long-gone", team: "ops" },
];
const SERVERS = [
  { server: "files", environment: "production" },
  { server: "files", environment: "staging" },
  { server: "tickets", environment: "production" },
  { server: "database", environment: "production", risk: "HIGH" as const },
];
const ADDRESSES = ["10.1.2.3", "192.0.2.7", undefined];

type Recorded = CallEvent | RefusalEvent;

/** Each caller at each server from each address, at hours all over the week. */
const moments = CALLERS.flatMap((caller, who) =>
  SERVERS.flatMap((server, where) =>
    ADDRESSES.flatMap((address, from) =>
      Array.from({ length: 42 }, (_each, n) => ({
        at: MONDAY_MS + ((n * 4 + who * 5 + where * 3 + from) % 168) * HOUR_MS + n * 1_000,
        facts: { ...caller, ...server, ...(address === undefined ? {} : { address }), tool: `tool_${n % 3}` },
      })),
    ),
  ),
);

/** As `team` has decided. Ids are made in the order of time. */
const recorded = moments
  .toSorted((one, other) => one.at - other.at)
  .map(({ at, facts }): Recorded => {
    const allow = facts.roles?.includes("developer") === true && facts.server !== "database";
    const reason = allow ? "allowed by policy team" : `no policy allows tools/call on ${facts.server}:${facts.tool}`;
    const decision = { allow, policies: allow ? ["team"] : [], revision: 1, reason };
    const of = { ...facts, tenant: "acme", group: "demo", decision, id: newCallId(at) };
    return allow ? callEvent({ ...of, acceptedAt: at }) : refusalEvent({ ...of, endedAt: at, reason });
  });
const timeOf = (event: Recorded) => (event.kind === "call" ? event.acceptedAt : event.endedAt);
const allowed = recorded.filter(({ decision }) => decision!.allow);

/** Beside them what policies alone have not decided, what nobody decided, and another tenant's. */
const NOT_MEANT = {
  allow: false,
  policies: [],
  revision: 1,
  reason: 'the access token of "ann" is not meant for "files"',
};
const refusedOtherwise = refusalEvent({
  ...CALLERS[0],
  ...SERVERS[0],
  id: newCallId(MONDAY_MS),
  endedAt: MONDAY_MS,
  reason: NOT_MEANT.reason,
  decision: NOT_MEANT,
  count: 5,
});
const others = [
  refusedOtherwise,
  refusalEvent({ id: newCallId(MONDAY_MS), endedAt: MONDAY_MS, code: "overloaded" }),
  callEvent({ ...CALLERS[0], server: "files", acceptedAt: MONDAY_MS, tenant: "rival" }),
];

async function api(path: string, body?: object, options: { token?: string; accept?: string } = {}): Promise<Response> {
  const { token = system.adminToken, accept = "application/json" } = options;
  const headers = { authorization: `Bearer ${token}`, accept, "content-type": "application/json" };
  const init = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  return fetch(`${system.gatewayUrl}/api/v1${path}`, { headers, ...init });
}

async function whatIf(body: object): Promise<any> {
  const time = { from: MONDAY_MS, to: new Date(MONDAY_MS + WEEK_MS).toISOString() };
  const response = await api("/policies/what-if", { ...time, ...body });
  const answer = await response.json();
  expect([response.status, answer]).toEqual([200, expect.anything()]);
  return answer;
}

const idsOf = (items: readonly { id: string }[]) => items.map(({ id }) => id).toSorted();
const idsWhere = (events: readonly Recorded[], meets: (event: Recorded) => boolean) => idsOf(events.filter(meets));

beforeAll(async () => {
  const prefix = infra.busPrefix;
  const bus = await connectBus({ url: infra.natsUrl, name: "test", prefix, log: testLog, signal: life.signal });
  life.onClose("bus", 5_000, () => bus.drain());
  const publisher = createEventPublisher(bus, { waitingMax: 5_000, timeoutMs: 10_000 });
  await Promise.all([...recorded, ...others].map((event) => publisher.publish(event)));
  // All but the one that was not decided on.
  await eventually(async () => expect((await whatIf({})).examined).toBe(recorded.length + others.length - 1));
});
afterAll(() => life.close());

const ACME = { tenant: "acme" };

describe("a proposal", () => {
  test("that says what is in force changes nothing", async () => {
    expect(recorded).toHaveLength(1_512);
    for (const proposal of [{}, { proposed: [{ id: "team", ...TEAM }] }]) {
      const answer = await whatIf({ ...ACME, ...proposal });
      expect([answer.changed, idsOf(answer.undetermined)]).toEqual([[], [refusedOtherwise.id]]);
      expect(answer).toMatchObject({ examined: recorded.length + 1, folded: 4, complete: true, nextCursor: null });
    }
  });

  test("is compared with what was recorded, not with what is in force by now", async () => {
    const now = { effect: "deny", principals: ["*"], actions: ["*"], resources: ["*"] };
    const put = { method: "PUT", body: JSON.stringify(now) };
    const headers = { authorization: `Bearer ${system.adminToken}`, "content-type": "application/json" };
    const url = `${system.gatewayUrl}/api/v1/policies/since-then`;
    expect((await fetch(url, { ...put, headers })).status).toBe(200);
    expect(idsOf((await whatIf(ACME)).changed)).toEqual(idsOf(allowed));
    expect((await whatIf({ ...ACME, removed: ["since-then"] })).changed).toEqual([]);
    const { authorization } = headers;
    expect((await fetch(url, { method: "DELETE", headers: { authorization } })).status).toBe(200);
  });

  test("to deny a server in production lists its calls there", async () => {
    const stop = { id: "stop", effect: "deny", principals: ["*"], actions: ["tools/call"], resources: ["files:*"] };
    const { changed, undetermined } = await whatIf({
      ...ACME,
      proposed: [{ ...stop, conditions: { environment: "production" } }],
    });
    expect(idsOf(changed)).toEqual(
      idsWhere(allowed, ({ server, environment }) => server === "files" && environment === "production"),
    );
    expect(undetermined.map(({ id }: any) => id)).not.toContain(changed[0].id);
    const event = recorded.find(({ id }) => id === changed[0].id)!;
    expect(changed[0]).toEqual({
      id: event.id,
      at: new Date(timeOf(event)).toISOString(),
      principal: event.principal,
      tenant: "acme",
      server: "files",
      tool: event.tool,
      was: { allow: true, policies: ["team"], reason: "allowed by policy team" },
      now: { allow: false, policies: ["stop"], reason: "denied by policy stop" },
    });
    const times = changed.map(({ at }: { at: string }) => Date.parse(at));
    expect(times).toEqual(times.toSorted((a: number, b: number) => b - a));
  });

  test("of hours and days lists what was called at other times", async () => {
    const conditions = { time: { from: "08:00", to: "18:00" }, weekdays: ["mon", "tue", "wed", "thu", "fri"] };
    const { changed } = await whatIf({ ...ACME, proposed: [{ id: "team", ...TEAM, conditions }] });
    const isWithin = (event: Recorded) => {
      const at = new Date(timeOf(event));
      return at.getUTCHours() >= 8 && at.getUTCHours() < 18 && ![0, 6].includes(at.getUTCDay());
    };
    expect(idsOf(changed)).toEqual(idsWhere(allowed, (event) => !isWithin(event)));
    expect(idsWhere(allowed, isWithin).length).toBeGreaterThan(20);
  });

  test("of a network lists what came from elsewhere, or nobody knows where from", async () => {
    const conditions = { network: ["10.0.0.0/8"] };
    const { changed } = await whatIf({ ...ACME, proposed: [{ id: "team", ...TEAM, conditions }] });
    expect(idsOf(changed)).toEqual(idsWhere(allowed, ({ address }) => address !== "10.1.2.3"));
  });

  test("without what allowed lists all that was allowed", async () => {
    const { changed } = await whatIf({ ...ACME, removed: ["team"] });
    expect(idsOf(changed)).toEqual(idsOf(allowed));
    const everybody = await whatIf({ removed: ["team"] });
    expect(everybody.changed).toHaveLength(allowed.length + 1);
  });

  test("that allows more lists what policies had refused; what else had, it cannot say", async () => {
    const { changed, undetermined } = await whatIf({
      ...ACME,
      proposed: [{ id: "all", ...TEAM, principals: ["*"], resources: ["*"] }],
    });
    expect(idsOf(changed)).toEqual(idsWhere(recorded, ({ decision }) => !decision!.allow));
    expect(undetermined).toMatchObject([
      { principal: "user:ann", was: { reason: expect.stringContaining("is not meant for") }, now: { allow: true } },
    ]);
  });

  test("that rests on arguments leaves open what it may allow", async () => {
    const conditions = { arguments: { path: { like: "/data/*" } } };
    const { changed, undetermined } = await whatIf({ ...ACME, proposed: [{ id: "team", ...TEAM, conditions }] });
    expect(changed).toEqual([]);
    expect(undetermined.map(({ id }: { id: string }) => id)).toEqual(expect.arrayContaining(idsOf(allowed)));
    expect(undetermined).toHaveLength(allowed.length + 1);
  });
});

describe("an answer", () => {
  const removed = ["team"];

  test("may be a part, and its cursor goes on", async () => {
    const found: string[] = [];
    // Pages of the audit are of a thousand events.
    for (let cursor: string | null = ""; cursor !== null;) {
      const answer: any = await whatIf({ ...ACME, removed, limit: 1, cursor });
      found.push(...idsOf(answer.changed));
      expect(answer.complete).toBe(answer.nextCursor === null);
      cursor = answer.nextCursor;
    }
    expect(found.toSorted()).toEqual(idsOf(allowed));
  });

  test("may be lines, each as soon as it is found", async () => {
    const body = { from: MONDAY_MS, to: MONDAY_MS + WEEK_MS, ...ACME, removed };
    const response = await api("/policies/what-if", body, { accept: "application/x-ndjson" });
    expect(response.headers.get("content-type")).toBe("application/x-ndjson");
    const lines = (await response.text())
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.pop()).toMatchObject({ kind: "summary", complete: true, changed: allowed.length, undetermined: 0 });
    expect(lines.every(({ kind }) => kind === "changed")).toBe(true);
    expect(idsOf(lines)).toEqual(idsOf(allowed));
  });

  test("is one at a time", async () => {
    const body = { from: MONDAY_MS, ...ACME, removed };
    const statuses = await Promise.all([1, 2, 3].map(async () => (await api("/policies/what-if", body)).status));
    expect(statuses.toSorted((a, b) => a - b)).toEqual([200, 429, 429]);
    expect((await api("/policies/what-if", body)).status).toBe(200);
  });

  test.each<[object, string]>([
    [{}, "from"],
    [{ from: "yesterday" }, "from"],
    [{ from: 2, to: 1 }, "to: has to be after from"],
    [{ from: 1, removed: ["never"] }, "removed[0]: there is no such policy"],
    [{ from: 1, proposed: [{ id: "x", ...TEAM, effect: "" }] }, "proposed[0].effect"],
    [{ from: 1, proposed: [{ ...TEAM }] }, "proposed"],
    [{ from: 1, cursor: "x" }, "cursor"],
    [{ from: 1, tenant: "No Name" }, "tenant"],
    [{ from: 1, limit: 200_001 }, "limit"],
  ])("is a refusal of %j", async (body, detail) => {
    for (const accept of ["application/json", "application/x-ndjson"]) {
      const response = await api("/policies/what-if", body, { accept });
      const { code, detail: said }: any = await response.json();
      expect([response.status, code, said]).toEqual([400, "invalid_argument", expect.stringContaining(detail)]);
    }
  });

  test("is for administrators only", async () => {
    expect((await api("/policies/what-if", { from: 1 }, { token: system.token })).status).toBe(403);
  });
});

test("calls that were made through the gate are among what is recorded", async () => {
  const from = Date.now();
  const client = modernClient({ url: `${system.gatewayUrl}/mcp`, token: system.token });
  const call = (name: string) => client.request("tools/call", { name, arguments: {} });
  await eventually(async () => expect((await call("fixture__echo")).last.result).toBeDefined());
  for (let n = 0; n < 20; n++) await call(n % 2 === 0 ? "fixture__echo" : "fixture__tally");
  const stop = { id: "stop", effect: "deny", principals: ["token:caller"], actions: ["*"], resources: ["*:echo"] };
  await eventually(async () => {
    const body = { from, to: Date.now() + 1_000, proposed: [{ ...stop, conditions: { environment: "production" } }] };
    const answer = await whatIf(body);
    expect(answer.examined).toBeGreaterThanOrEqual(21);
    expect(answer.changed.length).toBeGreaterThanOrEqual(11);
    expect(new Set(answer.changed.map(({ tool }: { tool: string }) => tool))).toEqual(new Set(["echo"]));
  });
  // And nothing has come of it.
  expect((await call("fixture__echo")).last.result).toBeDefined();
});
