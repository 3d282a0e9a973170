import { realpathSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { AppError } from "@tollgate/errors";
import type { ServerSpec } from "../domain/server-spec.ts";
import { containerStart } from "./container.ts";
import { openInstallations, type Installations } from "./installations.ts";
import { npxStart } from "./npx.ts";
import { findExecutable, installationFolders } from "./program.ts";
import { pythonStart } from "./python.ts";
import { packageFolder } from "./script.ts";
import { uvStart } from "./uv.ts";

/** What a server's environment holds beside what it declares. */
const INHERITED = ["HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR"];
/** What installers are told beside that: where packages come from. It may hold passwords, so that no server gets it. */
const FOR_INSTALLERS = /^(?:npm_config_.+|pip_\w+|uv_\w+|(?:https?|all|no)_proxy)$/i;

export interface Command {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /**
   * Absolute: files and folders beside the system's own that the process has to read, such as its package, its virtual
   * environment, its script's folder and Node itself.
   */
  readonly files: readonly string[];
  /** The process is the client of a container engine; the container of this name is to be removed when it ends. */
  readonly container?: { readonly name: string };
}

/** How a server is started. @throws {AppError} `unavailable`, with what to do */
export type LaunchSpec = Pick<
  ServerSpec,
  "serverId" | "type" | "command" | "args" | "env" | "workingDir" | "requirements" | "limits" | "sandbox"
>;
export type CommandResolver = (spec: LaunchSpec, signal: AbortSignal) => Promise<Command>;

/** What a type makes of a spec; `env` is what it needs beside what every server gets. */
export type Start = Omit<Command, "env" | "cwd"> & Partial<Pick<Command, "env" | "cwd">>;

export interface LaunchContext {
  /** Where the server is to run, absolute. */
  readonly cwd: string;
  /** What every server gets. */
  readonly env: Readonly<Record<string, string>> & { readonly PATH: string };
  readonly installerEnv: Readonly<Record<string, string>>;
  /** The runner's own, whole. */
  readonly baseEnv: Readonly<Record<string, string | undefined>>;
  readonly installations: Installations;
  readonly signal: AbortSignal;
}

const STARTS: Readonly<Record<string, (spec: LaunchSpec, context: LaunchContext) => Start | Promise<Start>>> = {
  npx: npxStart,
  node: ({ command, args }, { cwd }) => ({
    command: process.execPath,
    args: [command, ...args],
    files: command.startsWith("-") ? [] : [packageFolder(resolve(cwd, command))],
  }),
  python: pythonStart,
  uv: uvStart,
  container: containerStart,
  command: ({ command, args }, { cwd, env }) => ({
    command,
    args,
    files: programFiles(findExecutable({ command, cwd, env })),
  }),
};

/**
 * What a server needs is installed once, below `installDir`, and the server is then started without npx, pip or uv, which
 * would stay as a process between. `node` servers run on this process's Node.
 */
export function createCommandResolver(options: {
  installDir: string;
  baseEnv: Readonly<Record<string, string | undefined>>;
}): CommandResolver {
  const { installDir, baseEnv } = options;
  const installations = openInstallations(installDir);
  const path = `${dirname(process.execPath)}:${baseEnv["PATH"] ?? "/usr/local/bin:/usr/bin:/bin"}`;
  const env = { ...select(baseEnv, (name) => INHERITED.includes(name)), PATH: path };
  const installerEnv = { ...select(baseEnv, (name) => FOR_INSTALLERS.test(name)), ...env };
  const nodeFolders = installationFolders(dirname(dirname(process.execPath)));

  return async (spec, signal) => {
    const start = STARTS[spec.type];
    if (start === undefined) {
      throw new AppError("unavailable", `type ${spec.type} is not one of ${Object.keys(STARTS).join(", ")}`);
    }
    const cwd = spec.workingDir === "" ? process.cwd() : spec.workingDir;
    const started = await start(spec, { cwd, env, installerEnv, baseEnv, installations, signal });
    const files = [...new Set([...nodeFolders, ...started.files])];
    return { cwd, ...started, env: { ...env, ...started.env, ...spec.env }, files };
  };
}

/** A program, and what it is a link to. */
const programFiles = (file: string | undefined): string[] => (file === undefined ? [] : [file, realpathSync(file)]);

function select(
  env: Readonly<Record<string, string | undefined>>,
  isWanted: (name: string) => boolean,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined && isWanted(entry[0])),
  );
}
