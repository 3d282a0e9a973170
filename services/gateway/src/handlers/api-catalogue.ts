import { parseJson } from "@tollgate/mcp";
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { type ApiOptions, serverOf } from "./api-options.ts";
import * as schema from "./api-schemas.ts";

export function registerCatalogue(app: FastifyInstance, { registry }: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  api.get(
    "/api/v1/servers/:id/tools",
    {
      config: { action: "admin/servers/read" },
      schema: {
        tags: ["catalogue"],
        summary: "A server's tools",
        params: schema.idParam,
        response: { 200: schema.tools },
      },
    },
    (request) => ({
      items: [...serverOf(registry, request.params.id).items.tool.values()].map((tool) => ({
        name: tool.name,
        retrySafe: tool.retrySafe,
        definition: parseJson(tool.definition) as Record<string, unknown>,
      })),
    }),
  );
}
