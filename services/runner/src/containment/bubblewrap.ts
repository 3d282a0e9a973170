import { execFile } from "node:child_process";
import { existsSync, lstatSync, readlinkSync, realpathSync } from "node:fs";
import { promisify } from "node:util";
import { AppError } from "@tollgate/errors";
import type { ServerSpec } from "../domain/server-spec.ts";
import type { Command } from "../launch/command.ts";
import { findExecutable } from "../launch/program.ts";
import { THREADS_PER_PROCESS } from "./limits.ts";

const MIB = 1024 * 1024;
/** Of each folder that is private and empty at the start. What is written there is in memory. */
const SCRATCH_MAX_BYTES = 256 * MIB;
const PROBE_TIMEOUT_MS = 5_000;
const SYSTEM_FOLDERS = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/etc"];
const SCRATCH_FOLDERS = ["/tmp", "/home", "/root", "/run", "/var/tmp"];
const HOME = "/run/server";
/** In the system's folders, and nobody's but the machine's. Its own user may be root, who would read them. */
const HIDDEN = [
  "/etc/shadow",
  "/etc/shadow-",
  "/etc/gshadow",
  "/etc/gshadow-",
  "/etc/ssl/private",
  "/etc/ssh",
  "/etc/sudoers.d",
  "/etc/docker",
  "/etc/kubernetes",
];
const KEPT_OF_ROOT = ["CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_CHOWN"];
/** Variables that name a file which a server reads for its certificate authorities. */
const CA_VARIABLES = ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR"];

/** Bubblewrap as it is on this machine. */
export interface Bubblewrap {
  readonly program: string;
  /** Folders of the installation's own that no server sees, by their real paths. */
  readonly hidden: readonly string[];
}

export type Sandboxed = Pick<ServerSpec, "serverId" | "env" | "workingDir" | "limits" | "sandbox">;

/** Starts something in a sandbox, and says what went wrong, or undefined. */
export async function probe(bubblewrap: Bubblewrap): Promise<string | undefined> {
  const sandbox = { mode: "required", network: false, read: [], write: [] } as const;
  const args = [...viewArgs(0, sandbox), "--", "true"];
  try {
    await promisify(execFile)(bubblewrap.program, args, { timeout: PROBE_TIMEOUT_MS, env: { PATH: "/usr/bin:/bin" } });
    return undefined;
  } catch (error) {
    const { stderr, message, code } = error as Error & { stderr?: string; code?: string | number };
    if (code === "ENOENT") return "bubblewrap is not there; install it with: apt-get install bubblewrap";
    return `bubblewrap does not work here: ${(stderr?.trim() || message).slice(0, 300)}`;
  }
}

/**
 * The command in a view of its own: the system's folders and the command's own files to read, what was declared, and
 * nothing else; no other process; the network only where it may; of the environment what it was given.
 * @throws {AppError} `unavailable` where a declared folder is not there
 */
export function sandboxed(bubblewrap: Bubblewrap, spec: Sandboxed, command: Command): Pick<Command, "args" | "env"> {
  const { serverId, limits, sandbox } = spec;
  const folders = [...sandbox.read, ...sandbox.write, ...(spec.workingDir === "" ? [] : [spec.workingDir])];
  const missing = folders.find((folder) => !existsSync(folder));
  if (missing !== undefined)
    throw new AppError("unavailable", `server ${serverId}: the folder ${missing} is not there`);
  const mounts = mountsOf(bubblewrap, spec, command);
  const args = [
    ...viewArgs(limits.memoryBytes, sandbox),
    ...mounts.flatMap(([path, kind]) => (kind === "--tmpfs" ? [kind, path] : [kind, path, path])),
    // Up to here mount points are made in them.
    ...["/", ...mounts.flatMap(([path, kind]) => (kind === "--tmpfs" ? path : []))].flatMap(readOnly),
    "--dir",
    HOME,
    "--chdir",
    workingDirOf(spec, command, mounts),
    "--",
    ...processLimit(limits.processes),
    command.command,
    ...command.args,
  ];
  const { HOME: home = HOME, TMPDIR: scratch = "/tmp" } = spec.env;
  return { args, env: { ...command.env, HOME: home, TMPDIR: scratch } };
}

type Mount = readonly [path: string, kind: "--bind" | "--ro-bind" | "--tmpfs"];

