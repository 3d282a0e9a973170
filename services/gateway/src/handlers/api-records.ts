import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { auditV1 } from "@tollgate/contracts";
import { callUnary } from "@tollgate/service";
import { type ApiOptions, TIMEOUT_MS } from "./api-options.ts";
import * as schema from "./api-schemas.ts";

export function registerRecords(app: FastifyInstance, { clients, metadata }: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const { audit, metering } = clients;
  api.get(
    "/api/v1/audit/events",
    {
      config: { action: "admin/audit/read" },
      schema: {
        tags: ["audit"],
        summary: "Audit events, newest first",
        querystring: schema.auditQuery,
        response: { 200: schema.auditEvents },
      },
    },
    async (request) => {
      const { from, to, limit, id, cursor, ...filters } = request.query;
      const filter = { ...auditV1.EventFilter.create(), ...filters, fromMs: BigInt(from ?? 0), toMs: BigInt(to ?? 0) };
      const asked = { filter, id, cursor, pageSize: limit ?? 0 };
      const answer = await callUnary(audit.listEvents.bind(audit), asked, {
        metadata,
        timeoutMs: TIMEOUT_MS,
        service: "audit",
      });
      const items = answer.events.map((event) => JSON.parse(event) as Record<string, unknown>);
      return { items, nextCursor: answer.nextCursor === "" ? null : answer.nextCursor };
    },
  );
  for (const url of ["/api/v1/metering/usage", "/metering/usage"]) {
    api.get(
      url,
      {
        config: { action: "admin/usage/read" },
        schema: {
          tags: ["metering"],
          summary: "Usage and cost",
          querystring: schema.usageQuery,
          response: { 200: schema.usage },
        },
      },
      async (request) => {
        const { from, to, groupBy, limit, tenant } = request.query;
        const asked = {
          tenant,
          fromMs: BigInt(from ?? 0),
          toMs: BigInt(to ?? 0),
          groupBy,
          limit: limit ?? 0,
          step: "",
          filter: {},
          rating: 0,
        };
        const answer = await callUnary(metering.getUsage.bind(metering), asked, {
          metadata,
          timeoutMs: TIMEOUT_MS,
          service: "metering",
        });
        return {
          items: answer.rows.map(schema.toUsage),
          total: schema.toUsage(answer.total!),
          currency: answer.currency,
        };
      },
    );
  }
}
