import type { ServerHealth } from "@tollgate/contracts";
import type { Level } from "../containment/containment.ts";
import type { ServerSpec } from "../domain/server-spec.ts";
import type { Breakers } from "./breakers.ts";
import type { Processes } from "./processes.ts";
import type { Upkeep } from "./upkeep.ts";

/** What a pool says of its server when it is asked. */
export type PoolHealth = Omit<ServerHealth, "runner" | "at" | "calls">;

export function describePool(parts: {
  spec: ServerSpec;
  level: Level;
  processes: Processes;
  upkeep: Upkeep;
  breakers: Breakers;
  waiting: number;
  generation: number;
  checkedAt: number | undefined;
}): PoolHealth {
  const { spec, level, processes, upkeep, breakers, waiting, generation, checkedAt } = parts;
  const slots = [...processes.slots.all()];
  const open = slots.filter(({ connection }) => connection !== undefined);
  const waitingForFirst = slots.length > 0 || !upkeep.isKnown ? "starting" : "idle";
  const { mode, min, max, queue } = spec.pool;
  return {
    server: spec.serverId,
    state: open.length > 0 ? "ready" : (upkeep.restarts.state ?? waitingForFirst),
    generation,
    ...level,
    pool: {
      mode,
      processes: slots.length,
      starting: slots.length - open.length,
      busy: slots.filter(({ users }) => users > 0).length,
      min,
      max,
      callsRunning: open.reduce((sum, { users }) => sum + users, 0),
      callsWaiting: waiting,
      queue,
    },
    breaker: breakers.state,
    toolBreakers: breakers.tools,
    restarts: upkeep.deaths,
    starts: processes.starts,
    ...(checkedAt === undefined ? {} : { checkedAt }),
    processes: open.map(({ audience, users, connection, startedAt }) => ({
      pid: connection!.pid,
      tenant: audience.tenant ?? "",
      calls: users,
      startedAt,
      ...connection!.usage(),
    })),
  };
}
