import { chmod, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { downloadDebianPackage } from "./debian-package.ts";
import { EmbeddedError } from "./embedded-error.ts";
import { runToEnd, throwIfCancelled } from "./process.ts";

/** What Tollgate's streams need: per-message TTL and batched gets came with 2.11. */
const versionMin = { major: 2, minor: 11 } as const;
const probeWithinMs = 10_000;
const downloadWithinMs = 120_000;

const howToGet =
  `nats-server ${versionMin.major}.${versionMin.minor} or newer is needed on the PATH: "brew install nats-server" on macOS, ` +
  '"apt install nats-server" from Debian 14 on, or a binary from https://github.com/nats-io/nats-server/releases';

/**
 * The path of a usable nats-server: from the PATH, from an earlier download in `cacheDir`, or, on machines with apt,
 * downloaded now from the machine's own mirror into `cacheDir`; neither root nor an installation is needed.
 * @throws EmbeddedError unavailable, in one line that says how to get it
 */
export async function findNatsServer(options: {
  readonly cacheDir: string;
  readonly log: (line: string) => void;
  readonly signal?: AbortSignal | undefined;
}): Promise<string> {
  const { log, signal } = options;
  const installed = await locateOnPath(signal);
  if (installed !== undefined) {
    const version = await readVersion(installed, signal);
    if (isUsable(version)) return installed;
    log(`NATS: ${installed} is ${version ?? "unusable"}; ${versionMin.major}.${versionMin.minor} or newer is needed`);
  }
  const cached = join(resolve(options.cacheDir), "nats-server");
  if (isUsable(await readVersion(cached, signal))) return cached;
  try {
    await download({ target: cached, log, signal });
    return cached;
  } catch (cause) {
    throwIfCancelled(signal, "finding nats-server");
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new EmbeddedError("unavailable", `${howToGet} (no download: ${reason})`, { cause });
  }
}

/** Debian installs servers to /usr/sbin and brew to /opt/homebrew/bin, which not every user's PATH names. */
async function locateOnPath(signal: AbortSignal | undefined): Promise<string | undefined> {
  const script = 'PATH="$PATH:/usr/local/bin:/usr/local/sbin:/usr/sbin:/opt/homebrew/bin"; command -v nats-server';
  const { code, output } = await runToEnd(
    { file: "/bin/sh", args: ["-c", script] },
    { timeoutMs: probeWithinMs, signal, inheritEnvironment: true },
  );
  const path = output.trim();
  return code === 0 && path.startsWith("/") ? path : undefined;
}

/** "2.15.1", or undefined when the file is missing or does not run here. */
async function readVersion(binary: string, signal: AbortSignal | undefined): Promise<string | undefined> {
  const result = await runToEnd({ file: binary, args: ["--version"] }, { timeoutMs: probeWithinMs, signal }).catch(
    () => undefined,
  );
  throwIfCancelled(signal, "finding nats-server");
  return result?.code === 0 ? /\bv?(\d+\.\d+\.\d+)/.exec(result.output)?.[1] : undefined;
}

/** Whether a version as `readVersion` gives it is new enough. */
export function isUsable(version: string | undefined): boolean {
  const [major = 0, minor = 0] = (version ?? "").split(".").map(Number);
  return major > versionMin.major || (major === versionMin.major && minor >= versionMin.minor);
}

/** Appears at `target` only when it is whole and runs, so that two launchers at once do each other no harm. */
async function download(options: {
  readonly target: string;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal | undefined;
}): Promise<void> {
  const { target, log } = options;
  const timeout = AbortSignal.timeout(downloadWithinMs);
  const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;
  const cacheDir = join(target, "..");
  await mkdir(cacheDir, { recursive: true });
  const workDir = await mkdtemp(join(cacheDir, "nats-download-"));
  try {
    log("NATS: not installed; downloading nats-server with apt, this once (about 15 MB)");
    const root = await downloadDebianPackage({ name: "nats-server", suite: "newest", workDir, signal });
    const binary = join(root, "usr/sbin/nats-server");
    const version = await readVersion(binary, signal);
    if (!isUsable(version)) throw new Error(`the package's nats-server is ${version ?? "not for this machine"}`);
    await chmod(binary, 0o755);
    await rename(binary, target);
    log(`NATS: nats-server ${version} is ready`);
  } finally {
    await rm(workDir, { recursive: true, force: true });
  }
}
