const LINES_PER_SECOND_MAX = 20;
const SECOND_MS = 1_000;

/** A process's standard error on its way to the log: so many lines a second, then one that says how many were left out. */
export function createStderrLog(options: { write: (line: string) => void; now: () => number }): {
  readonly add: (line: string) => void;
  readonly close: () => void;
} {
  const { write, now } = options;
  let since = now();
  let lines = 0;
  let timer: NodeJS.Timeout | undefined;

  function flush(): void {
    clearTimeout(timer);
    timer = undefined;
    if (lines > LINES_PER_SECOND_MAX) write(`(${lines - LINES_PER_SECOND_MAX} more lines were left out)`);
    since = now();
    lines = 0;
  }

  return {
    add(line) {
      if (now() - since >= SECOND_MS) flush();
      lines += 1;
      if (lines <= LINES_PER_SECOND_MAX) write(line);
      else timer ??= setTimeout(flush, SECOND_MS).unref();
    },
    close: flush,
  };
}
