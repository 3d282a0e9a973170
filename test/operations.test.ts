import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Bus, connectBus, encodeFrames } from "@tollgate/bus";
import { type CallEnvelope, newCallId, type ServerHealth } from "@tollgate/contracts";
import { eventually, fixtureServer, modernClient, testLog, useInfrastructure, useSystem } from "@tollgate/testkit";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";

const COMMAND = join(import.meta.dirname, "../tools/tollgate/src/main.ts");
const CALLERS = 6;
/** Made after a restart is over, for the new processes to show that they serve. */
const CALLS_AFTER = 50;

const dir = mkdtempSync(join(tmpdir(), "tollgate-operations-"));
const countFile = (server: string) => join(dir, `count-${server}`);
const env = (server: string) => `FIXTURE_COUNT_FILE: "${countFile(server)}"`;
const infra = useInfrastructure();
const system = useSystem(infra, {
  yaml: `
groups: [{ id: demo, name: Demo }]
mcp_servers:
  - { id: old, group: demo, type: node, command: ${fixtureServer}, env: { ${env("old")} } }
  - { id: new, group: demo, type: node, command: ${fixtureServer}, env: { ${env("new")}, FIXTURE_ERA: modern } }
  - { id: off, group: demo, type: node, command: ${fixtureServer}, enabled: false }
policies:
  - { name: allow, effect: allow, principals: ["*"], actions: ["tools/call"], resources: ["*"] }
`,
});
let bus: Bus;

beforeAll(async () => {
  const { natsUrl: url, busPrefix: prefix } = infra;
  bus = await connectBus({ url, name: "operator", prefix, log: testLog, signal: AbortSignal.timeout(600_000) });
  await system.startRunner();
  await eventually(async () => {
    const { items } = (await api("GET", "/servers")).answer;
    const status = Object.fromEntries(items.map((each: any) => [each.id, each.status]));
    expect(status).toEqual({ old: "ready", new: "ready", off: "disabled" });
  });
});
afterAll(async () => {
  await bus.drain();
  rmSync(dir, { recursive: true });
});

async function api(method: string, path: string): Promise<{ status: number; answer: any }> {
  const headers = { authorization: `Bearer ${system.adminToken}` };
  const response = await fetch(`${system.gatewayUrl}/api/v1${path}`, { method, headers });
  return { status: response.status, answer: await response.json() };
}

const call = async (name: string, args: object, token = system.token): Promise<any> => {
  const client = modernClient({ url: `${system.gatewayUrl}/mcp`, token });
  return (await client.request("tools/call", { name, arguments: args })).last;
};

/** Calls that may not run twice, of two tenants, without a pause; each is expected to be carried out. */
function keepCalling(server: string) {
  const answers: unknown[] = [];
  const ending = new AbortController();
  let calls = 0;
  const callers = Array.from({ length: CALLERS }, async (_, at) => {
    const token = at % 2 === 0 ? system.token : `${system.token}_other`;
    while (!ending.signal.aborted) answers.push(await call(`${server}__count`, { n: (calls += 1), ms: 10 }, token));
  });
  async function end(): Promise<unknown[]> {
    ending.abort();
    await Promise.all(callers);
    return answers;
  }
  onTestFinished(async () => void (await end()));
  return {
    get answered() {
      return answers.length;
    },
    end,
  };
}

const pidsOf = (runners: readonly ServerHealth[]) =>
  runners.flatMap(({ processes }) => processes.map(({ pid }) => pid));

