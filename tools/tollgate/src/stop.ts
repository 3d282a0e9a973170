import { AppError } from "@tollgate/errors";
import { endLeftovers } from "./leftovers.ts";
import { signal as sendSignal, untilGone } from "./process-identity.ts";
import { liveRun } from "./run-file.ts";
import type { StateDir } from "./state-dir.ts";

const STOP_WITHIN_MS = 15_000;

/** Ends the installation of this state; gives what there is to say. */
export async function stop(state: StateDir): Promise<string> {
  const run = liveRun(state);
  if (run !== undefined) {
    sendSignal(run.launcher.pid, "SIGTERM");
    if (!(await untilGone(run.launcher, STOP_WITHIN_MS))) {
      throw new AppError(
        "deadline_exceeded",
        `process ${run.launcher.pid} did not end within ${STOP_WITHIN_MS / 1_000} s`,
      );
    }
  }
  const left = await endLeftovers(state);
  if (run !== undefined) return "Tollgate is stopped.";
  return left.length === 0
    ? "Tollgate does not run."
    : `Tollgate's launcher was gone; ended what it had left: ${left.join(", ")}.`;
}
