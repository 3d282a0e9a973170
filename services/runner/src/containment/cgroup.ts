import { randomBytes } from "node:crypto";
import { accessSync, constants, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { AppError } from "@tollgate/errors";
import type { LimitsSpec } from "../domain/server-spec.ts";
import { cgroupClock, type CpuClock } from "./cpu-clock.ts";
import { THREADS_PER_PROCESS } from "./limits.ts";

const CONTROLLERS = ["memory", "pids", "cpu"] as const;
export type Controller = (typeof CONTROLLERS)[number];

const CPU_PERIOD_US = 100_000;
const REMOVE_ROUNDS_MAX = 50;
const REMOVE_ROUND_MS = 10;
/** A runner's folder, with its pid; in it one for each process of a server. */
const FOLDER = /^tollgate-(\d+)-[0-9a-f]+$/;

/** Where this runner makes cgroups (version 2), and what they can hold. */
export interface CgroupPlace {
  readonly controllers: ReadonlySet<Controller>;
  /** @throws {AppError} `unavailable` where there are too many */
  create(limits: LimitsSpec): Cgroup;
  close(): void;
}

/** The cgroup of one server process and all that it starts: nothing leaves it. */
export interface Cgroup {
  readonly dir: string;
  pids(): number[];
  /** SIGKILL to all, at once. False where the kernel cannot (before 5.14). */
  kill(): boolean;
  freeze(frozen: boolean): void;
  cpuMs(): number;
  /** Processes that the kernel has killed because there was too much in memory. */
  oomKills(): number;
  /** When nothing is left in it. */
  remove(): Promise<void>;
}

/** This process's own cgroup, or undefined where version 2 is not mounted. */
export const ownCgroup = (): string | undefined =>
  cgroupFolder(read("/proc/self/mountinfo"), read("/proc/self/cgroup"));

/** What a process's mountinfo and cgroup mean, as a folder (proc(5), cgroups(7)). */
export function cgroupFolder(mountinfo: string, cgroups: string): string | undefined {
  const path = /^0::(\/.*)$/m.exec(cgroups)?.[1];
  const mount = mountinfo.split("\n").find((line) => line.includes(" - cgroup2 "));
  const [, , , root = "/", mountPoint] = mount?.split(" ") ?? [];
  if (path === undefined || mountPoint === undefined) return undefined;
  // A container may see only a part of the tree, mounted as if it were the whole.
  const below = root !== "/" && path.startsWith(root) ? path.slice(root.length) : path;
  return resolve(mountPoint, `.${below}`);
}

/** Makes a folder of this runner's own in its cgroup. Undefined where that is not allowed. */
export function openCgroups(own: string | undefined): CgroupPlace | undefined {
  if (own === undefined) return undefined;
  removeLeftovers(own);
  const dir = join(own, `tollgate-${process.pid}-${randomBytes(4).toString("hex")}`);
  try {
    accessSync(join(own, "cgroup.procs"), constants.W_OK);
    mkdirSync(dir);
  } catch {
    return undefined;
  }
  const controllers = enableControllers(own, dir);
  let count = 0;
  return {
    controllers,
    create(limits) {
      const cgroup = join(dir, `p${(count += 1)}`);
      makeFolder(cgroup);
      setLimits(cgroup, limits, controllers);
      return cgroupAt(cgroup);
    },
    close: () => remove(dir),
  };
}

function makeFolder(dir: string): void {
  try {
    mkdirSync(dir);
  } catch (cause) {
    throw new AppError("unavailable", `no cgroup could be made: ${(cause as Error).message}`, { cause });
  }
}

/** Those that can be had in folders below `dir`. */
function enableControllers(own: string, dir: string): Set<Controller> {
  const enable = (controller: Controller) =>
    write(join(own, "cgroup.subtree_control"), `+${controller}`) &&
    write(join(dir, "cgroup.subtree_control"), `+${controller}`);
  const enabled = new Set(CONTROLLERS.filter(enable));
  if (enabled.size > 0 || !isAlone(own)) return enabled;
  // A cgroup that hands out controllers has no processes of its own: the runner goes into a leaf.
  const leaf = join(dir, "runner");
  mkdirSync(leaf);
  if (!write(join(leaf, "cgroup.procs"), String(process.pid))) return enabled;
  return new Set(CONTROLLERS.filter(enable));
}

const isAlone = (dir: string): boolean => read(join(dir, "cgroup.procs")).trim() === String(process.pid);

function setLimits(dir: string, limits: LimitsSpec, controllers: ReadonlySet<Controller>): void {
  const { memoryBytes, processes, cpuMillis } = limits;
  if (controllers.has("memory") && memoryBytes > 0) {
    write(join(dir, "memory.max"), String(memoryBytes));
    write(join(dir, "memory.swap.max"), "0");
    write(join(dir, "memory.oom.group"), "1");
  }
  if (controllers.has("pids") && processes > 0) write(join(dir, "pids.max"), String(processes * THREADS_PER_PROCESS));
  if (controllers.has("cpu") && cpuMillis > 0)
    write(join(dir, "cpu.max"), `${Math.round((cpuMillis * CPU_PERIOD_US) / 1_000)} ${CPU_PERIOD_US}`);
}

export function cgroupAt(dir: string): Cgroup {
  const number = (file: string, key: string) =>
    Number(new RegExp(`^${key} (\\d+)$`, "m").exec(read(join(dir, file)))?.[1] ?? 0);
  let clock: CpuClock | undefined;
  return {
    dir,
    pids: () =>
      read(join(dir, "cgroup.procs"))
        .split("\n")
        .filter((line) => line !== "")
        .map(Number),
    kill: () => write(join(dir, "cgroup.kill"), "1"),
    freeze: (frozen) => void write(join(dir, "cgroup.freeze"), frozen ? "1" : "0"),
    cpuMs: () => (clock ??= cgroupClock(dir)).readMs() ?? 0,
    oomKills: () => number("memory.events", "oom_kill"),
    async remove() {
      clock?.close();
      for (let round = 0; round < REMOVE_ROUNDS_MAX && !remove(dir); round += 1)
        await new Promise((done) => setTimeout(done, REMOVE_ROUND_MS));
    },
  };
}

/** A folder as `create` makes them. */
export const isOfRunner = (dir: string): boolean =>
  FOLDER.test(basename(dirname(dir))) && basename(dir).startsWith("p");

/** Folders of runners that are gone. */
function removeLeftovers(own: string): void {
  for (const name of list(own)) {
    const pid = FOLDER.exec(name)?.[1];
    if (pid === undefined || read(`/proc/${pid}/stat`) !== "") continue;
    for (const each of list(join(own, name))) remove(join(own, name, each));
    remove(join(own, name));
  }
}

/** Files in it are the kernel's, and go with it. False while processes are in it. */
function remove(dir: string): boolean {
  try {
    rmdirSync(dir);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT";
  }
}

function list(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** False where the kernel refuses, or does not know the file. */
function write(path: string, text: string): boolean {
  try {
    writeFileSync(path, text);
    return true;
  } catch {
    return false;
  }
}
