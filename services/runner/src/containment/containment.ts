import { randomBytes } from "node:crypto";
import type { Isolation, LimitsBy } from "@tollgate/contracts";
import type { Log } from "@tollgate/service";
import { isRemote, type ServerSpec } from "../domain/server-spec.ts";
import type { Command, ContainerRef } from "../launch/command.ts";
import { openLedger } from "./process-ledger.ts";
import { signalGroup } from "./signals.ts";

/** How far the processes of a server are held on this machine. */
export interface Level {
  readonly isolation: Isolation;
  readonly limitsBy: LimitsBy;
}

/** What a server's process and all that it has started use. */
export interface ProcessUsage {
  readonly memoryBytes: number;
  readonly cpuMs: number;
  readonly processes: number;
}

/** What finds everything that a server's process has started, also for the next runner after a kill -9. */
export interface Traces {
  /** In the environment of all of them, as `TOLLGATE_PROCESS`; "" where their namespace ends them. */
  readonly marker: string;
  /** The cgroup's folder, or "". */
  readonly cgroup: string;
  readonly container: ContainerRef | undefined;
}

/** A command as it is really started, and what holds its process once it runs. */
export interface Contained extends Pick<Command, "command" | "args" | "env" | "cwd"> {
  readonly traces: Traces;
  /** From the start on. `onOver`: it has been killed, because of a limit. */
  watch(pid: number, onOver: (reason: string) => void): void;
  /** As last measured; undefined where nobody counts. */
  usage(): ProcessUsage | undefined;
  /** SIGTERM to all of it. */
  terminate(): void;
  /** SIGKILL to all of it. */
  kill(): void;
  /** Its first process has gone: ends the rest. Gives the limit that was the reason, if one was. */
  release(): Promise<string | undefined>;
}

export type ContainedSpec = Pick<ServerSpec, "serverId" | "type" | "url" | "env" | "workingDir" | "limits" | "sandbox">;

export interface Containment {
  /** @throws {AppError} `unavailable` where the server requires a sandbox and there is none */
  levelOf(spec: Pick<ContainedSpec, "serverId" | "type" | "url" | "sandbox">): Level;
  /** @throws {AppError} as `levelOf`, and where a declared folder is not there */
  contain(spec: ContainedSpec, command: Command): Contained;
  close(): void;
}

/** Ends what earlier runners have left, and finds out how processes can be held here. */
export async function openContainment(options: { stateDir: string; log: Log }): Promise<Containment> {
  const { stateDir, log } = options;
  const { ledger, ended } = openLedger(stateDir);
  if (ended > 0) log.warn({ groups: ended }, "ended server processes that an earlier runner had left");
  return {
    levelOf: (spec) => ({ isolation: isRemote(spec) ? "" : "none", limitsBy: isRemote(spec) ? "" : "none" }),
    contain(_spec, { command, args, env, cwd, container }) {
      const traces = { marker: randomBytes(8).toString("hex"), cgroup: "", container };
      let leader = 0;
      return {
        command,
        args,
        env,
        cwd,
        traces,
        watch(pid) {
          leader = pid;
          ledger.add(pid);
        },
        usage: () => undefined,
        terminate: () => signalGroup(leader, "SIGTERM"),
        kill: () => signalGroup(leader, "SIGKILL"),
        release() {
          signalGroup(leader, "SIGKILL");
          ledger.remove(leader);
          return Promise.resolve(undefined);
        },
      };
    },
    close: () => undefined,
  };
}