describe("a restart through the API", () => {
  test.each(["old", "new"])(
    "replaces all processes of the server %s and fails no call",
    async (server) => {
      const calling = keepCalling(server);
      const before = await eventually(async () => {
        const { answer } = await api("GET", `/servers/${server}/health`);
        expect(answer).toMatchObject({ state: "ready", generation: 0 });
        // Both tenants are served by both runners.
        expect(answer.runners.map((each: ServerHealth) => new Set(each.processes.map(({ tenant }) => tenant)))).toEqual(
          [1, 2].map(() => new Set(["acme", "rival"])),
        );
        return pidsOf(answer.runners);
      });
      const restarted = await api("POST", `/servers/${server}/restart`);
      expect([restarted.status, restarted.answer]).toEqual([202, { server, generation: 1 }]);
      await eventually(
        async () => {
          const { answer } = await api("GET", `/servers/${server}/health`);
          expect(answer).toMatchObject({ state: "ready", status: "ready", generation: 1 });
          expect(answer.runners.map(({ generation }: ServerHealth) => generation)).toEqual([1, 1]);
          expect(pidsOf(answer.runners).filter((pid) => before.includes(pid))).toEqual([]);
          expect(pidsOf(answer.runners)).not.toEqual([]);
        },
        { timeoutMs: 25_000 },
      );
      const answered = calling.answered;
      await eventually(() => expect(calling.answered).toBeGreaterThan(answered + CALLS_AFTER));
      const answers = await calling.end();
      const failed = answers.filter((answer: any) => answer.result?.content?.[0]?.text !== "counted");
      expect(failed).toEqual([]);
      const ran = readFileSync(countFile(server), "utf8").trim().split("\n").map(Number);
      expect(ran.toSorted((a, b) => a - b)).toEqual(answers.map((_, at) => at + 1));
      const figures = (await api("GET", `/servers/${server}/metrics`)).answer;
      expect(figures).toMatchObject({ calls: { ok: answers.length }, restarts: 0, breaker: "closed" });
    },
    60_000,
  );

  test("is refused for a server that is not there, or disabled", async () => {
    expect(await api("POST", "/servers/nowhere/restart")).toMatchObject({
      status: 404,
      answer: { detail: 'there is no server "nowhere"' },
    });
    expect(await api("POST", "/servers/off/restart")).toMatchObject({
      status: 409,
      answer: { detail: 'server "off" is disabled' },
    });
  });
});

describe("dead letters", () => {
  const facts: CallEnvelope["facts"] = {
    principal: "caller",
    tenant: "acme",
    team: "research",
    client: "test",
    group: "demo",
    server: "old",
    tool: "echo",
    method: "tools/call",
    protocol: "2025-11-25",
    decision: { allow: true, policies: ["allow"], revision: 1, reason: "allowed" },
    acceptedAt: Date.now(),
    requestBytes: 10,
  };

  /** The command line against this system, as it is used where Tollgate was started. */
  async function dead(...words: string[]): Promise<any> {
    const connect = { gatewayUrl: system.gatewayUrl, token: system.token, adminToken: system.adminToken };
    writeFileSync(join(dir, "connect.json"), JSON.stringify(connect));
    const args = [COMMAND, "dead-letters", ...words, "--json", "--state", dir];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    return JSON.parse(stdout);
  }

  test("hold what no gateway wrote: it is listed, and comes back when it is put back as bad as it was", async () => {
    const subject = bus.subjects.call("demo", "standard", "acme");
    await bus.js.publish(subject, "neither call nor text of one");
    const letter = await eventually(async () => {
      const { items } = await dead("list");
      expect(items).toMatchObject([{ service: "runner", subject, data: "neither call nor text of one" }]);
      return items[0];
    });
    expect(letter.reason).not.toBe("");
    expect(await dead("show", String(letter.id))).toEqual(letter);
    expect(await dead("put-back", String(letter.id))).toEqual({ id: letter.id, subject });
    const again = await eventually(async () => {
      const { items } = await dead("list");
      expect(items).toMatchObject([{ subject, data: letter.data }]);
      expect(items[0].id).toBeGreaterThan(letter.id);
      return items[0];
    });
    expect(await dead("drop", String(again.id))).toEqual({ id: again.id });
    expect((await dead("list")).items).toEqual([]);
  });

  test("that can be processed by now are, when they are put back", async () => {
    const id = newCallId(Date.now());
    const frame = JSON.stringify({
      jsonrpc: "2.0",
      id: 1,
      method: "tools/call",
      params: { name: "echo", arguments: {} },
    });
    const envelope: CallEnvelope = {
      id,
      gateway: "g-gone",
      deadline: Date.now() + 60_000,
      retrySafe: false,
      prefixed: false,
      client: { era: "legacy", capabilities: {} },
      facts,
    };
    const letter = {
      subject: bus.subjects.call("demo", "standard", "acme"),
      reason: "a runner of an older version did not know it",
      data: encodeFrames([{ envelope, frame }]),
      truncated: false,
      at: Date.now(),
    };
    const { seq } = await bus.js.publish(bus.subjects.dead("runner"), JSON.stringify(letter));
    expect(await dead("put-back", String(seq))).toMatchObject({ id: seq });
    await eventually(async () => {
      const { items } = (await api("GET", `/audit/events?id=${id}`)).answer;
      expect(items).toMatchObject([{ id, outcome: "ok", tool: "echo" }]);
    });
    expect((await dead("list")).items).toEqual([]);
  });
});
