import { errors } from "@nats-io/transport-node";
import type { ServerHealth } from "@tollgate/contracts";
import type { Bus } from "./connection.ts";

/** After an answer, the others of the group are waited for as long as this. */
const SILENCE_MS = 100;
const RUNNERS_MAX = 1_000;

/**
 * What the runners of a group say of one of its servers: of those that answer in time, and at most 1,000. Core NATS:
 * whoever is busy for longer is left out.
 */
export async function requestHealth(
  bus: Bus,
  { group, server, waitMs }: { group: string; server: string; waitMs: number },
): Promise<ServerHealth[]> {
  const options = { strategy: "stall", maxWait: waitMs, stall: SILENCE_MS } as const;
  const found: ServerHealth[] = [];
  try {
    for await (const message of await bus.connection.requestMany(bus.subjects.health(group), server, options)) {
      found.push(message.json<ServerHealth>());
      if (found.length === RUNNERS_MAX) break;
    }
  } catch (error) {
    // No runner follows the group.
    if (!(error instanceof errors.NoRespondersError)) throw error;
  }
  return found;
}

/** Answers for the servers of a group that this runner has. */
export function answerHealth(bus: Bus, group: string, healthOf: (server: string) => ServerHealth | undefined): void {
  const subject = bus.subjects.health(group);
  bus.connection.subscribe(subject, {
    callback: (error, message) => {
      if (error) return bus.log.error({ err: error, subject }, "messages cannot be received");
      try {
        const health = healthOf(message.string());
        if (health !== undefined) message.respond(JSON.stringify(health));
      } catch (failure) {
        bus.log.error({ err: failure, subject }, "a server's health cannot be told");
      }
    },
  });
}
