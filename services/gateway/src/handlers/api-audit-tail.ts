import { AppError } from "@tollgate/errors";
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { parsePlace } from "../domain/event-filter.ts";
import { createPlaces } from "../domain/places.ts";
import { tenantShown } from "./api-access.ts";
import { type ApiOptions, checkBus } from "./api-options.ts";
import * as schema from "./api-audit-schemas.ts";
import { openUpgrades } from "./api-upgrades.ts";
import { tailEvents, type TailStart } from "./audit-tail.ts";
import { watchCaller } from "./caller-watch.ts";
import { openEventStream } from "./event-stream.ts";
import { openTailSocket } from "./tail-socket.ts";

/** Each reads the stream for itself. */
const TAILS_MAX = 20;
const TAILS_PER_TENANT_MAX = 10;
const RETRY_AFTER_SECONDS = 30;
const ACTION = "admin/audit/read";

/** Events as they come. */
export function registerAuditTail(app: FastifyInstance, options: ApiOptions): void {
  const { bus, policy, access, allowedOrigins, stopping, log } = options;
  const places = createPlaces({ max: TAILS_MAX, perTenantMax: TAILS_PER_TENANT_MAX });
  const upgrades = openUpgrades(app, { allowedOrigins });
  app.withTypeProvider<ZodTypeProvider>().get(
    "/api/v1/audit/tail",
    {
      config: { action: ACTION, alone: true },
      schema: {
        tags: ["audit"],
        summary: "Events as they come, as server-sent events or over WebSocket",
        description:
          "Each message is an event as it is on the stream; over WebSocket it is `event` beside its `id`. A client that comes back with the last id goes on after it; what the stream does not hold any more is said by an event named gap. Browsers offer the subprotocols bearer and their token.",
        querystring: schema.tailQuery,
        response: { 200: schema.tailed },
      },
    },
    async (request, reply) => {
      const { since, after, ...query } = request.query;
      const tenant = tenantShown(request, query.tenant);
      const start = startOf(after || request.headers["last-event-id"], since);
      checkBus(bus);
      const isSocket = upgrades.isWanted(request);
      const release = places.take(request.caller!.principal.tenant);
      if (release === undefined)
        throw new AppError("overloaded", "as many tails as may be open are open", {
          details: { retryAfterSeconds: RETRY_AFTER_SECONDS },
        });
      const given = await access.begin(request, "tail").catch((error: unknown) => {
        release();
        throw error;
      });
      const socket = isSocket ? upgrades.accept(request, reply) : undefined;
      if (isSocket && socket === undefined) return (release(), reply);
      const stream = socket === undefined ? openEventStream(reply) : openTailSocket(socket, stopping);
      const gone = new AbortController();
      stream.onClose(() => gone.abort());
      const signal = AbortSignal.any([stopping, gone.signal]);
      const isSame = (principal: NonNullable<typeof request.caller>["principal"]) => {
        const caller = { ...request.caller!, principal };
        return (
          principal.tenant === request.caller!.principal.tenant && tenantShown({ caller }, query.tenant) === tenant
        );
      };
      const watch = watchCaller({ policy, caller: request.caller!, action: ACTION, isSame, signal });
      tailEvents({ bus, filter: schema.toFilter(query, tenant), start, stream, watch, signal })
        .then(given)
        .catch((error: unknown) => log.warn({ err: error }, "a tail has ended"))
        .finally(release);
      return reply;
    },
  );
}

/** @throws {AppError} invalid_argument */
function startOf(last: string | string[] | undefined, sinceMs: number | undefined): TailStart {
  if (last === undefined || last === "") return sinceMs === undefined ? "now" : { sinceMs };
  const after = parsePlace(String(last));
  if (after === undefined)
    throw new AppError("invalid_argument", "Last-Event-ID: not the id of an event of this stream");
  return { after };
}
