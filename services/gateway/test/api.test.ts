import { answerHealth } from "@tollgate/bus";
import type { ServerHealth } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { eventually } from "@tollgate/testkit";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { principal } from "./controlled-policy.ts";
import { useInstallation } from "./installation.ts";
import { registryServer } from "./sample-catalogue.ts";

const installation = useInstallation();
const TOOL_RULE = {
  tool: "echo",
  concurrency: 2,
  callTimeoutMs: 0,
  fallbacks: [{ server: "two", tool: "echo" }],
  cachedResultMs: 1_000,
  risk: "",
};

beforeAll(async () => {
  const { around } = installation;
  around.policy.tokens.set("admin", principal({ id: "admin", permissions: ["admin"] }));
  around.setServers([
    registryServer({ id: "one", isolation: "bubblewrap", limitsBy: "cgroup", generation: 3n, toolRules: [TOOL_RULE] }),
    registryServer({ id: "two", status: "unavailable", reason: "it ended", toolRules: [] }),
    registryServer({ id: "off", enabled: false, status: "disabled" }),
    registryServer({ id: "lonely", group: "nobody", status: "pending" }),
  ]);
  await eventually(async () => expect((await api("GET", "/servers/off")).status).toBe(200));
});

async function api(
  method: string,
  path: string,
  token = "admin",
): Promise<{ status: number; type: string | undefined; answer: any }> {
  const headers = { authorization: `Bearer ${token}` };
  const response = await fetch(installation.url(`/api/v1${path}`), { method, headers });
  const text = await response.text();
  return {
    status: response.status,
    type: response.headers.get("content-type")?.split(";")[0],
    answer: text === "" ? undefined : JSON.parse(text),
  };
}

const ROUTES = [
  ["GET", "/servers/one/health"],
  ["GET", "/servers/one/metrics"],
  ["POST", "/servers/one/restart"],
  ["GET", "/dead-letters"],
  ["GET", "/dead-letters/1"],
  ["POST", "/dead-letters/1/put-back"],
  ["DELETE", "/dead-letters/1"],
] as const;

test.each(ROUTES)("%s %s is for administrators only", async (method, path) => {
  expect(await api(method, path, "token")).toMatchObject({ status: 403, type: "application/problem+json" });
  expect((await api(method, path, "forged")).status).toBe(401);
});

test("every route of it is described", async () => {
  const { paths } = (await api("GET", "/openapi.json")).answer;
  for (const [method, path] of ROUTES) {
    const described = paths[`/api/v1${path.replace(/\/(one|1)\b/, "/{id}")}`]?.[method.toLowerCase()];
    expect([path, described?.summary]).toEqual([path, expect.any(String)]);
  }
});

test("a server's details say how it is held, how often it was restarted, and its tools' rules", async () => {
  const { answer } = await api("GET", "/servers/one");
  expect(answer).toMatchObject({ isolation: "bubblewrap", limitsBy: "cgroup", generation: 3, toolRules: [TOOL_RULE] });
  const { items } = (await api("GET", "/servers")).answer;
  expect(items.map(({ id, generation }: any) => [id, generation])).toEqual([
    ["lonely", 0],
    ["off", 0],
    ["one", 3],
    ["two", 0],
  ]);
});

function healthOf(runner: string, fields: Partial<ServerHealth> = {}): ServerHealth {
  return {
    server: "one",
    runner,
    at: 1_000,
    state: "ready",
    generation: 3,
    isolation: "bubblewrap",
    limitsBy: "cgroup",
    pool: {
      mode: "multiplexed",
      processes: 1,
      starting: 0,
      busy: 1,
      min: 0,
      max: 4,
      callsRunning: 2,
      callsWaiting: 1,
      queue: 100,
    },
    breaker: "closed",
    toolBreakers: {},
    restarts: 1,
    starts: 2,
    checkedAt: 900,
    processes: [{ pid: 12, tenant: "acme", calls: 2, startedAt: 500, memoryBytes: 1_000, cpuMs: 10, processes: 1 }],
    calls: {
      ended: { ok: 5 },
      coldStarts: 1,
      retries: 0,
      fallbacks: 2,
      durationMs: { p50: 1.5, p95: 2, p99: 3 },
    },
    ...fields,
  };
}

