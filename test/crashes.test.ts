import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type Bus, connectBus, decodeFrames } from "@tollgate/bus";
import type { CallEnvelope } from "@tollgate/contracts";
import {
  eventually,
  fixtureServer,
  modernClient,
  type ServiceName,
  testLog,
  useInfrastructure,
  useSystem,
} from "@tollgate/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";

const CALLS = 200;

const countFile = join(mkdtempSync(join(tmpdir(), "tollgate-count-")), "count");
const infra = useInfrastructure();
const system = useSystem(infra, {
  yaml: `
groups: [{ id: demo, name: Demo }]
mcp_servers:
  - { id: counter, group: demo, type: node, command: ${fixtureServer}, env: { FIXTURE_COUNT_FILE: "${countFile}" } }
policies:
  - { name: allow, effect: allow, principals: ["token:caller"], actions: ["tools/call"], resources: ["counter:*"] }
`,
});

/** Everything that the gateway puts on CALLS, seen from outside: what was taken in. */
const takenIn = new Set<string>();
let bus: Bus;

beforeAll(async () => {
  const { natsUrl: url, busPrefix: prefix } = infra;
  bus = await connectBus({ url, name: "watcher", prefix, log: testLog, signal: AbortSignal.timeout(600_000) });
  bus.connection.subscribe(bus.subjects.allCalls, {
    callback: (_error, message) => {
      for (const { envelope } of decodeFrames<CallEnvelope>(message.string())) takenIn.add(envelope.id);
    },
  });
});
afterAll(async () => {
  await bus.drain();
  rmSync(dirname(countFile), { recursive: true });
});

async function allEvents(): Promise<any[]> {
  const events: any[] = [];
  for (let cursor = ""; ;) {
    const url = `${system.gatewayUrl}/api/v1/audit/events?kind=call&limit=1000&cursor=${encodeURIComponent(cursor)}`;
    const response = await fetch(url, { headers: { authorization: `Bearer ${system.adminToken}` } });
    const { items, nextCursor } = (await response.json()) as { items: any[]; nextCursor: string | null };
    events.push(...items);
    if (nextCursor === null) return events;
    cursor = nextCursor;
  }
}

const meteredCalls = async (): Promise<number> => {
  const response = await fetch(`${system.gatewayUrl}/metering/usage`, {
    headers: { authorization: `Bearer ${system.adminToken}` },
  });
  return ((await response.json()) as { total: { calls: number } }).total.calls;
};

const executions = (): string[] => {
  try {
    return readFileSync(countFile, "utf8").trim().split("\n");
  } catch {
    return [];
  }
};

test.each<ServiceName>(["gateway", "runner", "policy", "registry", "audit", "metering"])(
  "kill -9 of %s while 200 calls are under way",
  async (victim) => {
    const client = modernClient({ url: `${system.gatewayUrl}/mcp`, token: system.token });
    await eventually(async () => {
      const { last } = await client.request("tools/call", { name: "counter__echo", arguments: { message: "ready" } });
      expect(last.result?.content[0].text).toBe("ready");
    });
    const before = takenIn.size;
    const calls = Array.from({ length: CALLS }, (_each, n) =>
      client
        .request("tools/call", { name: "counter__count", arguments: { n: `${victim}-${n}`, ms: 300 } })
        .catch((error: unknown) => error as Error),
    );
    await eventually(() => expect(takenIn.size - before).toBeGreaterThanOrEqual(CALLS / 2));
    await system.kill(victim);
    await system.start(victim);
    const replies = await Promise.all(calls);
    // Whoever killed the gateway broke the connections; everybody else is answered.
    if (victim !== "gateway") expect(replies.filter((reply) => reply instanceof Error)).toEqual([]);

    await eventually(
      async () => {
        const events = await allEvents();
        const ids = events.map((event) => event.id as string);
        expect(new Set(ids).size).toBe(ids.length);
        expect([...takenIn].filter((id) => !ids.includes(id))).toEqual([]);
        expect(ids.length).toBe(takenIn.size);
        expect(await meteredCalls()).toBe(ids.length);
      },
      { timeoutMs: 45_000 },
    );
    const ran = executions();
    // A runner that is killed takes with it what it had not handed over yet; any other victim leaves all of them to run.
    const ranAtLeast = victim === "runner" ? 1 : CALLS / 2;
    expect(ran.filter((each) => each.startsWith(`"${victim}-`)).length).toBeGreaterThanOrEqual(ranAtLeast);
    expect(new Set(ran).size, "no call that may not run twice ran twice").toBe(ran.length);
  },
  90_000,
);
