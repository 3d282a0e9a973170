/** A terminal sends Ctrl-C to the whole group and npm passes it on, so one press may come twice. */
const SAME_PRESS_MS = 1_000;

/** How the user asks for an end. */
export interface Ending {
  /** Aborted by the first signal: everything ends in order. */
  readonly signal: AbortSignal;
  /** Registers what a second signal does before this process ends at once; a crash does it, too. */
  onKill(kill: () => void): void;
  /** Everything has ended: nothing is left to be killed. */
  done(): void;
}

/** `background`: the channel is to the one who waits until this launcher is ready, and not to the bootstrap. */
export function listenForEnd({ background }: { background: boolean }): Ending {
  const ending = new AbortController();
  const kills: (() => void)[] = [];
  let firstAt = 0;
  const onSignal = () => {
    if (!ending.signal.aborted) {
      firstAt = Date.now();
      ending.abort();
    } else if (Date.now() - firstAt > SAME_PRESS_MS) process.exit(130);
  };
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, onSignal);
  // The bootstrap runs as long as this process does, and passes on what only it was told.
  if (!background) for (const event of ["disconnect", "message"] as const) process.on(event, () => ending.abort());
  process.on("exit", () => kills.forEach((kill) => kill()));
  return {
    signal: ending.signal,
    onKill: (kill) => void kills.push(kill),
    done: () => void kills.splice(0),
  };
}
