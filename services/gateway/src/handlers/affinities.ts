import { createHash } from "node:crypto";
import { type Bus, openSessions } from "@tollgate/bus";
import type { Log } from "@tollgate/service";
import type { Principal } from "../clients/policy.ts";

/**
 * Which runner holds a modern client's process of a server that keeps state: such clients have no session that could
 * say it, so it is their principal's. In KV, so that any replica knows; an hour-old one of a runner that is gone does no
 * harm, since another takes its calls.
 */
export interface Affinities {
  find(principal: Principal, server: string): Promise<string | undefined>;
  remember(principal: Principal, server: string, runner: string): void;
}

interface Affinity {
  readonly runner: string;
}

export async function openAffinities(options: { bus: Bus; signal: AbortSignal; log: Log }): Promise<Affinities> {
  const { bus, signal, log } = options;
  const store = await openSessions<Affinity>(bus, signal, undefined, bus.subjects.affinitiesBucket);
  return {
    find: async (principal, server) => (await store.get(keyOf(principal, server)))?.runner,
    remember(principal, server, runner) {
      const key = keyOf(principal, server);
      const put = async () => {
        if ((await store.get(key))?.runner !== runner) await store.put(key, { runner });
      };
      put().catch((error: unknown) => log.warn({ err: error, server }, "where a server's state is was not kept"));
    },
  };
}

function keyOf({ tenant, id }: Principal, server: string): string {
  return createHash("sha256")
    .update(JSON.stringify([tenant, id, server]))
    .digest("base64url");
}
