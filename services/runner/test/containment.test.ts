import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "@tollgate/testkit";
import { describe, expect, test } from "vitest";
import { containedSpec } from "./contained-spec.ts";
import { endOf, firstPid, type Held, outputOf, startHeld, useContainment } from "./containment-fixture.ts";
import { isRunning } from "./processes.ts";
import { useTempDir } from "./temp-dir.ts";

const MIB = 1024 * 1024;

const dir = useTempDir();
const isLinux = process.platform === "linux";
type Limits = Parameters<typeof containedSpec>[0];

/** A process that nobody would find by its group. */
const DAEMON = "setsid sh -c 'echo $$; trap \"\" TERM; exec sleep 300'";

/** Where cgroups cannot be made the first goes the second way, too. */
describe.skipIf(!isLinux).each([
  ["in a cgroup", "auto"],
  ["without cgroups", "none"],
])("%s", async (_where, cgroup) => {
  const stateDir = join(dir, cgroup);
  const containment = await useContainment(stateDir, { cgroup });

  const start = (command: string, args: string[], limits?: Limits): Held =>
    startHeld(containment, containedSpec(limits), {
      command,
      args,
      env: { PATH: process.env["PATH"] ?? "" },
      cwd: dir,
      files: [],
    });
  const sh = (script: string, limits?: Limits) => start("/bin/sh", ["-c", script], limits);
  const node = (script: string, limits?: Limits) => start(process.execPath, ["-e", script], limits);

  describe("limits", () => {
    test("memory", async () => {
      const held = node("const taken = []; setInterval(() => taken.push(Buffer.alloc(20 * 1024 * 1024, 1)), 20)", {
        memoryBytes: 200 * MIB,
      });
      expect(await endOf(held)).toBe("used more than 200 MiB of memory (limits.memory_mb)");
    });

    test("memory of all that it has started, together", async () => {
      const child = `globalThis.taken = Buffer.alloc(${120 * MIB}, 1); setInterval(() => 0, 1000)`;
      const held = node(
        `for (let i = 0; i < 3; i++) require("node:child_process").spawn(process.execPath, ["-e", ${JSON.stringify(child)}]); setInterval(() => 0, 1000)`,
        { memoryBytes: 300 * MIB },
      );
      expect(await endOf(held)).toBe("used more than 300 MiB of memory (limits.memory_mb)");
    });

    test("memory that processes share is counted once", async () => {
      // Each of the four has the same 60 MiB, which nobody writes to.
      const script = `
import mmap, os, time
shared = mmap.mmap(-1, ${60 * MIB}); shared.write(b"x" * ${60 * MIB})
for _ in range(3):
  if os.fork() == 0: sum(shared[i] for i in range(0, ${60 * MIB}, 4096)); print("ready", flush=True); time.sleep(300)
time.sleep(300)`;
      const held = start("python3", ["-c", script], { memoryBytes: 150 * MIB });
      await eventually(() => expect(held.lines).toHaveLength(3));
      await eventually(() => expect(held.contained.usage()?.processes).toBe(4));
      const { memoryBytes = 0 } = held.contained.usage() ?? {};
      expect(memoryBytes).toBeGreaterThan(60 * MIB);
      expect(memoryBytes).toBeLessThan(150 * MIB);
      expect(held.exits).toEqual([]);
      await held.server.end();
    });

    test("more than the kernel gives, before anybody has counted it", async () => {
      const held = start("python3", ["-c", `x = bytearray(${4096 * MIB})`], { memoryBytes: 100 * MIB });
      expect(await endOf(held)).toBe("exited with code 1: it ran out of memory (limits.memory_mb is 100)");
    });

    test("processes", async () => {
      const held = node(
        'setInterval(() => require("node:child_process").spawn("sleep", ["300"], { detached: Math.random() < 0.5 }), 5)',
        { processes: 20 },
      );
      await eventually(() => expect(held.contained.usage()?.processes).toBeGreaterThan(1));
      expect(await endOf(held)).toBe("had more than 20 processes (limits.processes)");
    });

    test("open files", async () => {
      const held = node('console.log(require("node:child_process").execSync("ulimit -n; ulimit -c").toString())', {
        openFiles: 100,
      });
      expect((await outputOf(held)).split("\n")).toEqual(["100", "0"]);
    });

    test("processor time", async () => {
      const held = sh("echo $$; while :; do :; done", { cpuMillis: 250 });
      await firstPid(held);
      const usedMs = () => held.contained.usage()?.cpuMs ?? 0;
      await eventually(() => expect(usedMs()).toBeGreaterThan(0));
      const before = { used: usedMs(), at: Date.now() };
      await eventually(() => expect(usedMs() - before.used).toBeGreaterThan(500), { timeoutMs: 20_000 });
      // A quarter of a core at the most; on a busy machine it is less.
      expect((usedMs() - before.used) / (Date.now() - before.at)).toBeLessThan(0.4);
      await held.server.end();
      expect(held.exits).toEqual(["was ended by SIGTERM"]);
    });

    test("none are kept where none are declared", async () => {
      const held = node("globalThis.taken = Buffer.alloc(300 * 1024 * 1024, 1); console.log('taken')");
      expect(await outputOf(held)).toBe("taken");
      expect(held.exits).toEqual(["exited with code 0"]);
    });
  });

  describe("nothing is left", () => {
    test("of a daemon, when its server is ended", async () => {
      const held = sh(`${DAEMON} & cat > /dev/null`);
      const daemon = await firstPid(held);
      expect(isRunning(daemon)).toBe(true);
      await held.server.end();
      expect([isRunning(daemon), isRunning(held.server.pid)]).toEqual([false, false]);
      expect(readdirSync(join(stateDir, "processes"))).not.toContain(`${held.server.pid}.json`);
    });

    test("of a daemon, when its server ends", async () => {
      const held = sh(`${DAEMON} & sleep 0.1`);
      const daemon = await firstPid(held);
      await endOf(held);
      expect(isRunning(daemon)).toBe(false);
    });

    test("of a daemon that holds none of its server's output, and is nobody's child", async () => {
      const pidFile = join(stateDir, "orphan");
      const orphan = `(setsid sh -c 'echo $$ > ${pidFile}; exec sleep 300' > /dev/null 2>&1 < /dev/null &)`;
      const held = sh(`${orphan}; while [ ! -s ${pidFile} ]; do sleep 0.01; done; cat ${pidFile}; cat > /dev/null`);
      const daemon = await firstPid(held);
      await held.server.end();
      expect(isRunning(daemon)).toBe(false);
    });

    test("of what takes no SIGTERM", async () => {
      const held = node('process.on("SIGTERM", () => 0); setInterval(() => 0, 1000); console.log(process.pid)');
      await firstPid(held);
      await held.server.end();
      expect(held.exits).toEqual(["was ended by SIGKILL"]);
      expect(isRunning(held.server.pid)).toBe(false);
    });

    test("SIGTERM comes once, to each of them", async () => {
      const trap = "trap 'echo term' TERM; echo ready; while :; do sleep 0.05; done";
      const held = sh(`(${trap}) & ${trap}`);
      await eventually(() => expect(held.lines).toEqual(["ready", "ready"]));
      await held.server.end();
      expect(held.lines).toEqual(["ready", "ready", "term", "term"]);
    });

    test("of its traces", async () => {
      const held = sh("cat > /dev/null");
      const file = join(stateDir, "processes", `${held.server.pid}.json`);
      expect(existsSync(file)).toBe(true);
      await held.server.end();
      expect(existsSync(file)).toBe(false);
    });
  });

  test("what is used is counted, all of it together", async () => {
    const held = sh("sleep 300 & sleep 300 & echo $$; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; wait");
    await firstPid(held);
    await eventually(() => {
      const usage = held.contained.usage();
      expect(usage?.processes).toBe(3);
      expect(usage?.cpuMs).toBeGreaterThan(20);
      expect(usage?.memoryBytes).toBeGreaterThan(MIB);
    });
  });
});
