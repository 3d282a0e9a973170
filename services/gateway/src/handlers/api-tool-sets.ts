import type { entriesV1 } from "@tollgate/contracts";
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import {
  declaredFields,
  declaredQuery,
  isDeclaredAs,
  readEntries,
  readEntry,
  registerEntryChanges,
  spec,
  toDeclared,
  toSpec,
} from "./api-entries.ts";
import { tagged } from "./api-etags.ts";
import type { ApiOptions } from "./api-options.ts";
import { pageOf, pageQuery } from "./api-pages.ts";
import { idParam as params } from "./api-schemas.ts";

const tags = ["catalogue"];

const toolSet = z.object({
  id: z.string(),
  name: z.string(),
  description: z.string(),
  tools: z.array(z.string()).meta({ description: "SERVER:TOOL with * in both, or group:ID" }),
  repositories: z.array(z.string()).meta({ description: "Projects that get it by themselves" }),
  route: z.string().meta({ description: "Where clients reach it" }),
  ...declaredFields,
  spec,
});
const toolSets = z.object({ items: z.array(toolSet), nextCursor: z.string().nullable() });
const query = z.object({ ...declaredQuery, ...pageQuery(["id", "name", "updatedAt"], "id") });
const EXAMPLE = {
  id: "billing",
  name: "Billing",
  tools: ["group:devops", "*:search"],
  repositories: ["git.example/b/*"],
};

/** Some of the tools under a name of their own: `tool_sets` in tollgate.yaml. */
export function registerToolSets(app: FastifyInstance, options: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const config = { action: "admin/servers/read" } as const;
  api.get(
    "/api/v1/tool-sets",
    { config, schema: { tags, summary: "List the tool sets", querystring: query, response: { 200: toolSets } } },
    async (request) => {
      const { entries } = await readEntries(options, "tool_set");
      const found = [...entries.values()].map(toToolSet).filter((each) => isDeclaredAs(each, request.query));
      return pageOf(found, { ...request.query, keyOf: ({ id }) => id });
    },
  );
  api.get(
    "/api/v1/tool-sets/:id",
    { config, schema: { tags, summary: "One tool set", params, response: { 200: toolSet } } },
    async (request, reply) => {
      const entry = await readEntry(options, "tool_set", request.params.id);
      return tagged(reply, toToolSet(entry), Number(entry.version));
    },
  );
  registerEntryChanges(app, options, {
    kind: "tool_set",
    path: "/api/v1/tool-sets",
    tags,
    action: "admin/servers/write",
    example: EXAMPLE,
    shown: toolSet,
    show: toToolSet,
    created: "Clients reach it at once",
  });
}

function toToolSet(entry: entriesV1.Entry): z.infer<typeof toolSet> {
  const written = toSpec(entry);
  const { id } = entry;
  const { name = id, description = "", tools, repositories = [] } = written as Partial<z.infer<typeof toolSet>>;
  const said = { name, description, tools: tools ?? [], repositories };
  return { id, ...said, route: `/mcp/sets/${id}`, ...toDeclared(entry), spec: written };
}
