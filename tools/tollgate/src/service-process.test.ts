import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "@tollgate/testkit";
import { afterAll, expect, test } from "vitest";
import { isRunning, type ProcessRef, refOf } from "./process-identity.ts";
import { startServiceProcess } from "./service-process.ts";
import { supervise } from "./supervisor.ts";

const dir = mkdtempSync(join(tmpdir(), "tollgate-service-process-"));
const started: ProcessRef[] = [];
afterAll(() => {
  rmSync(dir, { recursive: true });
  expect(started.filter(isRunning)).toEqual([]);
});

function start(name: string, script: string, signal = new AbortController().signal) {
  writeFileSync(join(dir, `${name}.mjs`), script);
  return startServiceProcess({
    name,
    script: join(dir, `${name}.mjs`),
    cwd: dir,
    env: { MARK: "1" },
    logFile: join(dir, `${name}.log`),
    stopWithinMs: 300,
    onSpawn: (pid) => started.push(refOf(pid)),
    signal,
  });
}

const READY = "process.send({ ready: true }); setInterval(() => {}, 1000);";
const DEAF = `process.on("SIGTERM", () => {}); process.on("disconnect", () => {});`;

test("is ready when it says so, and gets the environment that it is given and no other", async () => {
  const running = await start("plain", `process.stdout.write(JSON.stringify(process.env)); ${READY}`);
  await running.stop();
  expect(await running.exited).toBe("was ended by SIGTERM");
  const env = JSON.parse(readFileSync(join(dir, "plain.log"), "utf8")) as Record<string, string>;
  expect(Object.keys(env).filter((name) => !name.startsWith("NODE_CHANNEL"))).toEqual(["MARK"]);
});

test("one that ends before it is ready: the end of its log, told plainly", async () => {
  const lines = Array.from({ length: 20 }, (_, n) => JSON.stringify({ level: 30, msg: `line ${n}` })).join("\n");
  const error = JSON.stringify({ level: 60, msg: "failed to start", err: { message: "no database" } });
  const script = `process.stdout.write(${JSON.stringify(`${lines}\n${error}\nplain\n`)}); process.exitCode = 3;`;
  const failure = await start("failing", script).then(
    () => "it became ready",
    (failed: Error) => failed.message,
  );
  expect(failure).toContain("failing exited with code 3 while it started; the end of its log");
  expect(failure.split("\n").slice(1)).toEqual([
    ...Array.from({ length: 13 }, (_, n) => `  | line ${n + 7}`),
    "  | failed to start: no database",
    "  | plain",
  ]);
});

test("one that ignores SIGTERM is killed, with what it has started in its group", async () => {
  const script = `
    import { spawn } from "node:child_process";
    ${DEAF}
    const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
    process.stdout.write(String(child.pid)); ${READY}`;
  const running = await start("deaf", script);
  started.push(refOf(Number(readFileSync(join(dir, "deaf.log"), "utf8"))));
  await running.stop();
  expect(await running.exited).toBe("was ended by SIGKILL");
  await eventually(() => expect(started.filter(isRunning)).toEqual([]));
});

test("what it has started in its group ends with it, also when it is killed by another", async () => {
  const script = `
    import { spawn } from "node:child_process";
    const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
    process.stdout.write(String(child.pid)); ${READY}`;
  const running = await start("parent", script);
  started.push(refOf(Number(readFileSync(join(dir, "parent.log"), "utf8"))));
  process.kill(running.pid, "SIGKILL");
  expect(await running.exited).toBe("was ended by SIGKILL");
  await eventually(() => expect(started.filter(isRunning)).toEqual([]));
});

test("a cancelled start leaves nothing", async () => {
  const cancel = new AbortController();
  const starting = start("slow", "setInterval(() => {}, 1000);", cancel.signal);
  await eventually(() => expect(started.some(isRunning)).toBe(true));
  cancel.abort();
  await expect(starting).rejects.toThrow("the start was cancelled");
});

function keep(name: string, script: string, cancellable = true) {
  const lines: string[] = [];
  const givenUp: string[] = [];
  const supervised = supervise({
    name,
    start: (signal) => start(name, script, cancellable ? signal : undefined),
    signal: new AbortController().signal,
    onLine: (line) => lines.push(line),
    onGivenUp: (reason) => givenUp.push(reason),
  });
  return { supervised, lines, givenUp };
}

test("what crashes is started again, and given up after five times within a minute", async () => {
  const { supervised, lines, givenUp } = keep("crashing", "process.send({ ready: true }, () => process.exit(7));");
  const kept = await supervised;
  await eventually(() =>
    expect(givenUp).toEqual(["crashing ended 5 times within a minute; the last time it exited with code 7"]),
  );
  expect(lines.filter((line) => line === "crashing exited with code 7; starting it again")).toHaveLength(4);
  await kept.stop();
});

test.each([true, false])(
  "stopped while it is being started again (cancellable: %s), it does not come back",
  async (cancellable) => {
    const { supervised, lines, givenUp } = keep("returning", READY, cancellable);
    const kept = await supervised;
    const first = kept.pid;
    process.kill(first, "SIGKILL");
    await eventually(() => expect(lines).toEqual(["returning was ended by SIGKILL; starting it again"]));
    const { length } = started;
    await eventually(() => expect(started.length).toBe(length + 1));
    await kept.stop();
    expect(started.filter(isRunning)).toEqual([]);
    expect(givenUp).toEqual([]);
  },
);
