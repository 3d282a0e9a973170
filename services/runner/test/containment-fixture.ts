import { eventually, testLog } from "@tollgate/testkit";
import { afterAll, expect } from "vitest";
import {
  type ContainedSpec,
  type Containment,
  type ContainmentOptions,
  openContainment,
} from "../src/containment/containment.ts";
import type { Contained } from "../src/containment/held-process.ts";
import type { Command } from "../src/launch/command.ts";
import { startProcess, type StdioProcess } from "../src/upstream/stdio-process.ts";

/** For this test file: as a runner has it that finds no bubblewrap, unless its program is given. */
export async function useContainment(
  stateDir: string,
  options: Partial<ContainmentOptions> = {},
): Promise<Containment> {
  const containment = await openContainment({
    stateDir,
    bwrap: "none",
    cgroup: "auto",
    hiddenFolders: [],
    baseEnv: process.env,
    log: testLog,
    ...options,
  });
  afterAll(() => containment.close());
  return containment;
}

export interface Held {
  readonly contained: Contained;
  readonly server: StdioProcess;
  readonly lines: string[];
  readonly exits: string[];
}

/** Starts a command as a server is started, and ends it with the file. */
export function startHeld(containment: Containment, spec: ContainedSpec, command: Command): Held {
  const contained = containment.contain(spec, command);
  const lines: string[] = [];
  const exits: string[] = [];
  const server = startProcess({
    contained,
    lineMaxBytes: 1024 * 1024,
    onLine: (line) => void lines.push(line),
    onStderr: () => undefined,
    onExit: (reason) => exits.push(reason),
  });
  afterAll(() => server.end());
  return { contained, server, lines, exits };
}

/** The pid that a script prints first. */
export function firstPid({ lines }: Held): Promise<number> {
  return eventually(() => {
    expect(lines).not.toEqual([]);
    return Number(lines[0]);
  });
}

export async function endOf({ exits }: Held, timeoutMs = 15_000): Promise<string> {
  await eventually(() => expect(exits).toHaveLength(1), { timeoutMs });
  return exits[0]!;
}

/** What it printed until it ended. */
export async function outputOf(held: Held): Promise<string> {
  await endOf(held);
  return held.lines.join("\n");
}
