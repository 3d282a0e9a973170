import { chmod, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { downloadDebianPackage } from "./debian-package.ts";
import { EmbeddedError } from "./embedded-error.ts";
import { runToEnd } from "./process.ts";

const probeWithinMs = 10_000;
const downloadWithinMs = 120_000;

/**
 * The path of bubblewrap: from the PATH, from an earlier download in `cacheDir`, or, on machines with apt, downloaded now
 * from the machine's own mirror into `cacheDir`. For tests: users install it, as the runner's messages say.
 * @throws EmbeddedError unavailable, in one line that says how to get it
 */
export async function findBubblewrap(options: { readonly cacheDir: string }): Promise<string> {
  if (await runs("bwrap")) return "bwrap";
  const cached = join(resolve(options.cacheDir), "bwrap");
  if (await runs(cached)) return cached;
  try {
    await download(cached);
    return cached;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new EmbeddedError(
      "unavailable",
      `bubblewrap is needed: apt-get install bubblewrap (no download: ${reason})`,
      {
        cause,
      },
    );
  }
}

async function runs(binary: string): Promise<boolean> {
  const probe = runToEnd({ file: binary, args: ["--version"] }, { timeoutMs: probeWithinMs, inheritEnvironment: true });
  return probe.then(
    ({ code }) => code === 0,
    () => false,
  );
}

/** Appears at `target` only when it is whole and runs, so that two tests at once do each other no harm. */
async function download(target: string): Promise<void> {
  const cacheDir = join(target, "..");
  await mkdir(cacheDir, { recursive: true });
  const workDir = await mkdtemp(join(cacheDir, "bubblewrap-download-"));
  try {
    const signal = AbortSignal.timeout(downloadWithinMs);
    const root = await downloadDebianPackage({ name: "bubblewrap", suite: "own", workDir, signal });
    const binary = join(root, "usr/bin/bwrap");
    if (!(await runs(binary))) throw new Error("the package's bwrap is not for this machine");
    await chmod(binary, 0o755);
    await rename(binary, target);
  } finally {
    await rm(workDir, { recursive: true, force: true });
  }
}
