import { Readable } from "node:stream";
import { type auditV1, parseAuditEvent } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { readStream } from "@tollgate/service";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { cellsOf, EVENT_COLUMNS } from "../domain/event-cells.ts";
import { createPlaces } from "../domain/places.ts";
import { tenantShown } from "./api-access.ts";
import type { ApiOptions } from "./api-options.ts";
import * as schema from "./api-audit-schemas.ts";
import { readAuditPage } from "./audit-reader.ts";
import { CSV, csvLines } from "./csv.ts";

const tags = ["audit"];
const EXPORTS_MAX = 8;
const EXPORTS_PER_TENANT_MAX = 4;
const RETRY_AFTER_SECONDS = 10;

const FORMATS = {
  csv: {
    type: `${CSV}; charset=utf-8`,
    textOf: (lines: readonly string[], header: boolean) => csvLines(EVENT_COLUMNS, lines.map(toCells), { header }),
  },
  ndjson: {
    type: "application/x-ndjson",
    textOf: (lines: readonly string[]) => lines.map((line) => `${line}\n`).join(""),
  },
} as const;

/** The record, found again: pages, and files of all that was found. */
export function registerAudit(app: FastifyInstance, options: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  api.get(
    "/api/v1/audit/events",
    {
      config: { action: "admin/audit/read" },
      schema: {
        tags,
        summary: "Events of the record, newest first",
        description:
          "Filters are all to be met. A search looks at a bounded number of events: follow nextCursor until it is null.",
        querystring: schema.listQuery,
        response: { 200: schema.events },
      },
    },
    async (request, reply) => {
      const { id, cursor, limit, ...query } = request.query;
      const filter = schema.toFilter(query, tenantShown(request, query.tenant));
      const { events, nextCursor } = await readAuditPage(options, { filter, id, cursor, pageSize: limit ?? 0 });
      await options.access.read(request, "read", events.length);
      // Events are JSON already, and are shown as they were recorded.
      const next = JSON.stringify(nextCursor === "" ? null : nextCursor);
      const text: unknown = `{"items":[${events.join(",")}],"nextCursor":${next}}`;
      return reply
        .type("application/json; charset=utf-8")
        .serializer(String)
        .send(text as never);
    },
  );
  registerExport(app, options);
}

function registerExport(app: FastifyInstance, options: ApiOptions): void {
  const places = createPlaces({ max: EXPORTS_MAX, perTenantMax: EXPORTS_PER_TENANT_MAX });
  app.withTypeProvider<ZodTypeProvider>().get(
    "/api/v1/audit/export",
    {
      config: { action: "admin/audit/read", alone: true },
      schema: {
        tags,
        summary: "Everything that was found as a file, oldest first",
        description:
          "As long as it takes, and as fast as it is read. Whole only if the response ends as it should: a client has to look at that.",
        querystring: schema.exportQuery,
        response: { 200: schema.exported },
      },
    },
    async (request, reply) => {
      const { format, limit, ...query } = request.query;
      const filter = schema.toFilter(query, tenantShown(request, query.tenant));
      const release = places.take(request.caller!.principal.tenant);
      if (release === undefined)
        throw new AppError("overloaded", "as many exports as may run at a time are running", {
          details: { retryAfterSeconds: RETRY_AFTER_SECONDS },
        });
      const asked = { filter, limit: BigInt(limit ?? 0) };
      const body = await openExport(request, { asked, format, ...options }).catch((error: unknown) => {
        release();
        throw error;
      });
      body.once("close", release);
      const name = `audit-${new Date().toISOString().slice(0, 10)}.${format}`;
      return reply
        .header("content-disposition", `attachment; filename="${name}"`)
        .header("cache-control", "no-store")
        .type(FORMATS[format].type)
        .send(body as never);
    },
  );
}

/** The file, once it is recorded that it is given out and audit has begun: what is wrong is said before the answer begins. */
async function openExport(
  request: FastifyRequest,
  options: ApiOptions & { asked: auditV1.ExportEventsRequest; format: keyof typeof FORMATS },
): Promise<Readable> {
  const { clients, metadata, access, asked, format } = options;
  const given = await access.begin(request, "export");
  const call = clients.audit.exportEvents(asked, metadata);
  const batches = readStream<auditV1.ExportEventsResponse>(call, "audit");
  const first = await batches.next();
  const { textOf } = FORMATS[format];
  let count = 0;
  async function* pieces(): AsyncGenerator<string> {
    if (format === "csv") yield textOf([], true);
    for (let next = first; next.done !== true; next = await batches.next()) {
      count += next.value.events.length;
      yield textOf(next.value.events, false);
    }
  }
  return Readable.from(pieces()).once("close", () => {
    call.cancel();
    given(count);
  });
}

function toCells(line: string) {
  const parsed = parseAuditEvent(line);
  // The record holds nothing that was not read as an event once.
  if (!parsed.ok) throw new AppError("internal", `an event of the record is none: ${parsed.reason}`);
  return cellsOf(parsed.value);
}
