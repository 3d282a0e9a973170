import { eventually, type McpReply, modernClient } from "@tollgate/testkit";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { principal } from "./controlled-policy.ts";
import { useInstallation } from "./installation.ts";
import { beginSession } from "./mcp-connections.ts";
import { refusalsOn } from "./running-gateway.ts";
import { registryServer, registryTool } from "./sample-catalogue.ts";
import { connectWebSocket } from "./websocket-client.ts";

const PLAN_MAX = 4;
const PLAN_WAITING = 36;
/** Nothing that waits here is refused for its time. */
const LONG_MS = 120_000;
/** Gateways with room for all, with room for no more than one tenant's plan, and one whose calls wait but a moment. */
const [ROOMY, FULL, HASTY] = [0, 1, 2];

const installation = useInstallation({ replicas: 0 });
const tools = [registryTool("echo"), registryTool("safe", { retrySafe: true })];
const demo = registryServer({ id: "one", tools });
const lonely = registryServer({ id: "lonely", group: "nobody", tools });

function tenant(id: string, fields: { lane?: string; weight?: number } = {}) {
  return { id, plan: "p", lane: "batch", weight: 1, maxConcurrent: PLAN_MAX, maxWaiting: PLAN_WAITING, ...fields };
}

beforeAll(async () => {
  const { around, startReplica } = installation;
  around.policy.tokens.set("third-token", principal({ id: "third", tenant: "third" }));
  around.setServers([demo, lonely]);
  around.setTenants([
    { ...tenant("", { lane: "standard" }), maxConcurrent: 0, maxWaiting: 0 },
    tenant("acme"),
    tenant("rival", { lane: "interactive", weight: 3 }),
  ]);
  await startReplica({ admissionWaitMs: LONG_MS });
  await startReplica({ admissionWaitMs: LONG_MS, callsMax: PLAN_MAX });
  await startReplica({ admissionWaitMs: 20 });
});
beforeEach(() => {
  installation.runner.onCall = () => undefined;
});
/** Whatever a test has left under way or waiting is over before the next. */
afterEach(async () => {
  const { runner, around } = installation;
  around.policy.tokens.set("token", principal());
  runner.onCall = (call) => runner.answer(call);
  for (const call of runner.calls) runner.answer(call);
  for (const replica of [ROOMY, FULL, HASTY])
    await eventually(async () => expect(await figures(replica)).toEqual({ underWay: 0, waiting: 0 }));
});

async function figures(replica = ROOMY): Promise<{ underWay: number; waiting: number }> {
  const text = await (await fetch(installation.url("/metrics", replica))).text();
  const metric = (name: string) => Number(new RegExp(`^tollgate_gateway_calls_${name} (\\d+)$`, "m").exec(text)?.[1]);
  return { underWay: metric("under_way"), waiting: metric("waiting") };
}

const call = (options: { token?: string; replica?: number; tool?: string; signal?: AbortSignal } = {}) => {
  const { token = "token", replica = ROOMY, tool = "one__echo", signal } = options;
  const more = signal === undefined ? {} : { signal };
  return modernClient({ url: installation.url("/mcp", replica), token }).request("tools/call", { name: tool }, more);
};
const flood = (count: number, options: Parameters<typeof call>[0] = {}) =>
  Array.from({ length: count }, () => call(options));
const taken = (count: number) => eventually(() => expect(installation.runner.calls.length).toBe(count));
const waiting = (count: number, replica = ROOMY) =>
  eventually(async () => expect((await figures(replica)).waiting).toBe(count));
const answer = (at: number) => installation.runner.answer(installation.runner.calls[at]!);
const isDone = ({ last }: McpReply) => last.result?.content[0].text === "done";
const tenants = () => installation.runner.calls.map(({ envelope }) => envelope.facts.tenant);

