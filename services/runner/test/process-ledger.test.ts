import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, writeFileSync } from "node:fs";
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

test("the next runner ends what a killed one has left, grandchildren too", async () => {
  const stateDir = newStateDir();
  const owner = await startGroup(process.execPath, [join(import.meta.dirname, "ledger-owner.ts"), stateDir]);
  const [server = 0, grandchild = 0] = owner.said;
  groups.push(server);

  // While the owner lives its processes are its own.
  expect(openLedger(stateDir, containers).ended).toBe(0);
  expect([isRunning(server), isRunning(grandchild)]).toEqual([true, true]);

  owner.child.kill("SIGKILL");
  await once(owner.child, "exit");
  expect([isRunning(server), isRunning(grandchild)]).toEqual([true, true]);
  expect(openLedger(stateDir, containers).ended).toBe(1);
  await eventually(() => expect([isRunning(server), isRunning(grandchild)]).toEqual([false, false]));
  expect(entriesOf(stateDir)).toEqual([]);
  expect(openLedger(stateDir, containers).ended).toBe(0);
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
