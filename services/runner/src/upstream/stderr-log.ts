const LINES_PER_SECOND_MAX = 20;
const SECOND_MS = 1_000;
/** Shorter values are everyday words and numbers: hiding them would garble a line and keep nothing secret. */
const SECRET_MIN_CHARS = 8;

/**
 * A process's standard error on its way to the log: so many lines a second, then one that says how many were left out.
 * A server may print its own environment; what it was given there is not shown.
 */
export function createStderrLog(options: {
  env: Readonly<Record<string, string>>;
  write: (line: string) => void;
  now: () => number;
}): { add(line: string): void; close(): void } {
  const { env, write, now } = options;
  const secrets = Object.values(env)
    .filter((value) => value.length >= SECRET_MIN_CHARS)
    // The longest first: one may contain another.
    .toSorted((a, b) => b.length - a.length);
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
      if (lines <= LINES_PER_SECOND_MAX)
        write(secrets.reduce((rest, secret) => rest.replaceAll(secret, "[secret]"), line));
      else timer ??= setTimeout(flush, SECOND_MS).unref();
    },
    close: flush,
  };
}
