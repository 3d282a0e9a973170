import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "@tollgate/testkit";
import { expect, test } from "vitest";
import { cgroupFolder, openCgroups, ownCgroup } from "../src/containment/cgroup.ts";
import { containedSpec } from "./contained-spec.ts";
import { startHeld, useContainment } from "./containment-fixture.ts";
import { isRunning } from "./processes.ts";
import { useTempDir } from "./temp-dir.ts";

const MIB = 1024 * 1024;
const dir = useTempDir();

/**
 * A folder that looks like a cgroup. The kernel gives memory, pids and cpu to few places (the root of the machine, or
 * what systemd delegates), so that what is written there is tried on files; the rest is tried on real cgroups.
 */
function madeUp(name: string): string {
  const root = join(dir, name);
  mkdirSync(root);
  writeFileSync(join(root, "cgroup.procs"), "1\n2\n");
  writeFileSync(join(root, "cgroup.subtree_control"), "");
  return root;
}

const limits = {
  ...containedSpec().limits,
  memoryBytes: 512 * MIB,
  processes: 10,
  cpuMillis: 1_500,
};

test("limits are written where there are controllers", () => {
  const place = openCgroups(madeUp("full"))!;
  expect([...place.controllers]).toEqual(["memory", "pids", "cpu"]);
  const cgroup = place.create(limits);
  const file = (name: string) => readFileSync(join(cgroup.dir, name), "utf8");
  expect(file("memory.max")).toBe(String(512 * MIB));
  expect([file("memory.swap.max"), file("memory.oom.group")]).toEqual(["0", "1"]);
  // The kernel counts threads.
  expect(file("pids.max")).toBe("160");
  expect(file("cpu.max")).toBe("150000 100000");
});

test("no limit writes nothing", () => {
  const cgroup = openCgroups(madeUp("unlimited"))!.create(containedSpec().limits);
  for (const name of ["memory.max", "pids.max", "cpu.max"]) expect(existsSync(join(cgroup.dir, name))).toBe(false);
});

test("controllers that cannot be had are not there", () => {
  const root = madeUp("bare");
  rmSync(join(root, "cgroup.subtree_control"));
  // Writing it fails as it does where the kernel refuses.
  mkdirSync(join(root, "cgroup.subtree_control"));
  const place = openCgroups(root)!;
  expect([...place.controllers]).toEqual([]);
  expect(existsSync(join(place.create(limits).dir, "memory.max"))).toBe(false);
});

test("what the kernel has killed for its memory is read", () => {
  const cgroup = openCgroups(madeUp("oom"))!.create(limits);
  expect(cgroup.oomKills()).toBe(0);
  writeFileSync(join(cgroup.dir, "memory.events"), "low 0\nhigh 0\nmax 31\noom 1\noom_kill 2\noom_group_kill 1\n");
  expect(cgroup.oomKills()).toBe(2);
});

test("what could not be started leaves none", async () => {
  const root = madeUp("unstarted");
  const containment = await useContainment(join(dir, "unstarted-state"), { cgroup: root });
  const command = { command: process.execPath, args: [], env: {}, cwd: join(dir, "no-folder"), files: [] };
  const held = startHeld(containment, containedSpec(), command);
  await eventually(() => expect(held.exits).toEqual([expect.stringContaining("is not there")]));
  const place = readdirSync(root).find((name) => name.startsWith("tollgate-"))!;
  expect(readdirSync(join(root, place)).filter((name) => name.startsWith("p"))).toEqual([]);
});

test("used time is read", () => {
  const cgroup = openCgroups(madeUp("cpu"))!.create(limits);
  writeFileSync(join(cgroup.dir, "cpu.stat"), "usage_usec 1234000\nuser_usec 1\nsystem_usec 2\n");
  expect(cgroup.cpuMs()).toBe(1_234);
});

test("a folder that cannot be written is no place", () => {
  expect(openCgroups(join(dir, "nowhere"))).toBeUndefined();
  expect(openCgroups(undefined)).toBeUndefined();
});

test("folders of runners that are gone are removed, those of others stay", () => {
  const root = madeUp("leftovers");
  const gone = join(root, `tollgate-${2 ** 30}-0123abcd`);
  const theirs = join(root, `tollgate-${process.pid}-0123abcd`);
  const other = join(root, "other");
  for (const each of [join(gone, "p1"), theirs, other]) mkdirSync(each, { recursive: true });
  openCgroups(root);
  expect([gone, theirs, other].map((each) => existsSync(each))).toEqual([false, true, true]);
});

test.each([
  ["beside version 1", "/sys/fs/cgroup/unified", "/", "0::/a/b", "/sys/fs/cgroup/unified/a/b"],
  ["at the root", "/sys/fs/cgroup", "/", "0::/", "/sys/fs/cgroup"],
  ["of which a container sees a part", "/sys/fs/cgroup", "/docker/abc", "0::/docker/abc/x", "/sys/fs/cgroup/x"],
])("the own cgroup in a tree %s", (_what, mountPoint, root, line, expected) => {
  const mountinfo = [
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755",
    `41 31 0:38 ${root} ${mountPoint} rw,relatime - cgroup2 cgroup2 rw`,
  ].join("\n");
  expect(cgroupFolder(mountinfo, `4:memory:/elsewhere\n${line}\n`)).toBe(expected);
});

test("without version 2 there is none", () => {
  expect(cgroupFolder("31 23 0:28 / / rw - ext4 /dev/sda rw", "0::/")).toBeUndefined();
  expect(cgroupFolder("41 31 0:38 / /c rw - cgroup2 cgroup2 rw", "4:memory:/")).toBeUndefined();
});

const probe = openCgroups(ownCgroup());
probe?.close();

test.skipIf(probe === undefined)("a real one is left by nobody, killed at once, and removed", async () => {
  const containment = await useContainment(join(dir, "state"));
  const fork = "f() { sleep 300 & [ $1 -gt 0 ] && (setsid sh -c 'sleep 300 & sleep 300' & f $(($1 - 1))); }; f 5; wait";
  const held = startHeld(containment, containedSpec(), {
    command: "/bin/sh",
    args: ["-c", `cat /proc/self/cgroup; ${fork}`],
    env: { PATH: process.env["PATH"] ?? "" },
    cwd: dir,
    files: [],
  });
  await eventually(() => expect(held.contained.usage()?.processes).toBeGreaterThan(10));
  const path = held.lines.find((line) => line.startsWith("0::"))!.slice(3);
  const folder = join(ownCgroup()!, path.slice(path.lastIndexOf("/tollgate-")));
  const pids = readFileSync(join(folder, "cgroup.procs"), "utf8").trim().split("\n").map(Number);
  expect(pids).toContain(held.server.pid);
  held.contained.kill();
  await eventually(() => expect(held.exits).toEqual(["was ended by SIGKILL"]));
  expect(pids.filter(isRunning)).toEqual([]);
  expect(existsSync(folder)).toBe(false);
});