describe("of a server's health", () => {
  beforeAll(async () => {
    const { bus } = installation.runner;
    const answers: Record<string, unknown[]> = {
      one: [healthOf("r-2", { state: "unavailable", processes: [], breaker: "open" }), healthOf("r-1")],
      two: [{ server: "two", runner: "r-1", said: "in another way" }],
    };
    for (const at of [0, 1]) answerHealth(bus, "demo", (server) => answers[server]?.[at] as ServerHealth | undefined);
    await bus.connection.flush();
  });

  test("one answer holds what each runner says, and what that comes to", async () => {
    await eventually(async () => {
      const { status, answer } = await api("GET", "/servers/one/health");
      expect([status, answer]).toEqual([
        200,
        {
          server: "one",
          status: "ready",
          reason: "",
          state: "ready",
          generation: 3,
          runners: [healthOf("r-1"), healthOf("r-2", { state: "unavailable", processes: [], breaker: "open" })],
        },
      ]);
    });
  });

  test("figures are summed over the runners, with each one's latencies", async () => {
    await eventually(async () => {
      const { status, answer } = await api("GET", "/servers/one/metrics");
      const durationMs = { p50: 1.5, p95: 2, p99: 3 };
      expect([status, answer]).toEqual([
        200,
        {
          server: "one",
          processes: 2,
          starting: 0,
          busy: 2,
          callsRunning: 4,
          callsWaiting: 2,
          restarts: 2,
          starts: 4,
          breaker: "open",
          toolBreakers: {},
          calls: { ok: 10 },
          coldStarts: 2,
          retries: 0,
          fallbacks: 4,
          memoryBytes: 1_000,
          cpuMs: 10,
          runners: [
            { runner: "r-1", durationMs },
            { runner: "r-2", durationMs },
          ],
        },
      ]);
    });
  });

  test.each([
    ["lonely", { state: "unknown", status: "pending" }, 'no runner of the group "nobody"'],
    ["two", { state: "unknown", status: "unavailable", reason: "it ended" }, "no runner"],
    ["off", { state: "disabled", status: "disabled" }, "the server is disabled"],
  ])("nothing is known of %s, and a note says why", async (server, expected, note) => {
    const { status, answer } = await api("GET", `/servers/${server}/health`);
    expect([status, answer]).toMatchObject([
      200,
      { server, ...expected, runners: [], note: expect.stringContaining(note) },
    ]);
    const figures = await api("GET", `/servers/${server}/metrics`);
    expect([figures.status, figures.answer]).toMatchObject([200, { processes: 0, runners: [], note: answer.note }]);
  });

  test("there is none of a server that is not there", async () => {
    for (const path of ["/servers/nowhere/health", "/servers/nowhere/metrics"])
      expect(await api("GET", path)).toMatchObject({ status: 404, answer: { detail: 'there is no server "nowhere"' } });
  });
});

describe("a restart", () => {
  test("is the registry's, in the name of whoever asks", async () => {
    const asked: unknown[] = [];
    installation.around.onRestart = (request) => (asked.push(request), { generation: 4n, revision: 1n });
    const { status, answer } = await api("POST", "/servers/one/restart");
    expect([status, answer]).toEqual([202, { server: "one", generation: 4 }]);
    expect(asked).toEqual([{ serverId: "one", actor: "admin", address: "127.0.0.1" }]);
  });

  test.each([
    ["not_found", 404],
    ["failed_precondition", 409],
  ] as const)("that the registry refuses with %s is answered %i with its reason", async (code, status) => {
    installation.around.onRestart = () => {
      throw new AppError(code, "not this one");
    };
    expect(await api("POST", "/servers/off/restart")).toMatchObject({
      status,
      type: "application/problem+json",
      answer: { code, detail: "not this one" },
    });
  });
});