/** What is visible beside the system's folders, the outer before the inner: the innermost says what may be done. */
function mountsOf({ hidden }: Bubblewrap, { sandbox, workingDir }: Sandboxed, command: Command): Mount[] {
  const program = findExecutable(command);
  const needed = [
    ...command.files,
    // Not where its folder is shown: it may be a link there, as a virtual environment's Python is.
    ...(program === undefined || isInOneOf(program, command.files) ? [] : [program]),
    ...CA_VARIABLES.flatMap((name) => command.env[name] ?? []),
    ...(workingDir === "" ? [] : [workingDir]),
  ];
  const visible = [...SYSTEM_FOLDERS, ...sandbox.write];
  const isVisible = (path: string) => isInOneOf(path, visible) && !isInOneOf(path, hidden);
  const mounts = new Map<string, Mount[1]>();
  for (const path of needed) if (path !== "/" && existsSync(path) && !isVisible(path)) mounts.set(path, "--ro-bind");
  for (const path of sandbox.read) mounts.set(path, "--ro-bind");
  for (const path of sandbox.write) mounts.set(path, "--bind");
  const shown = [...SYSTEM_FOLDERS, ...mounts.keys()];
  for (const path of shown.flatMap((folder) => placesBelow(folder, hidden))) mounts.set(path, "--tmpfs");
  return [...mounts].toSorted(([a], [b]) => a.length - b.length);
}

/** Where folders are seen that are below this one, which may be a link to another place. */
function placesBelow(folder: string, folders: readonly string[]): string[] {
  const real = existsSync(folder) ? realpathSync(folder) : folder;
  return folders.filter((each) => isInOneOf(each, [real])).map((each) => folder + each.slice(real.length));
}

/** The one that was declared; else the runner's own where that can be seen: a script's path may start there. */
function workingDirOf({ workingDir }: Sandboxed, { cwd }: Command, mounts: readonly Mount[]): string {
  if (workingDir !== "") return workingDir;
  const [, kind] = mounts.findLast(([path]) => isInOneOf(cwd, [path])) ?? [];
  return kind === undefined || kind === "--tmpfs" ? HOME : cwd;
}

const isInOneOf = (path: string, folders: readonly string[]): boolean =>
  folders.some((folder) => path === folder || path.startsWith(`${folder}/`));

/**
 * The kernel's own limit, where the sandbox has a user of its own: else it would count all that the user has. It counts
 * threads; dash calls it -p and bash -u.
 */
function processLimit(processes: number): string[] {
  if (processes === 0 || isRoot()) return [];
  const tasks = processes * THREADS_PER_PROCESS;
  return ["/bin/sh", "-c", `ulimit -u ${tasks} 2>/dev/null || ulimit -p ${tasks} 2>/dev/null; exec "$@"`, "sh"];
}

function viewArgs(memoryBytes: number, { network }: ServerSpec["sandbox"]): string[] {
  const scratchBytes = String(memoryBytes > 0 ? Math.min(memoryBytes, SCRATCH_MAX_BYTES) : SCRATCH_MAX_BYTES);
  const scratch = (folder: string) => ["--size", scratchBytes, "--tmpfs", folder];
  return [
    "--die-with-parent",
    "--unshare-pid",
    "--unshare-ipc",
    "--unshare-uts",
    // Root would lose its rights over files of others in one; of its other rights, such as making devices, it keeps none.
    ...(isRoot() ? ["--cap-drop", "ALL", ...KEPT_OF_ROOT.flatMap((each) => ["--cap-add", each])] : ["--unshare-user"]),
    ...(network ? [] : ["--unshare-net"]),
    ...SYSTEM_FOLDERS.flatMap(systemFolder),
    ...HIDDEN.flatMap((path) => (existsSync(path) ? hide(path) : [])),
    "--proc",
    "/proc",
    "--dev",
    "/dev",
    ...scratch("/dev/shm"),
    ...readOnly("/dev"),
    ...SCRATCH_FOLDERS.flatMap(scratch),
    ...resolverFile(),
  ];
}

const isRoot = (): boolean => process.getuid?.() === 0;

function systemFolder(path: string): string[] {
  if (!existsSync(path)) return [];
  return lstatSync(path).isSymbolicLink() ? ["--symlink", readlinkSync(path), path] : ["--ro-bind", path, path];
}

const readOnly = (path: string): string[] => ["--remount-ro", path];

const hide = (path: string): string[] =>
  lstatSync(path).isDirectory() ? ["--tmpfs", path, ...readOnly(path)] : ["--ro-bind", "/dev/null", path];

/** Where names are resolved by systemd, /etc/resolv.conf leads to /run. */
function resolverFile(): string[] {
  try {
    const path = realpathSync("/etc/resolv.conf");
    return path.startsWith("/etc/") ? [] : ["--ro-bind", path, path];
  } catch {
    return [];
  }
}