describe("a tenant with more calls than its plan allows", () => {
  test("waits, within bounds, while another's calls are let in; then all are answered", async () => {
    const held = flood(PLAN_MAX);
    await taken(PLAN_MAX);
    const more = flood(PLAN_WAITING);
    await waiting(PLAN_WAITING);

    const refused = await call();
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "1"]);
    const message = "tenant acme has 4 calls under way, the most its plan allows, and 36 wait; try again in 1 s";
    expect(refused.last.error).toMatchObject({
      code: -32005,
      message,
      data: { retryAfterSeconds: 1, retryable: true },
    });
    await eventually(async () =>
      expect((await refusalsOn(installation.runner)).filter(({ code }) => code === "overloaded")).toMatchObject([
        { tenant: "acme", tool: "echo", reason: message, count: 1, decision: { allow: true } },
      ]),
    );
    const others = [...flood(PLAN_MAX, { token: "rival-token" }), ...flood(PLAN_MAX * 2, { token: "third-token" })];
    await taken(PLAN_MAX + others.length);
    expect(tenants().filter((each) => each === "acme")).toHaveLength(PLAN_MAX);

    installation.runner.onCall = (each) => installation.runner.answer(each);
    for (let at = 0; at < PLAN_MAX + others.length; at++) answer(at);
    expect((await Promise.all([...held, ...more, ...others])).filter(isDone)).toHaveLength(
      PLAN_MAX + PLAN_WAITING + others.length,
    );
    expect(installation.runner.calls).toHaveLength(PLAN_MAX + PLAN_WAITING + others.length);
  });

  test("and has filled the gateway: another's calls have their turn before the rest of them", async () => {
    const mine = flood(PLAN_MAX + PLAN_WAITING, { replica: FULL });
    await taken(PLAN_MAX);
    await waiting(PLAN_WAITING, FULL);
    const others = flood(PLAN_MAX, { replica: FULL, token: "rival-token" });
    await waiting(PLAN_WAITING + PLAN_MAX, FULL);
    const all = mine.length + others.length;
    for (let at = 0; at < all; at++) {
      await taken(Math.min(PLAN_MAX + at, all));
      answer(at);
    }
    expect((await Promise.all([...mine, ...others])).filter(isDone)).toHaveLength(all);
    // Its turn of one, all of the other's within one turn of that lane, then the rest.
    const after = Array.from({ length: PLAN_WAITING - 1 }, () => "acme");
    expect(tenants().slice(PLAN_MAX)).toEqual(["acme", ...others.map(() => "rival"), ...after]);
  });

  test("is refused when its time is over, and told why", async () => {
    const held = flood(PLAN_MAX, { replica: HASTY });
    await taken(PLAN_MAX);
    const { status, last } = await call({ replica: HASTY });
    const message = "waited 20 ms: tenant acme has 4 calls under way, the most its plan allows; try again in 1 s";
    expect([status, last.error.message]).toEqual([429, message]);
    await eventually(async () =>
      expect((await refusalsOn(installation.runner)).at(-1)).toMatchObject({ tenant: "acme", reason: message }),
    );
    for (let at = 0; at < PLAN_MAX; at++) answer(at);
    expect((await Promise.all(held)).every(isDone)).toBe(true);
  });
});

describe("at its turn a call is checked as if it had just come", () => {
  /** Changes something while a call of acme waits; then it is the call's turn. */
  async function changeMeanwhile(change: () => unknown, tool = "one__safe"): Promise<McpReply> {
    const held = flood(PLAN_MAX);
    await taken(PLAN_MAX);
    const late = call({ tool });
    await waiting(1);
    await change();
    for (let at = 0; at < PLAN_MAX; at++) answer(at);
    await Promise.all(held);
    const reply = await late;
    // Nothing of it is on the stream, and its place is free again.
    expect(installation.runner.calls).toHaveLength(PLAN_MAX);
    await eventually(async () => expect(await figures()).toEqual({ underWay: 0, waiting: 0 }));
    return reply;
  }
  const list = () => modernClient({ url: installation.url(), token: "third-token" }).request("tools/list");

  /** The gateway has taken the new revision when this settles: it had to ask once more who somebody is. */
  async function changePolicies(): Promise<void> {
    const { policy } = installation.around;
    await list();
    policy.change();
    await eventually(async () => {
      const before = policy.asked.authenticate;
      expect((await list()).status).toBe(200);
      expect(policy.asked.authenticate).toBe(before + 1);
    });
  }

  test("what policy has forbidden meanwhile is not let in", async () => {
    const { policy } = installation.around;
    const { last } = await changeMeanwhile(() => {
      policy.allow = (_request, { tool }) => tool !== "safe";
      return changePolicies();
    });
    expect(last.error).toMatchObject({ code: -32003, message: "one__safe: denied by none" });
    policy.allow = () => true;
    await changePolicies();
  });

  test("nor what a token asks for that is not valid any more", async () => {
    const { policy } = installation.around;
    const { status } = await changeMeanwhile(() => {
      policy.tokens.delete("token");
      return changePolicies();
    });
    expect(status).toBe(401);
  });

  test("nor anything while policy is not heard from, whose word could be an old one", async () => {
    const { policy } = installation.around;
    const { last } = await changeMeanwhile(async () => {
      policy.renewing = false;
      await eventually(async () => expect((await fetch(installation.url("/readyz"))).status).toBe(503));
    });
    expect(last.error).toMatchObject({ code: -32008, message: expect.stringContaining("policy is not heard from") });
    policy.renewing = true;
    for (const replica of [ROOMY, FULL, HASTY])
      await eventually(async () => expect((await fetch(installation.url("/readyz", replica))).status).toBe(200));
  });

  test("nor what its server does not have any more", async () => {
    const { last } = await changeMeanwhile(async () => {
      installation.around.setServers([registryServer({ id: "one", tools: tools.slice(0, 1) }), lonely]);
      await eventually(async () => expect(JSON.stringify((await list()).last.result)).not.toContain("one__safe"));
    });
    expect(last.error).toMatchObject({ code: -32602, message: "unknown tool: one__safe" });
    installation.around.setServers([demo, lonely]);
  });
});

