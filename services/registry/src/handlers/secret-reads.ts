import { createHash } from "node:crypto";
import { INSTALLATION_TENANT, newCallId, type SecretEvent } from "@tollgate/contracts";
import type { DesiredServer } from "@tollgate/desired-state";
import { enqueueEvents, type Pool, withTransaction } from "@tollgate/service";
import type { KnownSecret } from "../domain/secret.ts";

/**
 * Puts on the record which secret was read for which server: once for each value, and again by the next process. What
 * waits for a secret was given none, and what is disabled is given nothing.
 */
export function recordSecretReads(pool: Pool) {
  /** By server and secret: what stands for the value that is on the record. */
  let recorded: ReadonlyMap<string, string> = new Map();

  return async (servers: readonly DesiredServer[], known: ReadonlyMap<string, KnownSecret>): Promise<void> => {
    const nowMs = Date.now();
    const events: SecretEvent[] = [];
    const reads = new Map<string, string>();
    for (const { id: server, group, secretNames, enabled, withheld } of servers) {
      if (!enabled || withheld !== undefined) continue;
      for (const secret of secretNames) {
        const value = identityOf(known.get(secret));
        const key = `${server} ${secret}`;
        reads.set(key, value);
        if (recorded.get(key) !== value) events.push(toEvent({ secret, server, group }, nowMs));
      }
    }
    if (events.length > 0) await withTransaction(pool, (client) => enqueueEvents(client, "registry", events));
    recorded = reads;
  };
}

function toEvent(about: Pick<SecretEvent, "secret"> & { server: string; group: string }, nowMs: number): SecretEvent {
  const base = { v: 1, kind: "secret", id: newCallId(nowMs), tenant: INSTALLATION_TENANT, endedAt: nowMs } as const;
  return { ...base, purpose: "assignment", principal: "registry", ...about };
}

/** In memory only; stores without versions are told apart by the value. */
function identityOf(known: KnownSecret | undefined): string {
  if (known?.answer.kind !== "found") return "";
  const { value, version } = known.answer;
  return `${known.store} ${version} ${createHash("sha256").update(value).digest("hex")}`;
}