describe("dead letters", () => {
  /** As a runner or a store puts them aside. */
  async function putAside(service: string, fields: object): Promise<number> {
    const { bus } = installation.runner;
    const letter = {
      subject: bus.subjects.audit("acme", "call"),
      reason: "not JSON",
      data: "x",
      truncated: false,
      at: 0,
    };
    return (await bus.js.publish(bus.subjects.dead(service), JSON.stringify({ ...letter, ...fields }))).seq;
  }

  beforeEach(async () => {
    const { bus } = installation.runner;
    for (const stream of [bus.subjects.streams.dead, bus.subjects.streams.audit]) await bus.jsm.streams.purge(stream);
  });

  test("are listed in pages, with the beginning of what they hold, and are there as a whole", async () => {
    const { bus } = installation.runner;
    const first = await putAside("audit", { data: "ä".repeat(10_000), at: 1_700_000_000_000 });
    const second = await putAside("runner", {});
    const third = await putAside("runner", { reason: "an envelope without a deadline" });
    const page = await api("GET", "/dead-letters?limit=2");
    const whole = {
      id: first,
      at: "2023-11-14T22:13:20.000Z",
      service: "audit",
      subject: bus.subjects.audit("acme", "call"),
      reason: "not JSON",
      data: "ä".repeat(10_000),
      truncated: false,
    };
    expect(page.answer.items[0]).toEqual({ ...whole, data: "ä".repeat(4_096) });
    expect([page.answer.items[1].id, page.answer.nextCursor]).toEqual([second, String(third)]);
    const rest = await api("GET", `/dead-letters?limit=2&cursor=${page.answer.nextCursor}`);
    expect(rest.answer).toMatchObject({ items: [{ id: third }], nextCursor: null });
    expect((await api("GET", "/dead-letters?service=runner")).answer.items).toHaveLength(2);
    expect((await api("GET", "/dead-letters?service=policy")).answer).toEqual({ items: [], nextCursor: null });
    expect((await api("GET", `/dead-letters/${first}`)).answer).toEqual(whole);
  });

  test("are put back once, where they came from, and are gone then", async () => {
    const { bus } = installation.runner;
    const id = await putAside("audit", { data: '{"some": "event"}' });
    const subject = bus.subjects.audit("acme", "call");
    expect(await api("POST", `/dead-letters/${id}/put-back`)).toMatchObject({ status: 200, answer: { id, subject } });
    const { audit } = bus.subjects.streams;
    const message = await bus.jsm.streams.getMessage(audit, { last_by_subj: subject });
    expect(message!.string()).toBe('{"some": "event"}');
    expect((await api("GET", `/dead-letters/${id}`)).status).toBe(404);
    expect((await api("POST", `/dead-letters/${id}/put-back`)).status).toBe(404);
    // Beside it the event that says who has done so; of what is not there is none.
    const changes = bus.subjects.audit("tollgate", "change");
    const told = await bus.jsm.streams.getMessage(audit, { last_by_subj: changes });
    const who = { principal: "admin", address: "127.0.0.1", resource: "dead_letter", name: String(id) };
    expect(told!.json()).toMatchObject({ ...who, change: "put_back", before: { service: "audit", subject } });
    expect(told!.string()).not.toContain("some");
    expect((await bus.jsm.streams.info(audit)).state.messages).toBe(2);
  });

  test.each([
    ["is not whole", { truncated: true }, "its data is not all that there was"],
    ["is of other subjects", { subject: "$JS.API.STREAM.DELETE.AUDIT" }, "not of calls or events"],
    ["nobody of ours wrote", { data: 7 }, "its data is not all that there was"],
  ])("what %s stays, and the answer says why", async (_what, fields, reason) => {
    const id = await putAside("audit", fields);
    expect(await api("POST", `/dead-letters/${id}/put-back`)).toMatchObject({
      status: 409,
      answer: { code: "failed_precondition", detail: expect.stringContaining(reason) },
    });
    expect((await api("GET", `/dead-letters/${id}`)).status).toBe(200);
    // And no event says that it was.
    const { bus } = installation.runner;
    expect((await bus.jsm.streams.info(bus.subjects.streams.audit)).state.messages).toBe(0);
  });

  test("can be dropped", async () => {
    const id = await putAside("audit", {});
    expect(await api("DELETE", `/dead-letters/${id}`)).toMatchObject({ status: 204, answer: undefined });
    expect(await api("DELETE", `/dead-letters/${id}`)).toMatchObject({ status: 404 });
  });

  test.each([
    "/dead-letters?limit=0",
    "/dead-letters?limit=101",
    "/dead-letters?cursor=x",
    "/dead-letters?service=a.>",
    "/dead-letters/x",
    "/dead-letters/0",
    "/dead-letters/99999999999999999999",
  ])("are not at %s", async (path) =>
    expect(await api("GET", path)).toMatchObject({ status: 400, answer: { code: "invalid_argument" } }),
  );
});
