import { execFile } from "node:child_process";
import { access, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { AppError } from "@tollgate/errors";
import type { ServerSpec } from "../domain/server-spec.ts";

const INSTALL_TIMEOUT_MS = 120_000;
const INSTALL_OUTPUT_MAX_BYTES = 8 * 1024 * 1024;
const NPM_REASON_LINES_MAX = 6;
const NPM_REASON_MAX_CHARS = 400;
/** What a server's environment holds beside what it declares. */
const INHERITED = ["HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR"];

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
  /** The process is the client of a container engine. */
  readonly container?: ContainerRef;
}

export interface ContainerRef {
  /** The engine's program, absolute. */
  readonly engine: string;
  /** Of the container, which may outlive its client: it is to be removed when the process has ended. */
  readonly name: string;
}

/** How a server is started. @throws {AppError} `unavailable`, with what to do */
export type LaunchSpec = Pick<
  ServerSpec,
  "serverId" | "type" | "command" | "args" | "env" | "workingDir" | "requirements" | "limits" | "sandbox"
>;
export type CommandResolver = (spec: LaunchSpec, signal: AbortSignal) => Promise<Command>;

/**
 * An `npx` server is installed once, below `installDir` unless it is there already, and then started without npx,
 * which would stay as a process between. `node` servers run on this process's Node.
 */
export function createCommandResolver(options: {
  installDir: string;
  baseEnv: Readonly<Record<string, string | undefined>>;
}): CommandResolver {
  const { installDir, baseEnv } = options;
  /** Two processes of one package that start together share its installation. */
  const installing = new Map<string, Promise<void>>();
  const inherited: Record<string, string> = {};
  for (const name of INHERITED) {
    const value = baseEnv[name];
    if (value !== undefined) inherited[name] = value;
  }
  inherited["PATH"] = `${dirname(process.execPath)}:${baseEnv["PATH"] ?? "/usr/local/bin:/usr/bin:/bin"}`;

  async function packageScript(packageSpec: string, signal: AbortSignal): Promise<string> {
    const { name, version } = splitPackageSpec(packageSpec);
    const found = await findPackage(name, version);
    if (found !== undefined) return found;
    const target = join(installDir, packageSpec.replaceAll("/", "+"));
    const installed = join(target, "node_modules", name);
    if ((await binOf(installed, name, undefined)) === undefined) {
      const under = installing.get(target) ?? install({ packageSpec, target, env: inherited, signal });
      installing.set(target, under);
      await under.finally(() => installing.delete(target));
    }
    const script = await binOf(installed, name, undefined);
    if (script !== undefined) return script;
    throw new AppError("unavailable", `the package ${packageSpec} has no command to start`);
  }

  return async (spec, signal) => {
    const cwd = spec.workingDir === "" ? process.cwd() : spec.workingDir;
    const rest = { env: { ...inherited, ...spec.env }, cwd, files: [dirname(dirname(process.execPath))] };
    if (spec.type === "command") return { command: spec.command, args: spec.args, ...rest };
    if (spec.type === "node") return { command: process.execPath, args: [spec.command, ...spec.args], ...rest };
    if (spec.type === "npx") {
      const script = await packageScript(spec.command, signal);
      return { command: process.execPath, args: [script, ...spec.args], ...rest };
    }
    throw new AppError("unavailable", `server ${spec.serverId}: type ${spec.type} is not one of npx, node, command`);
  };
}

/** `name`, `name@version`, `@scope/name`, `@scope/name@version`. */
function splitPackageSpec(packageSpec: string): { name: string; version: string | undefined } {
  const at = packageSpec.indexOf("@", 1);
  if (at < 0) return { name: packageSpec, version: undefined };
  return { name: packageSpec.slice(0, at), version: packageSpec.slice(at + 1) };
}

/** A package that came with Tollgate itself. */
async function findPackage(name: string, version: string | undefined): Promise<string | undefined> {
  for (let dir = import.meta.dirname; ; dir = dirname(dir)) {
    const script = await binOf(join(dir, "node_modules", name), name, version);
    if (script !== undefined || dir === dirname(dir)) return script;
  }
}

async function install(options: {
  packageSpec: string;
  target: string;
  env: Readonly<Record<string, string>>;
  signal: AbortSignal;
}): Promise<void> {
  const { packageSpec, target, env, signal } = options;
  const part = await mkdtemp(`${target}.part-`);
  try {
    await promisify(execFile)("npm", ["install", "--no-audit", "--no-fund", "--prefix", part, packageSpec], {
      env,
      timeout: INSTALL_TIMEOUT_MS,
      maxBuffer: INSTALL_OUTPUT_MAX_BYTES,
      signal,
    });
    // Another runner may have been faster; its copy is as good.
    await rename(part, target).catch(() => access(target));
  } catch (error) {
    throw new AppError("unavailable", `npm could not install ${packageSpec}: ${npmReason(error)}`, { cause: error });
  } finally {
    await rm(part, { recursive: true, force: true });
  }
}

/** npm writes warnings first and a log's place last; what went wrong stands between. */
function npmReason(error: unknown): string {
  const { stderr, message, killed } = error as { stderr?: string; message: string; killed?: boolean };
  if (killed === true) return `it was not done within ${INSTALL_TIMEOUT_MS / 1_000} s`;
  const lines = (stderr ?? "").matchAll(/^npm (?:error|ERR!) (.+)$/gm);
  const said = [...lines].map((line) => line[1]!.trim()).filter((line) => line.includes(" "));
  const reason = said.slice(0, NPM_REASON_LINES_MAX).join("; ");
  return (reason === "" ? message : reason).slice(0, NPM_REASON_MAX_CHARS);
}

async function binOf(packageDir: string, name: string, version: string | undefined): Promise<string | undefined> {
  let manifest: { version?: string; bin?: string | Record<string, string> };
  try {
    manifest = JSON.parse(await readFile(join(packageDir, "package.json"), "utf8")) as typeof manifest;
  } catch {
    return undefined;
  }
  if (version !== undefined && version !== "latest" && manifest.version !== version) return undefined;
  const bins = typeof manifest.bin === "string" ? { [name]: manifest.bin } : (manifest.bin ?? {});
  const script = bins[name.slice(name.lastIndexOf("/") + 1)] ?? Object.values(bins)[0];
  return script === undefined ? undefined : join(packageDir, script);
}
