import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { beforeEach } from "vitest";
import { toServerSpec } from "../src/domain/server-spec.ts";
import { type Command, createCommandResolver, type LaunchSpec } from "../src/launch/command.ts";
import { assignment } from "./assigning-registry.ts";
import { useTempDir } from "./temp-dir.ts";

const neverAborted = new AbortController().signal;

/** Folders for one test: its own, and the one below which servers are installed. */
export interface Place {
  dir: string;
  installDir: string;
}

export function usePlace(): Place {
  const root = useTempDir();
  const place: Place = { dir: "", installDir: "" };
  beforeEach(() => {
    place.dir = mkdtempSync(join(root, "case-"));
    place.installDir = join(place.dir, "servers");
    mkdirSync(place.installDir);
  });
  return place;
}

/** Resolves with `path` as the runner's PATH. */
export function resolverIn({ installDir }: Place, path: string, env: Record<string, string> = {}) {
  const baseEnv = { HOME: process.env["HOME"], PATH: path, ...env };
  const resolve = createCommandResolver({ installDir, baseEnv });
  return (spec: Partial<LaunchSpec>, signal = neverAborted) => resolve({ ...specOf(), ...spec }, signal);
}

export function specOf(): LaunchSpec {
  return toServerSpec(assignment({ serverId: "s", type: "npx", command: "" }));
}

/** A folder for PATH that holds one program, a shell script that notes each of its runs. */
export function programThat({ dir }: Place, name: string, script: string): { bin: string; runs: () => number } {
  const bin = mkdtempSync(join(dir, "bin-"));
  const log = join(bin, "runs");
  writeFileSync(log, "");
  writeFileSync(join(bin, name), `#!/bin/sh\necho run >> "${log}"\n${script}\n`);
  chmodSync(join(bin, name), 0o755);
  return { bin, runs: () => readFileSync(log, "utf8").split("\n").length - 1 };
}

/** Where this machine has a program. */
export function placeOf(name: string): string {
  const places = (process.env["PATH"] ?? "").split(delimiter).map((folder) => join(folder, name));
  const script = `for each in "$@"; do [ -x "$each" ] && echo "$each"; done; true`;
  return execFileSync("/bin/sh", ["-c", script, "-", ...places])
    .toString()
    .split("\n")[0]!;
}

/** Runs a command to its end, with its own environment and in its own folder, and gives what it writes. */
export function outputOf({ command, args, env, cwd }: Command): string {
  return execFileSync(command, args, { env, cwd }).toString();
}
