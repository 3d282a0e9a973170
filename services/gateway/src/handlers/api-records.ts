import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { callUnary } from "@tollgate/service";
import { type ApiOptions, TIMEOUT_MS } from "./api-options.ts";
import * as schema from "./api-schemas.ts";

export function registerRecords(app: FastifyInstance, { clients, metadata }: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const { metering } = clients;
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