describe("a call that waits leaves the queue when its client does not want it any more:", () => {
  test.each([
    [
      "a modern client closes its request",
      async () => {
        const leaving = new AbortController();
        const left = call({ signal: leaving.signal }).catch((error: Error) => error.name);
        await waiting(1);
        leaving.abort();
        expect(await left).toBe("AbortError");
      },
    ],
    [
      "a legacy client cancels it, and its id is free again",
      async () => {
        const session = await beginSession(installation);
        const left = session.request("tools/call", { name: "one__echo" }, { id: 7 });
        await waiting(1);
        const cancelled = { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 7 } };
        await session.post(cancelled);
        expect((await left).last).toMatchObject({ id: 7, error: { code: -32006, message: "the call was cancelled" } });
        expect((await session.request("ping", {}, { id: 7 })).last.result).toEqual({});
      },
    ],
    [
      "a WebSocket cancels it, or closes",
      async () => {
        const socket = await connectWebSocket(installation);
        await socket.initialize();
        const params = { name: "one__echo" };
        const left = socket.request("tools/call", params, 8);
        socket.send({ jsonrpc: "2.0", id: 9, method: "tools/call", params });
        await waiting(2);
        socket.send({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 8 } });
        expect((await left).error).toMatchObject({ code: -32006 });
        await waiting(1);
        socket.close();
      },
    ],
  ])("%s", async (_name, leave) => {
    const held = flood(PLAN_MAX);
    await taken(PLAN_MAX);
    await leave();
    await waiting(0);
    // The next one does not wait behind it.
    const next = call();
    await waiting(1);
    answer(0);
    await taken(PLAN_MAX + 1);
    for (let at = 1; at <= PLAN_MAX; at++) answer(at);
    expect((await Promise.all([...held, next])).every(isDone)).toBe(true);
    expect(installation.runner.calls).toHaveLength(PLAN_MAX + 1);
  });
});

test("a call's lane and weight are those of its tenant's plan", async () => {
  const { runner } = installation;
  runner.onCall = (each) => runner.answer(each);
  for (const token of ["token", "rival-token", "third-token"]) await call({ token });
  const plans = runner.calls.map(({ envelope: { lane, weight } }) => ({ lane, weight }));
  // What is as most calls have it is not said.
  expect(plans).toEqual([{ lane: "batch" }, { lane: "interactive", weight: 3 }, {}]);

  const { subjects, jsm } = runner.bus;
  const { replica } = await installation.startReplica({ requestTimeoutMs: 100 });
  const left = call({ token: "rival-token", tool: "lonely__echo", replica });
  await eventually(async () => {
    const of = { subjects_filter: subjects.call("nobody", "interactive", "rival") };
    expect(Object.values((await jsm.streams.info(subjects.streams.calls, of)).state.subjects ?? {})).toEqual([1]);
  });
  expect((await left).last.error.code).toBe(-32007);
});
