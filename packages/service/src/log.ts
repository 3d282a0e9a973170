import { destination, type Logger, pino } from "pino";

export type Log = Logger;

/** Paths whose values never reach the log, whatever object is logged (invariant 9). */
const SECRET_PATHS = ["token", "password", "authorization", "env", "*.token", "*.password", "*.authorization", "*.env"];

/**
 * JSON lines on standard output. `name` is the service, or service and instance.
 *
 * Written at once: lines on their way when the process exits would come out of order, and when nobody reads them any
 * more (the launcher was killed) the library's last flush would try for ever, and the process never end.
 */
export function createLog(options: { name: string; level: string }): Log {
  const { name, level } = options;
  return pino(
    { level, base: { service: name }, redact: { paths: SECRET_PATHS, censor: "[secret]" } },
    destination({ dest: 1, sync: true }),
  );
}
