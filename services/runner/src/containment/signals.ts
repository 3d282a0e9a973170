/** Signals every process of a group. */
export function signalGroup(pid: number, signal: NodeJS.Signals): void {
  if (pid > 1) trySignal(-pid, signal);
}

/** One that is gone, or that has become another user's, is no error. */
export function trySignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ESRCH" && code !== "EPERM") throw error;
  }
}
