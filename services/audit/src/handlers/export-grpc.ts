import { type Bus, durableLags } from "@tollgate/bus";
import { auditV1, changeEvent, isCallId, newCallId } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { enqueueEvents, type Log, type Pool, unary, withTransaction } from "@tollgate/service";
import { parseFilter } from "../domain/query.ts";
import { listExports } from "../store/exports.ts";
import {
  countRunning,
  endReplay,
  insertReplay,
  listReplays,
  plainFilter,
  readReplay,
  type Replay,
} from "../store/replays.ts";
import type { AuditFile } from "./desired-file.ts";
import { durableOf } from "./exports.ts";

/** At once, over all exports: each searches the record and keeps a receiver busy. */
const RUNNING_MAX = 4;

type Handlers = Pick<auditV1.AuditServiceServer, "listExports" | "startReplay" | "listReplays" | "cancelReplay">;

/** What the API shows of exports, and asks of replays. Any replica answers; the one that leads does the work. */
export function createExportHandlers(options: {
  bus: Bus;
  pool: Pool;
  readPool: Pool;
  file: AuditFile;
  log: Log;
}): Handlers {
  const { bus, pool, readPool, file, log } = options;
  return {
    listExports: unary(log, async (): Promise<auditV1.ListExportsResponse> => {
      const lags = await durableLags(bus, durableOf(""));
      const known = new Map((await listExports(readPool)).map((each) => [each.id, each]));
      const exports = file.current().exports.map(({ id, type, tenants }) => {
        const { sent = 0, problem = "", lastSentAtMs = 0 } = known.get(id) ?? {};
        const lag = lags.get(durableOf(id)) ?? 0;
        const numbers = { lag: BigInt(lag), sent: BigInt(sent), lastSentAtMs: BigInt(lastSentAtMs) };
        return { id, type, tenants: [...tenants], problem, ...numbers };
      });
      return { exports };
    }),
    startReplay: unary(log, async (request: auditV1.StartReplayRequest): Promise<auditV1.StartReplayResponse> => {
      const replay = newReplay(request, Date.now());
      if (!file.current().exports.some(({ id }) => id === replay.export))
        throw new AppError("not_found", `there is no export "${replay.export}"`);
      await withTransaction(pool, async (client) => {
        if ((await countRunning(client)) >= RUNNING_MAX)
          throw new AppError("overloaded", `${RUNNING_MAX} replays run already`);
        await insertReplay(client, replay);
        await enqueueEvents(client, "audit", [changeOf(replay, "created", replay.by)]);
      });
      return { replay: toMessage(replay) };
    }),
    listReplays: unary(log, async (): Promise<auditV1.ListReplaysResponse> => {
      return { replays: (await listReplays(readPool)).map(toMessage) };
    }),
    cancelReplay: unary(log, async (request: auditV1.CancelReplayRequest): Promise<auditV1.CancelReplayResponse> => {
      return { replay: toMessage(await cancel(pool, request)) };
    }),
  };
}

/** One that has ended already is left as it is. */
async function cancel(pool: Pool, { id, by }: auditV1.CancelReplayRequest): Promise<Replay> {
  const unknown = new AppError("not_found", "there is no such replay");
  if (!isCallId(id)) throw unknown;
  return withTransaction(pool, async (client) => {
    const ended = await endReplay(client, id, { status: "cancelled", problem: "" });
    if (ended !== undefined) await enqueueEvents(client, "audit", [changeOf(ended, "deleted", by)]);
    const replay = ended ?? (await readReplay(client, id));
    if (replay === undefined) throw unknown;
    return replay;
  });
}

/** @throws {AppError} invalid_argument */
function newReplay({ export: id, filter: given, by }: auditV1.StartReplayRequest, nowMs: number): Replay {
  const asked = given ?? auditV1.EventFilter.create();
  parseFilter(asked);
  const toMs = asked.toMs === 0n || asked.toMs > BigInt(nowMs) ? BigInt(nowMs) : asked.toMs;
  const filter = { ...asked, toMs };
  parseFilter(filter);
  return {
    id: newCallId(nowMs),
    export: id,
    filter,
    status: "running",
    sent: 0,
    total: undefined,
    lastEvent: undefined,
    problem: "",
    by,
    startedAtMs: nowMs,
    endedAtMs: 0,
  };
}

function changeOf(replay: Replay, change: "created" | "deleted", principal: string) {
  const { id, filter, sent } = replay;
  const said = { export: replay.export, filter: plainFilter(filter), sent };
  const sides = change === "created" ? { after: said } : { before: said };
  return changeEvent({ tenant: filter.tenant, resource: "replay", name: id, principal, change, ...sides }, Date.now());
}

function toMessage(replay: Replay): auditV1.Replay {
  const { lastEvent: _, ...said } = replay;
  return {
    ...said,
    sent: BigInt(replay.sent),
    total: BigInt(replay.total ?? 0),
    startedAtMs: BigInt(replay.startedAtMs),
    endedAtMs: BigInt(replay.endedAtMs),
  };
}
