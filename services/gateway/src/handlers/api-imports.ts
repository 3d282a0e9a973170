import { DOCUMENT_MAX_BYTES, IMPORT_FORMATS } from "@tollgate/imports";
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import type { ApiOptions } from "./api-options.ts";
import { createImports } from "./import-thread.ts";
import type { ImportShown } from "./import-worker.ts";

/** A document in JSON has more characters than by itself: each quotation mark and line break is escaped. */
const BODY_MAX_BYTES = 2 * DOCUMENT_MAX_BYTES;

const body = z
  .strictObject({
    document: z
      .string()
      .min(1, "is empty")
      .max(DOCUMENT_MAX_BYTES)
      .meta({ description: "Its text: JSON, also with comments, or YAML. At most 4 MiB" }),
    format: z.enum(IMPORT_FORMATS).optional().meta({ description: "Found out where it is not given" }),
    group: z.string().max(63).optional().meta({ description: 'The id of the group of the entries; else "imported"' }),
    name: z
      .string()
      .min(1)
      .max(200)
      .optional()
      .meta({ description: "What a connector's id is made of; else its API's title" }),
  })
  .meta({
    examples: [
      {
        document: '{"mcpServers": {"notes": {"command": "npx", "args": ["-y", "@example/notes@1.2.3"]}}}',
        group: "office",
      },
    ],
  });

const entry = z.looseObject({ id: z.string() });
const imported = z.object({
  format: z.enum(IMPORT_FORMATS),
  groups: z.array(entry).meta({ description: "Entries of groups" }),
  servers: z
    .array(z.looseObject({ id: z.string(), group: z.string(), type: z.string() }))
    .meta({ description: "Entries of mcp_servers" }),
  connectors: z
    .array(z.object({ group: z.string(), entry: z.looseObject({ id: z.string(), base_url: z.string() }) }))
    .meta({ description: "Entries of the group's connectors, with the document itself as openapi" }),
  secrets: z
    .array(z.object({ name: z.string(), server: z.string(), from: z.string() }))
    .meta({ description: "What has to be set before the entries work. Values are never in the answer" }),
  warnings: z.array(z.string()).meta({ description: "What was left out or has to be looked at" }),
});

/** What others have, as entries for POST /servers, POST /groups and PUT /groups/{id}/connectors. Changes nothing. */
export function registerImports(app: FastifyInstance, { stopping }: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const runImport = createImports(stopping);
  api.post(
    "/api/v1/imports",
    {
      bodyLimit: BODY_MAX_BYTES,
      config: { action: "admin/servers/read" },
      schema: {
        tags: ["catalogue"],
        summary: "Entries for what others have",
        description:
          "Reads server.json of the MCP registry, files of Claude Desktop, Cursor and VS Code, and OpenAPI documents, and " +
          "answers with entries as tollgate.yaml has them. Changes nothing, and asks nobody.",
        body,
        response: { 200: imported },
      },
    },
    async ({ body: { document, format, group, name } }) => {
      const options = {
        ...(format === undefined ? {} : { format }),
        ...(group === undefined ? {} : { group }),
        ...(name === undefined ? {} : { name }),
      };
      return toAnswer(await runImport({ document, options }));
    },
  );
}

function toAnswer(found: ImportShown): z.infer<typeof imported> {
  const { format, groups, servers, connectors, secrets, warnings } = found;
  return {
    format,
    groups: groups.map((each) => ({ ...each })),
    servers: servers.map((each) => ({ ...each })),
    connectors: connectors.map(({ group, entry: { ...own } }) => ({ group, entry: own })),
    secrets: [...secrets],
    warnings: [...warnings],
  };
}
