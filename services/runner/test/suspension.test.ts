import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { openLife } from "@tollgate/service";
import { eventually, testLog, useInfrastructure } from "@tollgate/testkit";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { assignment, type AssigningRegistry, startRegistry } from "./assigning-registry.ts";
import { useTempDir } from "./temp-dir.ts";
import { type CallOptions, useTraffic } from "./traffic.ts";

/** Above the time after which the stream gives a silent runner's messages to another. */
const REDELIVERY_MS = 20_000;

const infra = useInfrastructure();
const dir = useTempDir();
const traffic = useTraffic(infra);
const life = openLife(testLog);
const countFile = join(dir, "count");
const children: ChildProcess[] = [];
let registry: AssigningRegistry;

beforeAll(async () => {
  registry = await startRegistry({ serviceKey: infra.serviceKey, life });
  registry.assign([assignment({ env: { FIXTURE_COUNT_FILE: countFile } })]);
});
afterEach(() =>
  Promise.all(
    children.splice(0).map(async (child) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGKILL");
      await once(child, "exit");
    }),
  ),
);
afterAll(() => life.close());

/** As its own process, so that it can be suspended and killed. */
async function startProcess(stateDir = mkdtempSync(join(dir, "state-"))): Promise<ChildProcess> {
  const known = registry.reports.length;
  const child = spawn(process.execPath, [join(import.meta.dirname, "../src/main.ts")], {
    env: {
      PATH: process.env["PATH"],
      TOLLGATE_LOG_LEVEL: "warn",
      TOLLGATE_SERVICE_KEY: infra.serviceKey,
      TOLLGATE_RECORDING_KEYS: infra.recordingKeys,
      TOLLGATE_HTTP_PORT: "0",
      TOLLGATE_NATS_URL: infra.natsUrl,
      TOLLGATE_BUS_PREFIX: infra.busPrefix,
      TOLLGATE_REGISTRY_ADDRESS: registry.address,
      TOLLGATE_STATE_DIR: stateDir,
      TOLLGATE_BWRAP: "none",
    },
    stdio: ["ignore", "pipe", "inherit", "ipc"],
  });
  children.push(child);
  child.stdout!.on("data", (chunk: Buffer) => outputs.set(child, (outputs.get(child) ?? "") + chunk));
  await once(child, "message");
  await eventually(() => expect(registry.reports.length).toBeGreaterThan(known));
  return child;
}
const outputs = new Map<ChildProcess, string>();

const executions = () => (existsSync(countFile) ? readFileSync(countFile, "utf8").trim().split("\n") : []);
const ran = (n: string) => eventually(() => expect(executions()).toContain(JSON.stringify(n)));
const answered = (id: string) =>
  eventually(() => expect(traffic.replies(id).length).toBeGreaterThan(0), { timeoutMs: REDELIVERY_MS });
const holderOf = (id: string) => traffic.replied(id).at(-1)!.envelope.runner!;

test("a runner that was suspended does not add an outcome to the one that another has written", async () => {
  const suspended = await startProcess();
  const id = await traffic.send("count", { args: { n: "suspended", ms: 300 } });
  await ran("suspended");
  suspended.kill("SIGSTOP");
  // The server goes on, and answers a runner that does not read.
  await startProcess();
  await answered(id);
  expect(await traffic.answer(id)).toMatchObject({ error: { data: { code: "outcome_unknown" } } });
  expect(await traffic.outcome(id)).toMatchObject({ outcome: "unknown" });

  suspended.kill("SIGCONT");
  await eventually(() => expect(outputs.get(suspended)).toContain("this runner was suspended"));
  expect(await traffic.events(id)).toHaveLength(1);
  expect(executions()).toEqual(['"suspended"']);
  // Both go on.
  const more = await Promise.all(Array.from({ length: 20 }, (_each, n) => traffic.send("count", { args: { n } })));
  for (const each of more) expect(await traffic.outcome(each)).toMatchObject({ outcome: "ok" });
}, 60_000);

test("of a runner that is killed another takes over: unknown, or run again where that does no harm", async () => {
  const stateDir = mkdtempSync(join(dir, "state-"));
  const killed = await startProcess(stateDir);
  const unsafe = await traffic.send("count", { args: { n: "unsafe", ms: 60_000 } });
  const safe = await traffic.send("count", { args: { n: "safe", ms: 100 }, retrySafe: true });
  const stuck = await traffic.send("sleep", { args: { ms: 2_000 }, retrySafe: true });
  await ran("unsafe");
  expect(await traffic.outcome(safe)).toMatchObject({ outcome: "ok" });
  killed.kill("SIGKILL");
  await once(killed, "exit");
  await startProcess(stateDir);
  await answered(unsafe);
  await answered(stuck);
  expect(await traffic.outcome(unsafe)).toMatchObject({ outcome: "unknown" });
  expect(await traffic.outcome(stuck)).toMatchObject({ outcome: "ok" });
  expect(await traffic.events(safe)).toHaveLength(1);
  expect(executions().filter((n) => n === '"unsafe"')).toHaveLength(1);
}, 60_000);

test("what was bound to a runner that is killed is taken over as well, and nothing runs twice that may not", async () => {
  const session: CallOptions = { session: "s-1", client: { capabilities: { roots: {} } } };
  const killed = await startProcess();
  const first = await traffic.send("client", session);
  await traffic.answer(first);
  const to = holderOf(first);
  await startProcess();

  const count = (n: string, ms: number, options: CallOptions = {}) =>
    traffic.send("count", { ...session, to, args: { n, ms }, ...options });
  const unsafe = await Promise.all(["u-1", "u-2", "u-3"].map((n) => count(n, 60_000)));
  const safe = await count("s", 3_000, { retrySafe: true });
  const decision = { allow: true, policies: ["all"], revision: 1, reason: "" };
  // Nobody knows whether its fallback had its turn already.
  const fallbacks = [{ server: "fixture", tool: "count", retrySafe: false, decision }];
  const halfSafe = await count("h", 60_000, { retrySafe: true, fallbacks });
  const bound = () => executions().filter((n) => /^"(?:u-\d|s|h|later)"$/.test(n));
  await eventually(() => expect(bound()).toHaveLength(5));
  killed.kill("SIGKILL");
  await once(killed, "exit");
  // It may still be delivered to the one that is gone: only what may run again is sure to be answered.
  const later = await count("later", 0, { retrySafe: true });

  const all = [...unsafe, safe, halfSafe, later];
  await Promise.all(all.map(answered));
  const outcomes = await Promise.all(all.map(async (id) => (await traffic.outcome(id)).outcome));
  expect(outcomes).toEqual(["unknown", "unknown", "unknown", "ok", "unknown", "ok"]);
  expect(bound().toSorted()).toEqual(['"h"', '"later"', '"s"', '"s"', '"u-1"', '"u-2"', '"u-3"']);
  // The session's connection is there from now on.
  expect(holderOf(later)).not.toBe(to);
}, 90_000);
