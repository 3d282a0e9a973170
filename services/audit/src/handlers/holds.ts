import { type auditV1, type Change, changeEvent, isCallId, newCallId } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { enqueueEvents, type Log, type Pool, unary, withTransaction } from "@tollgate/service";
import type { ClientBase } from "pg";
import { type Hold, parseHold, toHoldMessage } from "../domain/holds.ts";
import { countActiveHolds, insertHold, listHolds, markReleased, readHold } from "../store/holds.ts";

/** Each is looked at for every segment that would be let go of. */
const HOLDS_MAX = 1_000;

/** Holds are put and released with their change event in one transaction. */
export function createHoldHandlers(options: {
  pool: Pool;
  readPool: Pool;
  log: Log;
}): Pick<auditV1.AuditServiceServer, "listHolds" | "putHold" | "releaseHold"> {
  const { pool, readPool, log } = options;
  return {
    listHolds: unary(log, async ({ tenant }: auditV1.ListHoldsRequest): Promise<auditV1.ListHoldsResponse> => {
      return { holds: (await listHolds(readPool, tenant)).map(toHoldMessage) };
    }),
    putHold: unary(log, async (request: auditV1.PutHoldRequest): Promise<auditV1.PutHoldResponse> => {
      const now = Date.now();
      const hold: Hold = { ...parseHold(request.hold), id: newCallId(now), createdAtMs: now };
      await withTransaction(pool, async (client) => {
        if ((await countActiveHolds(client)) >= HOLDS_MAX)
          throw new AppError("failed_precondition", `there are ${HOLDS_MAX} holds already; release some of them`);
        await insertHold(client, hold);
        await announce(client, { change: "created", after: hold }, hold.createdBy);
      });
      return { hold: toHoldMessage(hold) };
    }),
    releaseHold: unary(log, async (request: auditV1.ReleaseHoldRequest): Promise<auditV1.ReleaseHoldResponse> => {
      const { id, tenant, by } = request;
      const unknown = new AppError("not_found", "there is no such hold");
      if (!isCallId(id)) throw unknown;
      const hold = await withTransaction(pool, async (client) => {
        const found = await readHold(client, id, tenant);
        if (found === undefined) throw unknown;
        if (found.released !== undefined) return found;
        const released: Hold = { ...found, released: { by, atMs: Date.now() } };
        await markReleased(client, id, released.released!);
        await announce(client, { change: "deleted", before: found }, by);
        return released;
      });
      return { hold: toHoldMessage(hold) };
    }),
  };
}

async function announce(
  client: ClientBase,
  change: Pick<Change, "change"> & { before?: Hold; after?: Hold },
  principal: string,
): Promise<void> {
  const { id, tenant } = (change.after ?? change.before)!;
  await enqueueEvents(client, "audit", [
    changeEvent({ tenant, resource: "hold", name: id, principal, ...change }, Date.now()),
  ]);
}
