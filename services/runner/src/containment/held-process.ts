import type { ServerSpec } from "../domain/server-spec.ts";
import type { Command } from "../launch/command.ts";
import type { Cgroup, Controller } from "./cgroup.ts";
import type { ContainerRef, ContainerRemover } from "./containers.ts";
import { overMemory, type ProcessUsage, withMemoryNote } from "./limits.ts";
import type { ProcessLedger } from "./process-ledger.ts";
import { createProcessSet, type ProcessSet } from "./process-set.ts";
import type { Supervision, Supervisor } from "./supervisor.ts";

/** Bubblewrap's own: the one outside, and the first one inside. */
const SANDBOX_PROCESSES = 2;

/** A command as it is really started, and what holds its process once it runs. */
export interface Contained {
  /** What it was before. */
  readonly original: Command;
  readonly start: Pick<Command, "command" | "args" | "env" | "cwd">;
  /** What it declares: may be secret. */
  readonly declaredEnv: Readonly<Record<string, string>>;
  /** Of a line, and of what answers nothing; 0: no limit. */
  readonly outputBytes: number;
  /** From the start on. `onOver`: it has been killed, because of a limit. */
  watch(pid: number, onOver: (reason: string) => void): void;
  /** As last measured; undefined where nobody counts. */
  usage(): ProcessUsage | undefined;
  /** Milliseconds of the processors that it has used by now; undefined where nobody counts. */
  readonly cpuMs: (() => number) | undefined;
  /** SIGTERM to all of it. */
  terminate(): void;
  /** SIGKILL to all of it. */
  kill(): void;
  /** Its first process has gone, or was never there: ends the rest. */
  release(): Promise<void>;
  /** What is to be said of it when it has ended so, and all is released: the limit that was the reason, if one was. */
  reasonFor(how: string, lastWords: string): string;
}

export interface HeldBy {
  readonly cgroup: Cgroup | undefined;
  readonly marker: string;
  readonly isSandboxed: boolean;
  readonly controllers: ReadonlySet<Controller> | undefined;
  /** Whether there is a /proc to count in. */
  readonly isCounted: boolean;
}

export function holdProcess(options: {
  spec: Pick<ServerSpec, "env" | "limits">;
  command: Command;
  start: Contained["start"];
  by: HeldBy;
  supervisor: Supervisor;
  ledger: ProcessLedger;
  containers: ContainerRemover;
}): Contained {
  const { spec, command, start, by, supervisor, ledger, containers } = options;
  const { cgroup, marker, isSandboxed, controllers, isCounted } = by;
  const { limits } = spec;
  const container: ContainerRef | undefined = command.container && {
    engine: command.command,
    name: command.container.name,
  };
  const { table } = supervisor;
  let leader = 0;
  let set: ProcessSet | undefined;
  let supervision: Supervision | undefined;
  let over: string | undefined;

  function watch(pid: number, onOver: (reason: string) => void): void {
    leader = pid;
    ledger.add(pid, { marker, cgroup: cgroup?.dir, container });
    set = createProcessSet({ leader: pid, marker, cgroup, leaderIsSandbox: isSandboxed });
    if (!isCounted) return;
    supervision = supervisor.watch({
      set,
      limits,
      extraProcesses: isSandboxed ? SANDBOX_PROCESSES : 0,
      brakedMillis: cgroup && controllers?.has("cpu") ? 0 : limits.cpuMillis,
      onOver(reason) {
        over ??= reason;
        onOver(over);
      },
    });
  }

  async function release(): Promise<void> {
    supervision?.end();
    await set?.clear(table);
    if ((cgroup?.oomKills() ?? 0) > 0) over ??= overMemory(limits);
    await cgroup?.remove();
    if (container !== undefined) containers.remove(container);
    ledger.remove(leader);
  }

  return {
    original: command,
    start,
    declaredEnv: spec.env,
    outputBytes: limits.outputBytes,
    watch,
    usage: () => supervision?.usage,
    cpuMs: isCounted ? () => set?.cpuMs() ?? 0 : undefined,
    terminate() {
      supervision?.releaseBrake();
      set?.terminate(table);
    },
    kill: () => set?.kill(table),
    release,
    reasonFor: (how, lastWords) => over ?? withMemoryNote(how, lastWords, limits),
  };
}
