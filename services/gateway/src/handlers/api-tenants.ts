import { type entriesV1, LANES } from "@tollgate/contracts";
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

const tags = ["tenants"];
const count = z.number().int().nonnegative();

const tenant = z.object({
  id: z.string(),
  plan: z.string().meta({ description: "One of `plans` in tollgate.yaml" }),
  lane: z.enum(LANES),
  weight: count.meta({ description: "Its share among the tenants of its lane" }),
  maxConcurrent: count.meta({ description: "Calls under way in one gateway" }),
  maxWaiting: count.meta({ description: "Calls that wait in one gateway" }),
  ...declaredFields,
  spec,
});
const tenants = z.object({ items: z.array(tenant), nextCursor: z.string().nullable() });
const query = z.object({
  plan: z.string().max(63).default(""),
  ...declaredQuery,
  ...pageQuery(["id", "plan", "lane", "weight", "updatedAt"], "id"),
});

/** Tenants with plans of their own. All others have the plan named default. */
export function registerTenants(app: FastifyInstance, options: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const config = { action: "admin/tenants/read" } as const;
  const show = (entry: entriesV1.Entry): z.infer<typeof tenant> => {
    const written = toSpec(entry);
    const { lane, weight, max, waiting } = options.registry.planOf(entry.id);
    const { plan = "default" } = written as { plan?: string };
    const given = { plan, lane, weight, maxConcurrent: max, maxWaiting: waiting };
    return { id: entry.id, ...given, ...toDeclared(entry), spec: written };
  };
  api.get(
    "/api/v1/tenants",
    {
      config,
      schema: {
        tags,
        summary: "List the tenants that have a plan of their own",
        querystring: query,
        response: { 200: tenants },
      },
    },
    async (request) => {
      const { entries } = await readEntries(options, "tenant");
      const found = [...entries.values()]
        .map(show)
        .filter((each) => request.query.plan === "" || each.plan === request.query.plan)
        .filter((each) => isDeclaredAs(each, request.query));
      return pageOf(found, { ...request.query, keyOf: ({ id }) => id });
    },
  );
  api.get(
    "/api/v1/tenants/:id",
    { config, schema: { tags, summary: "One tenant", params, response: { 200: tenant } } },
    async (request, reply) => {
      const entry = await readEntry(options, "tenant", request.params.id);
      return tagged(reply, show(entry), Number(entry.version));
    },
  );
  registerEntryChanges(app, options, {
    kind: "tenant",
    path: "/api/v1/tenants",
    tags,
    action: "admin/tenants/write",
    example: { id: "globex", plan: "default" },
    shown: tenant,
    show,
  });
}
