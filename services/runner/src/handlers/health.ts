import { answerHealth, type Bus } from "@tollgate/bus";
import type { ServerCallCounts } from "../domain/call-counts.ts";
import type { Pool } from "../pool/pool.ts";

export interface Health {
  /** Answers from now on for the servers of a group. */
  followGroup(group: string): void;
}

/** What this runner says of its servers when a gateway asks. */
export function createHealth(options: {
  runner: string;
  bus: Bus;
  poolOf: (server: string) => Pool | undefined;
  callCounts: ServerCallCounts;
}): Health {
  const { runner, bus, poolOf, callCounts } = options;
  return {
    followGroup: (group) =>
      answerHealth(bus, group, (server) => {
        const pool = poolOf(server);
        return pool && { ...pool.health(), runner, at: Date.now(), calls: callCounts.of(server) };
      }),
  };
}
