import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { AppError } from "@tollgate/errors";
import { listenForEnd } from "./ending.ts";
import { rotateLog } from "./log-files.ts";
import { prepareStateDir, type StateDir } from "./state-dir.ts";

/** What a launcher in the background tells the one that started it. */
export type BackgroundMessage =
  | { readonly text: string }
  | { readonly ready: true }
  | { readonly failed: string; readonly code: number };

/**
 * Starts a launcher in the background, shows what it says, and returns its exit code when it is ready (0) or has failed.
 * A signal ends it, too, as long as it is not ready.
 */
export async function startInBackground(options: {
  readonly script: string;
  /** The command line without `--detach`. */
  readonly words: readonly string[];
  readonly state: StateDir;
}): Promise<number> {
  const { state } = options;
  const { signal } = listenForEnd({ background: false });
  prepareStateDir(state);
  const logFile = state.backgroundLog;
  rotateLog(logFile);
  const output = openSync(logFile, "a", 0o600);
  const child = spawn(process.execPath, [options.script, ...options.words, "--background"], {
    detached: true,
    stdio: ["ignore", output, output, "ipc"],
  });
  closeSync(output);
  const onAbort = () => child.kill("SIGTERM");
  signal.addEventListener("abort", onAbort);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.on("message", (message: BackgroundMessage) => {
        if ("text" in message) process.stdout.write(message.text);
        else if ("ready" in message) resolve(0);
        else {
          (message.code === 0 ? process.stdout : process.stderr).write(`${message.failed}\n`);
          resolve(message.code);
        }
      });
      child.once("error", reject);
      child.once("exit", (code) => {
        if (signal.aborted) resolve(130);
        else
          reject(
            new AppError("unavailable", `the launcher ended with code ${code} before it was ready; see ${logFile}`),
          );
      });
    });
  } finally {
    signal.removeEventListener("abort", onAbort);
    if (child.connected) child.disconnect();
    child.unref();
  }
}
