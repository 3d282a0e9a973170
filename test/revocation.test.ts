import {
  eventually,
  fixtureServer,
  type McpReply,
  modernClient,
  useInfrastructure,
  useSystem,
} from "@tollgate/testkit";
import { afterEach, beforeAll, describe, expect, test } from "vitest";

const GATEWAYS = 3;
/** Of each gateway. */
const CLIENTS = 3;
const TRIALS = 10;
/** How many requests each client sends after the change. */
const REQUESTS_AFTER = 3;
/** After so long without policy no gateway lets anything in. */
const LEASE_MS = 1_000;

const infra = useInfrastructure();
const trials = Array.from({ length: TRIALS }, (_each, n) => n);
const tokenOf = (name: string) => `tg_${infra.busPrefix}_${name}`;
const tokens = trials.map((n) => `- { name: revoked-${n}, token: ${tokenOf(`revoked-${n}`)}, permissions: [mcp] }`);
const system = useSystem(infra, {
  // The list of tokens stands last in what the system puts before this: these join it.
  yaml: `      ${tokens.join("\n      ")}
groups: [{ id: demo, name: Demo }]
mcp_servers:
  - { id: fixture, group: demo, type: node, command: ${fixtureServer} }
policies:
  - { name: allow, effect: allow, principals: ["*"], actions: ["tools/call"], resources: ["fixture:*"] }
`,
  env: { gateway: { TOLLGATE_TRUSTED_PROXIES: "127.0.0.1" } },
});

const urls: string[] = [];
let turn = 0;
let addresses = 0;

/** Asks one gateway after the other. */
async function api(method: string, path: string, body?: object): Promise<any> {
  const headers = { authorization: `Bearer ${system.adminToken}` };
  const json = { headers: { ...headers, "content-type": "application/json" }, body: JSON.stringify(body) };
  const init = { method, ...(body === undefined ? { headers } : json) };
  const response = await fetch(`${urls[(turn += 1) % GATEWAYS]}/api/v1${path}`, init);
  const answer = await response.json();
  expect([response.status, answer]).toEqual([200, expect.anything()]);
  return answer;
}

/** When each call of this principal was let in, by the audit. */
async function acceptedTimes(principal: string): Promise<number[]> {
  const times: number[] = [];
  for (let cursor = ""; ;) {
    const page = await api(
      "GET",
      `/audit/events?kind=call&principal=${principal}&limit=1000&cursor=${encodeURIComponent(cursor)}`,
    );
    times.push(...page.items.map((event: any) => event.acceptedAt));
    if (page.nextCursor === null) return times;
    cursor = page.nextCursor;
  }
}

interface Request {
  /** Of its gateway. */
  readonly url: string;
  readonly sentAt: number;
  readonly reply: McpReply;
}

const isLetIn = ({ reply }: Request) => reply.last.result !== undefined;

const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

/** Waits until it is enough at every gateway. */
const untilEach = (countOf: (url: string) => number, enough: number) =>
  eventually(() => urls.forEach((url) => expect(countOf(url)).toBeGreaterThanOrEqual(enough)));

/** Clients that call without pause, each its next call when it has the answer to the one before. */
function callWithoutPause(token: string) {
  const requests: Request[] = [];
  const stopping = new AbortController();
  const clients = urls.flatMap((url) => Array.from({ length: CLIENTS }, () => run(url)));
  async function run(url: string): Promise<void> {
    // Of its own address: what is refused too often from one is slowed down.
    const headers = { "x-forwarded-for": `10.0.${Math.floor((addresses += 1) / 256)}.${addresses % 256}` };
    const client = modernClient({ url: `${url}/mcp`, token, headers });
    while (!stopping.signal.aborted) {
      const sentAt = Date.now();
      requests.push({ url, sentAt, reply: await client.request("tools/call", { name: "fixture__echo" }) });
    }
  }
  stops.push(() => stopping.abort());
  return {
    requests,
    flowing: () => untilEach((url) => requests.filter((each) => isLetIn(each) && each.url === url).length, CLIENTS),
    sentAfter: (time: number) => requests.filter(({ sentAt }) => sentAt > time),
    /** Goes on until enough was sent after this time. */
    async stopAfter(time: number): Promise<void> {
      const sentTo = (url: string) => this.sentAfter(time).filter((each) => each.url === url).length;
      await untilEach(sentTo, CLIENTS * REQUESTS_AFTER);
      stopping.abort();
      await Promise.all(clients);
    },
  };
}

