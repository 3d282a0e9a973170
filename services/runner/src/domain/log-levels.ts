import type { ClientSide } from "@tollgate/contracts";

/** RFC 5424, from the chattiest on. */
const LEVELS = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/** Whether a message of this level is for the client. A modern one hears nothing unless it has asked. */
export function wantsLog({ era, logLevel }: Pick<ClientSide, "era" | "logLevel">, level: unknown): boolean {
  if (logLevel === undefined) return era === "legacy";
  return LEVELS.indexOf(String(level)) >= LEVELS.indexOf(logLevel);
}

/**
 * The level that a server has to be told, if any: what its one client wants; or on a shared connection the chattiest
 * that anybody has wanted.
 */
export function levelToTell(
  wanted: string,
  { told, shared }: { told: string | undefined; shared: boolean },
): string | undefined {
  if (wanted === told || !LEVELS.includes(wanted)) return undefined;
  const quieter = told !== undefined && LEVELS.indexOf(wanted) > LEVELS.indexOf(told);
  return shared && quieter ? undefined : wanted;
}
