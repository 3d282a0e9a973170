import { isDeepStrictEqual } from "node:util";
import { type auditV1, NAME_PATTERN } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { callUnary } from "@tollgate/service";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { tenantShown } from "./api-access.ts";
import { actorOf, type ApiOptions, TIMEOUT_MS } from "./api-options.ts";
import { recordedFilter, toFilter } from "./api-audit-schemas.ts";
import { pageOf, pageQuery } from "./api-pages.ts";
import { isoOrNull } from "./api-schemas.ts";

const count = z.number().int().nonnegative();

const exports = z.object({
  items: z.array(
    z.object({
      id: z.string(),
      type: z.string().meta({ description: "syslog, cef, otlp or http" }),
      lag: count.meta({ description: "Messages of the stream that it does not have yet" }),
      sent: count.meta({ description: "Events that its receiver has" }),
      problem: z.string().nullable().meta({ description: "Why its receiver does not take events now" }),
      lastSentAt: z.string().nullable(),
    }),
  ),
  nextCursor: z.string().nullable(),
});
const exportQuery = z.object(pageQuery(["id", "type", "lag", "sent", "lastSentAt"], "id"));

const body = z
  .strictObject({
    export: z.string().regex(NAME_PATTERN, "has to be the id of an export"),
    filter: recordedFilter.prefault({}),
  })
  .meta({ description: "Which recorded events are sent to which export once more", examples: [{ export: "siem" }] });

const replay = z.object({
  id: z.string(),
  export: z.string(),
  filter: z.record(z.string(), z.string()).meta({ description: "What it was asked for" }),
  status: z.enum(["running", "done", "failed", "cancelled"]),
  sent: count,
  total: count.nullable().meta({ description: "Events that fit; null while they are not counted" }),
  problem: z.string().nullable(),
  by: z.string(),
  startedAt: z.string().nullable(),
  endedAt: z.string().nullable(),
});
const replays = z.object({ items: z.array(replay), nextCursor: z.string().nullable() });
const replayQuery = z.object({
  status: replay.shape.status.optional(),
  ...pageQuery(["id", "export", "status", "sent", "by", "startedAt", "endedAt"], "-startedAt"),
});

/** How far exports to SIEMs are, and what they are sent once more: docs/audit-exports.md. */
export function registerExports(app: FastifyInstance, { clients: { audit }, metadata }: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const unary = { metadata, timeoutMs: TIMEOUT_MS, service: "audit" };
  const tags = ["audit"];
  const read = { action: "admin/audit/exports/read" } as const;
  const write = { action: "admin/audit/exports/write" } as const;

  /** Of the caller's own tenant, or all. */
  const listShown = async (request: FastifyRequest): Promise<auditV1.Replay[]> => {
    const tenant = tenantShown(request, "");
    const answer = await callUnary(audit.listReplays.bind(audit), {}, unary);
    return answer.replays.filter(({ filter }) => tenant === "" || filter?.tenant === tenant);
  };

  api.get(
    "/api/v1/audit/exports",
    {
      config: read,
      schema: {
        tags,
        summary: "How far each export to a SIEM is",
        querystring: exportQuery,
        response: { 200: exports },
      },
    },
    async (request) => {
      const tenant = tenantShown(request, "");
      const { exports: all } = await callUnary(audit.listExports.bind(audit), {}, unary);
      // What others' events make of an export is nobody else's to see.
      const shown = all.filter(({ tenants }) => tenant === "" || isDeepStrictEqual(tenants, [tenant]));
      return pageOf(shown.map(toExport), { ...request.query, keyOf: ({ id }) => id });
    },
  );
  api.get(
    "/api/v1/audit/replays",
    {
      config: read,
      schema: {
        tags,
        summary: "What was sent to exports once more",
        querystring: replayQuery,
        response: { 200: replays },
      },
    },
    async (request) => {
      const { status, ...asked } = request.query;
      const shown = (await listShown(request)).filter((each) => status === undefined || each.status === status);
      return pageOf(shown.map(toReplay), { ...asked, keyOf: ({ id }) => id });
    },
  );
  api.post(
    "/api/v1/audit/replays",
    {
      config: write,
      schema: {
        tags,
        summary: "Send recorded events to an export once more",
        description: "Oldest first, up to the moment at which it was asked for, beside what the export sends anyway.",
        body,
        response: { 201: replay },
      },
    },
    async (request, reply) => {
      const { export: id, filter } = request.body;
      const asked = { export: id, filter: toFilter(filter, tenantShown(request, filter.tenant)), by: actorOf(request) };
      const answer = await callUnary(audit.startReplay.bind(audit), asked, unary);
      return reply.code(201).send(toReplay(answer.replay!));
    },
  );
  api.delete(
    "/api/v1/audit/replays/:id",
    {
      config: write,
      schema: {
        tags,
        summary: "End a replay",
        description: "What was sent stays sent. One that has ended already is left as it is.",
        params: z.object({ id: z.uuid() }),
        response: { 200: replay },
      },
    },
    async (request) => {
      const { id } = request.params;
      if (!(await listShown(request)).some((each) => each.id === id))
        throw new AppError("not_found", "there is no such replay");
      const asked = { id, by: actorOf(request) };
      return toReplay((await callUnary(audit.cancelReplay.bind(audit), asked, unary)).replay!);
    },
  );
}

function toExport({ id, type, lag, sent, problem, lastSentAtMs }: auditV1.Export): z.infer<typeof exports>["items"][0] {
  const numbers = { lag: Number(lag), sent: Number(sent) };
  return { id, type, ...numbers, problem: problem || null, lastSentAt: isoOrNull(lastSentAtMs) };
}

function toReplay(given: auditV1.Replay): z.infer<typeof replay> {
  const { id, filter, status, sent, total, problem, by, startedAtMs, endedAtMs } = given;
  return {
    id,
    export: given.export,
    filter: shownFilter(filter!),
    status: status as z.infer<typeof replay>["status"],
    sent: Number(sent),
    // Nothing at all fits only when it has ended, too.
    total: total === 0n && status === "running" ? null : Number(total),
    problem: problem || null,
    by,
    startedAt: isoOrNull(startedAtMs),
    endedAt: isoOrNull(endedAtMs),
  };
}

function shownFilter({ fromMs, toMs, ...texts }: auditV1.EventFilter): Record<string, string> {
  const times = { from: isoOrNull(fromMs) ?? "", to: isoOrNull(toMs) ?? "" };
  return Object.fromEntries(Object.entries({ ...times, ...texts }).filter(([, value]) => value !== ""));
}
