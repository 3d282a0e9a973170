import { parseJson } from "@tollgate/mcp";
import { levelToTell } from "../domain/log-levels.ts";
import type { Handshake } from "./handshake.ts";
import type { Wire } from "./wire.ts";

const ANSWER_TIMEOUT_MS = 5_000;

/** Keeps a legacy server's log level what its clients want, where it has one. */
export function createLogLevel(
  wire: Wire,
  { handshake, shared }: { handshake: Handshake; shared: boolean },
): (wanted: string) => Promise<unknown> | undefined {
  const capabilities = parseJson(handshake.capabilities) as { logging?: unknown } | null;
  const hasLevel = handshake.era === "legacy" && capabilities?.logging !== undefined;
  let told: string | undefined;
  return (wanted) => {
    const level = hasLevel ? levelToTell(wanted, { told, shared }) : undefined;
    if (level === undefined) return undefined;
    told = level;
    // The call goes on whatever comes of it.
    return wire.request("logging/setLevel", { level }, ANSWER_TIMEOUT_MS).catch(() => undefined);
  };
}
