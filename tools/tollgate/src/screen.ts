import { appendFileSync } from "node:fs";

/** Where the launcher tells what it does. */
export interface Screen {
  /** One line of progress; kept in the launcher's log as well. */
  line(text: string): void;
  /** Shown only: it may hold a token. */
  show(text: string): void;
}

export function openScreen(options: { write: (text: string) => void; logFile: string }): Screen {
  return {
    line(text) {
      options.write(`${text}\n`);
      appendFileSync(options.logFile, `${new Date().toISOString()} ${text}\n`, { mode: 0o600 });
    },
    show: (text) => options.write(`${text}\n`),
  };
}

/** Tells that a step is done, and how long it took. */
export async function timed<T>(screen: Screen, name: string, step: () => Promise<T>): Promise<T> {
  const since = performance.now();
  const result = await step();
  screen.line(`✓ ${name} (${((performance.now() - since) / 1_000).toFixed(1)} s)`);
  return result;
}