/** How many calls of a principal were let in, over all trials: that many events there are to be. */
const letIn = new Map<string, number>();

async function allAcceptedTimes(principal: string, requests: readonly Request[]): Promise<number[]> {
  letIn.set(principal, (letIn.get(principal) ?? 0) + requests.filter(isLetIn).length);
  return eventually(async () => {
    const times = await acceptedTimes(principal);
    expect(times.length).toBe(letIn.get(principal));
    return times;
  });
}

beforeAll(async () => {
  urls.push(system.gatewayUrl);
  while (urls.length < GATEWAYS) urls.push((await system.startGateway()).url);
  for (const url of urls) {
    const client = modernClient({ url: `${url}/mcp`, token: tokenOf("caller_other") });
    await eventually(async () =>
      expect((await client.request("tools/call", { name: "fixture__echo" })).last.result).toBeDefined(),
    );
  }
});

describe("once the request has returned, nothing that it forbids is let in any more", () => {
  test.each(trials)("a token is revoked (%i)", async (n) => {
    const name = `revoked-${n}`;
    const calling = callWithoutPause(tokenOf(name));
    await calling.flowing();
    await api("DELETE", `/tokens/${name}`);
    const returnedAt = Date.now();
    await calling.stopAfter(returnedAt);

    for (const { reply } of calling.sentAfter(returnedAt)) {
      expect(reply.status).toBe(401);
      expect(reply.last.error).toMatchObject({ code: -32001, message: expect.stringContaining("was revoked") });
    }
    const times = await allAcceptedTimes(name, calling.requests);
    expect(times.filter((time) => time > returnedAt)).toEqual([]);
  });

  test.each(trials)("a policy is changed (%i)", async (n) => {
    const path = `/policies/stop-${n}`;
    const calling = callWithoutPause(system.token);
    await calling.flowing();
    const stop = { effect: "deny", principals: ["token:caller"], actions: ["tools/call"], resources: ["fixture:*"] };
    await api("PUT", path, stop);
    const returnedAt = Date.now();
    await calling.stopAfter(returnedAt);

    for (const { reply } of calling.sentAfter(returnedAt)) {
      expect(reply.status).toBe(200);
      expect(reply.last.error).toMatchObject({ code: -32003, message: expect.stringContaining(`stop-${n}`) });
    }
    const times = await allAcceptedTimes("caller", calling.requests);
    expect(times.filter((time) => time > returnedAt)).toEqual([]);
    // For the next trial; what is allowed again works at once as well.
    await api("DELETE", path);
    for (const url of urls) {
      const client = modernClient({ url: `${url}/mcp`, token: system.token });
      expect((await client.request("tools/call", { name: "fixture__echo" })).last.result).toBeDefined();
      letIn.set("caller", letIn.get("caller")! + 1);
    }
  });
});

test("with policy killed everything is refused within the lease, and let in again when it is back", async () => {
  const token = tokenOf("caller_other");
  const earlier = (await acceptedTimes("other")).length;
  const calling = callWithoutPause(token);
  await calling.flowing();
  await system.kill("policy");
  const refusedFrom = Date.now() + LEASE_MS;
  await calling.stopAfter(refusedFrom);

  for (const { reply } of calling.sentAfter(refusedFrom)) {
    expect([200, 503]).toContain(reply.status);
    expect(reply.last.error).toMatchObject({ code: -32008, data: { code: "unavailable" } });
  }
  letIn.set("other", earlier);
  await system.start("policy");
  // The audit is asked through the gateway, which has to hear from policy first.
  for (const url of urls) await eventually(async () => expect((await fetch(`${url}/readyz`)).status).toBe(200));
  const times = await allAcceptedTimes("other", calling.requests);
  expect(times.filter((time) => time > refusedFrom)).toEqual([]);
  const client = modernClient({ url: `${system.gatewayUrl}/mcp`, token });
  expect((await client.request("tools/call", { name: "fixture__echo" })).last.result).toBeDefined();
});
