import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

const READY_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 15_000;
const OUTPUT_KEPT_MAX_CHARS = 20_000;
const ROOT = join(import.meta.dirname, "..", "..", "..");

/** A service as a process of its own, as a user runs it. */
export interface ServiceProcess {
  readonly pid: number;
  /** What it has written last. */
  output(): string;
  /** @throws when it does not end in time; it is killed then */
  stop(signal: NodeJS.Signals): Promise<void>;
}

/** Resolves when it is ready. `root` is where the project lies whose service it is: this one, if nothing is said. */
export async function startService(
  service: string,
  env: Readonly<Record<string, string>>,
  root: string = ROOT,
): Promise<ServiceProcess> {
  const child = spawn(process.execPath, [join(root, "services", service, "src", "main.ts")], {
    env,
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  let output = "";
  const keep = (chunk: Buffer) => (output = (output + chunk).slice(-OUTPUT_KEPT_MAX_CHARS));
  child.stdout!.on("data", keep);
  child.stderr!.on("data", keep);

  const signal = AbortSignal.timeout(READY_TIMEOUT_MS);
  const ready = once(child, "message", { signal }).then(() => true);
  const ended = once(child, "exit", { signal }).then(() => false);
  ended.catch(() => undefined);
  if (!(await Promise.race([ready, ended]).catch(() => false))) {
    child.kill("SIGKILL");
    throw new Error(`${service} did not become ready:\n${output}`);
  }
  return {
    pid: child.pid!,
    output: () => output,
    async stop(how) {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill(how);
      await once(child, "exit", { signal: AbortSignal.timeout(STOP_TIMEOUT_MS) }).catch(() => {
        child.kill("SIGKILL");
        throw new Error(`${service} did not stop within ${STOP_TIMEOUT_MS} ms:\n${output}`);
      });
    },
  };
}
