import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually, testLog } from "@tollgate/testkit";
import { afterEach, expect, test } from "vitest";
import { createContainerRemover } from "../src/containment/containers.ts";
import { openLedger } from "../src/containment/process-ledger.ts";
import { signalGroup } from "../src/containment/signals.ts";
import { isRunning } from "./processes.ts";
import { useTempDir } from "./temp-dir.ts";

/** Nobody's: the kernel's numbers end before it. */
const GONE_PID = 2 ** 30;

const root = useTempDir();
const containers = createContainerRemover({ baseEnv: {}, log: testLog });
const groups: number[] = [];
afterEach(() => {
  for (const pid of groups.splice(0)) signalGroup(pid, "SIGKILL");
});

/** Starts a group of its own and reads the pid that its script prints first. */
async function startGroup(command: string, args: string[]): Promise<{ child: ChildProcess; said: number[] }> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"], detached: true });
  groups.push(child.pid!);
  const [chunk] = (await once(child.stdout, "data")) as [Buffer];
  return { child, said: chunk.toString().trim().split(" ").map(Number) };
}

const newStateDir = () => mkdtempSync(join(root, "state-"));
const entriesOf = (stateDir: string) => readdirSync(join(stateDir, "processes"));

function writeEntry(stateDir: string, pid: number, startedAt: string): void {
  openLedger(stateDir, containers);
  const entry = { pid, startedAt, runnerPid: GONE_PID, runnerStartedAt: "1" };
  writeFileSync(join(stateDir, "processes", `${pid}.json`), JSON.stringify(entry));
}

test.each([
  ["in cgroups where there are any", "auto"],
  ["without", "none"],
])("the next runner ends what a killed one has left, %s", async (_where, cgroup) => {
  const stateDir = newStateDir();
  const owner = await startGroup(process.execPath, [join(import.meta.dirname, "ledger-owner.ts"), stateDir, cgroup]);
  // The server, a process of its group, and one in a session of its own.
  const left = owner.said;
  groups.push(...left);
  const running = () => left.filter(isRunning);

  // While the owner lives its processes are its own.
  expect(openLedger(stateDir, containers).ended).toBe(0);
  expect(running()).toEqual(left);

  owner.child.kill("SIGKILL");
  await once(owner.child, "exit");
  expect(running()).toEqual(left);
  expect(left).toHaveLength(3);
  expect(openLedger(stateDir, containers).ended).toBe(1);
  await eventually(() => expect(running()).toEqual([]));
  expect(entriesOf(stateDir)).toEqual([]);
  expect(openLedger(stateDir, containers).ended).toBe(0);
});

test("a container that a killed runner has left is removed by its engine", async () => {
  const stateDir = newStateDir();
  // A stand-in: what matters is what the engine is told. Containers are tried where one answers.
  const engine = join(stateDir, "engine");
  const told = join(stateDir, "told");
  writeFileSync(engine, `#!/bin/sh\necho "$*" > ${told}\n`, { mode: 0o755 });
  openLedger(stateDir, containers);
  const container = { engine, name: "tollgate-0123" };
  const entry = { pid: GONE_PID, startedAt: "1", runnerPid: GONE_PID, runnerStartedAt: "1", container };
  writeFileSync(join(stateDir, "processes", "1.json"), JSON.stringify(entry));
  openLedger(stateDir, containers);
  await containers.idle();
  expect(readFileSync(told, "utf8")).toBe("rm --force tollgate-0123\n");
});

test("a group whose leader has gone is ended", async () => {
  const stateDir = newStateDir();
  const { child, said } = await startGroup("/bin/sh", ["-c", "sleep 300 > /dev/null & echo $!"]);
  await eventually(() => expect(isRunning(child.pid!)).toBe(false));
  writeEntry(stateDir, child.pid!, "1");
  expect(openLedger(stateDir, containers).ended).toBe(1);
  await eventually(() => expect(isRunning(said[0]!)).toBe(false));
});

test("a process that got the number of one that is gone is left alone", async () => {
  const stateDir = newStateDir();
  const { child } = await startGroup("/bin/sh", ["-c", "echo 0; exec sleep 300"]);
  writeEntry(stateDir, child.pid!, "1");
  expect(openLedger(stateDir, containers).ended).toBe(0);
  expect(isRunning(child.pid!)).toBe(true);
  expect(entriesOf(stateDir)).toEqual([]);
});

test.each([
  ["nothing", ""],
  ["no JSON", "{"],
  ["no number", '{"pid":"12"}'],
  ["everybody's group", '{"pid":-1,"runnerPid":0}'],
  ["init's group", '{"pid":1,"runnerPid":0}'],
])("an entry that says %s is removed", (_what, text) => {
  const stateDir = newStateDir();
  openLedger(stateDir, containers);
  writeFileSync(join(stateDir, "processes", "12.json"), text);
  expect(openLedger(stateDir, containers).ended).toBe(0);
  expect(entriesOf(stateDir)).toEqual([]);
});
