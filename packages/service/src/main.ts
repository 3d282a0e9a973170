import { within } from "./life.ts";
import { createLog, type Log } from "./log.ts";

/** A started service. `close` gives everything back and settles within the sum of its steps' limits. */
export interface Service {
  close(this: void): Promise<void>;
}

/** How long a service that is told to stop while it starts waits for its start. */
const START_WAIT_MS = 3_000;

/**
 * Runs a service until SIGINT, SIGTERM or the end of the process that started it with an IPC channel. A second signal
 * exits at once. Exit codes: 0 stopped, 1 failed to start or crashed, 2 wrong configuration, 130 second signal.
 */
export function runMain<C extends { readonly logLevel: string }>(options: {
  readonly name: string;
  readonly readConfig: () => C;
  readonly start: (config: C, log: Log) => Promise<Service>;
}): void {
  let config: C;
  try {
    config = options.readConfig();
  } catch (error) {
    process.stderr.write(`${options.name}: ${(error as Error).message}\n`);
    process.exitCode = 2;
    return;
  }
  const log = createLog({ name: options.name, level: config.logLevel });
  const starting = options.start(config, log);
  let stopping = false;

  const stop = (why: string): void => {
    if (stopping) {
      log.warn({ why }, "second signal: exiting at once");
      process.exit(130);
    }
    stopping = true;
    log.info({ why }, "stopping");
    within(START_WAIT_MS, starting, "not started")
      .then((service) => service.close())
      .then(
        () => process.exit(0),
        (error: unknown) => {
          log.error({ err: error }, "could not stop in order");
          process.exit(1);
        },
      );
  };

  process.on("SIGINT", () => stop("SIGINT"));
  process.on("SIGTERM", () => stop("SIGTERM"));
  // Started by the launcher: its end, however it comes, is this process's end too.
  if (process.channel) {
    process.channel.unref();
    process.on("disconnect", () => stopping || stop("the launcher ended"));
  }
  process.on("unhandledRejection", (reason) => {
    log.fatal({ err: reason }, "unhandled rejection");
    process.exit(1);
  });
  starting.then(
    () => {
      log.info("ready");
      // The launcher may end in this moment; its "disconnect" says so.
      if (process.connected) process.send?.({ ready: true }, undefined, undefined, () => {});
    },
    (error: unknown) => {
      log.fatal({ err: error }, "failed to start");
      process.exit(1);
    },
  );
}
