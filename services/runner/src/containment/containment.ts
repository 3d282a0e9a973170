import { randomBytes } from "node:crypto";
import { existsSync, realpathSync } from "node:fs";
import type { Isolation, LimitsBy } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import type { Log } from "@tollgate/service";
import { isRemote, type ServerSpec } from "../domain/server-spec.ts";
import type { Command } from "../launch/command.ts";
import { findExecutable } from "../launch/program.ts";
import { type Bubblewrap, probe, sandboxed } from "./bubblewrap.ts";
import { type Cgroup, type CgroupPlace, openCgroups, ownCgroup } from "./cgroup.ts";
import { createContainerRemover } from "./containers.ts";
import { type Contained, type HeldBy, holdProcess } from "./held-process.ts";
import { limitScript } from "./limits.ts";
import { openLedger } from "./process-ledger.ts";
import { MARKER_NAME } from "./process-table.ts";
import { createSupervisor } from "./supervisor.ts";

/** How far the processes of a server are held on this machine. */
export interface Level {
  readonly isolation: Isolation;
  readonly limitsBy: LimitsBy;
}

export type ContainedSpec = Pick<ServerSpec, "serverId" | "type" | "url" | "env" | "workingDir" | "limits" | "sandbox">;

export interface Containment {
  /** @throws {AppError} `unavailable` where the server requires a sandbox and there is none */
  levelOf(spec: Pick<ContainedSpec, "serverId" | "type" | "url" | "sandbox">): Level;
  /** @throws {AppError} as `levelOf`, and where a declared folder is not there */
  contain(spec: ContainedSpec, command: Command): Contained;
  close(): Promise<void>;
}

export interface ContainmentOptions {
  readonly stateDir: string;
  /** Bubblewrap's program; "none": no sandboxes. */
  readonly bwrap: string;
  /** The folder to make cgroups in; "auto": this process's own one, "none": no cgroups. */
  readonly cgroup: string;
  /** Folders beside `stateDir` that no sandbox shows. */
  readonly hiddenFolders: readonly string[];
  /** The runner's own, for the clients of container engines. */
  readonly baseEnv: Readonly<Record<string, string | undefined>>;
  readonly log: Log;
}

/** What there is on this machine to hold processes with. */
interface Means {
  /** Linux's /proc and resource limits. */
  readonly isLinux: boolean;
  readonly cgroups: CgroupPlace | undefined;
  readonly bubblewrap: Bubblewrap;
  /** Why there is no sandbox. */
  readonly noSandbox: string | undefined;
}

/** Ends what earlier runners have left, and finds out, once, how processes can be held here. */
export async function openContainment(options: ContainmentOptions): Promise<Containment> {
  const { stateDir, log } = options;
  const containers = createContainerRemover(options);
  const { ledger, ended } = openLedger(stateDir, containers);
  if (ended > 0) log.warn({ groups: ended }, "ended server processes that an earlier runner had left");
  const means = await findMeans(options);
  const supervisor = createSupervisor();

  return {
    levelOf: (spec) => levelOf(spec, means),
    contain(spec, command) {
      const { isolation } = levelOf(spec, means);
      const marker = randomBytes(8).toString("hex");
      // Starting it says what is wrong with it.
      const isWrapped = means.isLinux && isolation !== "container" && findExecutable(command) !== undefined;
      const inside = isWrapped ? isolate(spec, command, { isolation, marker, means }) : command;
      const cgroup = isWrapped ? means.cgroups?.create(spec.limits) : undefined;
      const start = isWrapped ? limit(spec, inside, cgroup) : command;
      const by: HeldBy = {
        cgroup,
        marker,
        isSandboxed: isolation === "bubblewrap",
        controllers: means.cgroups?.controllers,
        // What a container uses its engine knows.
        isCounted: means.isLinux && isolation !== "container",
      };
      return holdProcess({ spec, command, start, by, supervisor, ledger, containers });
    },
    async close() {
      supervisor.close();
      await containers.idle();
      means.cgroups?.close();
    },
  };
}

async function findMeans({ stateDir, bwrap, cgroup, hiddenFolders, baseEnv, log }: ContainmentOptions): Promise<Means> {
  const program = findExecutable({ command: bwrap, cwd: process.cwd(), env: baseEnv }) ?? bwrap;
  const bubblewrap = {
    program,
    hidden: [stateDir, ...hiddenFolders].filter((each) => existsSync(each)).map((each) => realpathSync(each)),
  };
  const isLinux = process.platform === "linux";
  if (!isLinux) return { isLinux, cgroups: undefined, bubblewrap, noSandbox: "bubblewrap is for Linux only" };
  const cgroups = cgroup === "none" ? undefined : openCgroups(cgroup === "auto" ? ownCgroup() : cgroup);
  const noSandbox = bwrap === "none" ? "sandboxes are switched off (TOLLGATE_BWRAP)" : await probe(bubblewrap);
  log.info(
    {
      cgroup: cgroups !== undefined,
      controllers: [...(cgroups?.controllers ?? [])],
      sandbox: noSandbox ?? "bubblewrap",
    },
    "how server processes are held",
  );
  return { isLinux, cgroups, bubblewrap, noSandbox };
}

function levelOf(spec: Parameters<Containment["levelOf"]>[0], means: Means): Level {
  if (isRemote(spec)) return { isolation: "", limitsBy: "" };
  if (spec.type === "container") return { isolation: "container", limitsBy: "engine" };
  const { controllers } = means.cgroups ?? {};
  const byCgroup = controllers?.has("memory") === true && controllers.has("pids");
  const limitsBy = byCgroup ? "cgroup" : means.isLinux ? "prlimit" : "none";
  if (spec.sandbox.mode === "off") return { isolation: "none", limitsBy };
  if (means.noSandbox === undefined) return { isolation: "bubblewrap", limitsBy };
  if (spec.sandbox.mode === "auto") return { isolation: "none", limitsBy };
  throw new AppError("unavailable", `server ${spec.serverId} requires a sandbox, and ${means.noSandbox}`);
}

/** No process of a sandbox outlives it; others have a marker, by which they are found wherever they go. */
function isolate(
  spec: ContainedSpec,
  command: Command,
  { isolation, marker, means }: { isolation: Isolation; marker: string; means: Means },
): Command {
  const { bubblewrap } = means;
  if (isolation !== "bubblewrap") return { ...command, env: { ...command.env, [MARKER_NAME]: marker } };
  return { ...command, command: bubblewrap.program, ...sandboxed(bubblewrap, spec, command) };
}

/** Each part becomes the next one, so that none of them stays as a process between; but for bubblewrap's own. */
function limit({ limits }: ContainedSpec, inside: Command, cgroup: Cgroup | undefined): Command {
  const script = limitScript(limits, cgroup?.dir);
  return { ...inside, command: "/bin/sh", args: ["-c", script, "sh", inside.command, ...inside.args] };
}
