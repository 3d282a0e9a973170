import { execFile } from "node:child_process";
import { access, mkdir, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { AppError } from "@tollgate/errors";

const INSTALL_TIMEOUT_MS = 120_000;
/** What a server's environment holds beside what it declares. */
const INHERITED = ["HOME", "LANG", "LC_ALL", "TMPDIR", "TZ"];

export interface ServerSpec {
  readonly serverId: string;
  readonly type: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly workingDir: string;
}

export interface Command {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
}

/**
 * How a server is started. An `npx` server is installed once, below `installDir` unless it is there already, and then
 * started without npx, which would stay as a process between. `node` servers run on this process's Node.
 * @throws {AppError} `unavailable`, with what to do
 */
export async function resolveCommand(
  spec: ServerSpec,
  options: { installDir: string; baseEnv: Readonly<Record<string, string | undefined>> },
): Promise<Command> {
  const env: Record<string, string> = {};
  for (const name of INHERITED) {
    const value = options.baseEnv[name];
    if (value !== undefined) env[name] = value;
  }
  env["PATH"] = `${dirname(process.execPath)}:${options.baseEnv["PATH"] ?? "/usr/local/bin:/usr/bin:/bin"}`;
  const rest = { env: { ...env, ...spec.env }, cwd: spec.workingDir === "" ? process.cwd() : spec.workingDir };
  if (spec.type === "command") return { command: spec.command, args: spec.args, ...rest };
  if (spec.type === "node") return { command: process.execPath, args: [spec.command, ...spec.args], ...rest };
  if (spec.type === "npx") {
    const script = await packageScript(spec.command, options.installDir, env);
    return { command: process.execPath, args: [script, ...spec.args], ...rest };
  }
  throw new AppError("unavailable", `server ${spec.serverId}: type ${spec.type} is not one of npx, node, command`);
}

async function packageScript(packageSpec: string, installDir: string, env: Record<string, string>): Promise<string> {
  const at = packageSpec.lastIndexOf("@");
  const name = at > 0 ? packageSpec.slice(0, at) : packageSpec;
  const version = at > 0 ? packageSpec.slice(at + 1) : undefined;
  for (let dir = import.meta.dirname; ; dir = dirname(dir)) {
    const script = await binOf(join(dir, "node_modules", name), name, version);
    if (script !== undefined) return script;
    if (dir === dirname(dir)) break;
  }
  const target = join(installDir, packageSpec.replaceAll("/", "+"));
  const installed = join(target, "node_modules", name);
  if ((await binOf(installed, name, undefined)) === undefined) await install(packageSpec, target, env);
  const script = await binOf(installed, name, undefined);
  if (script !== undefined) return script;
  throw new AppError("unavailable", `the package ${packageSpec} has no command to start`);
}

async function install(packageSpec: string, target: string, env: Record<string, string>): Promise<void> {
  const part = `${target}.${process.pid}.part`;
  await mkdir(part, { recursive: true });
  try {
    await promisify(execFile)("npm", ["install", "--no-audit", "--no-fund", "--prefix", part, packageSpec], {
      env,
      timeout: INSTALL_TIMEOUT_MS,
    });
    // Another runner may have been faster; its copy is as good.
    await rename(part, target).catch(() => access(target));
  } catch (error) {
    const detail = String((error as { stderr?: string }).stderr ?? (error as Error).message)
      .trim()
      .split("\n")[0];
    throw new AppError("unavailable", `npm could not install ${packageSpec}: ${detail}`, { cause: error });
  } finally {
    await rm(part, { recursive: true, force: true });
  }
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
