import { type Logger, pino } from "pino";

export type Log = Logger;

/** Paths whose values never reach the log, whatever object is logged (invariant 9). */
const SECRET_PATHS = ["token", "password", "authorization", "env", "*.token", "*.password", "*.authorization", "*.env"];

/** JSON lines on standard output. `name` is the service, or service and instance. */
export function createLog(options: { name: string; level: string }): Log {
  return pino({
    level: options.level,
    base: { service: options.name },
    redact: { paths: SECRET_PATHS, censor: "[secret]" },
  });
}
