import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { createServer } from "node:net";
import { basename } from "node:path";
import { freePort } from "@tollgate/embedded";
import { AppError } from "@tollgate/errors";

const COMMAND_MAX_CHARS = 100;
const LISTENING = "0A";

/** Different ports of this machine that are free now, one for each name. */
export async function pickPorts<N extends string>(names: readonly N[]): Promise<Record<N, number>> {
  const picked: [N, number][] = [];
  for (const name of names) picked.push([name, await freePort()]);
  return Object.fromEntries(picked) as Record<N, number>;
}

/** @throws {AppError} `failed_precondition`, naming the port, who has it, and what to do */
export async function assertPortFree(host: string, port: number): Promise<void> {
  const problem = await bindProblem(host, port);
  if (problem === undefined) return;
  const other = port === 8090 ? 8091 : 8090;
  const advice = `choose another with "npm start -- --port ${other}"`;
  if (problem !== "EADDRINUSE") {
    throw new AppError("failed_precondition", `the gateway cannot listen on ${host}:${port} (${problem}); ${advice}`);
  }
  const owner = portOwner(port);
  const by = owner === undefined ? "" : ` by process ${owner.pid} (${owner.name})`;
  throw new AppError("failed_precondition", `port ${port} is taken${by}; stop that, or ${advice}`);
}

function bindProblem(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

/** Who listens on a port, where the system tells this user. */
function portOwner(port: number): { pid: number; name: string } | undefined {
  const sockets = new Set([...listeners("/proc/net/tcp", port), ...listeners("/proc/net/tcp6", port)]);
  if (sockets.size === 0) return undefined;
  for (const pid of list("/proc").filter((name) => /^\d+$/.test(name))) {
    for (const fd of list(`/proc/${pid}/fd`)) {
      if (sockets.has(linkOf(`/proc/${pid}/fd/${fd}`))) return { pid: Number(pid), name: commandOf(pid) };
    }
  }
  return undefined;
}

/** Its program and first argument, as in "node server.js". */
function commandOf(pid: string): string {
  const [program = "", argument = ""] = textOf(`/proc/${pid}/cmdline`).split("\0");
  return `${basename(program)} ${argument}`.trim().slice(0, COMMAND_MAX_CHARS);
}

/** Lines of proc(5)'s net/tcp: number, local address, remote address, state, … and as tenth the socket's inode. */
function listeners(table: string, port: number): string[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const rows = textOf(table)
    .split("\n")
    .map((line) => line.trim().split(/\s+/));
  return rows
    .filter((row) => row[1]?.endsWith(suffix) === true && row[3] === LISTENING)
    .map((row) => `socket:[${row[9]}]`);
}

function list(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
