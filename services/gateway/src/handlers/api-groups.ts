import type { entriesV1 } from "@tollgate/contracts";
import { describeEntry } from "@tollgate/desired-state";
import { DOCUMENT_MAX_BYTES } from "@tollgate/imports";
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import {
  declaredFields,
  declaredQuery,
  isDeclaredAs,
  putEntry,
  readEntriesIfThere,
  readEntry,
  registerEntryChanges,
  spec,
  toDeclared,
  toSpec,
} from "./api-entries.ts";
import { putHeaders, tagged, versionAsked } from "./api-etags.ts";
import type { ApiOptions } from "./api-options.ts";
import { pageOf, pageQuery } from "./api-pages.ts";
import { idParam as params, server, toServer } from "./api-schemas.ts";
import { connectorIn } from "./api-servers.ts";

const CONNECTORS_MAX = 10_000;
/** Whatever can be imported can be sent: as JSON a document may have more characters than it had. */
const CONNECTORS_BODY_MAX_BYTES = 2 * DOCUMENT_MAX_BYTES;
const tags = ["catalogue"];
const count = z.number().int().nonnegative();

const listed = z.object({ id: z.string(), name: z.string(), servers: count, connectors: count, ...declaredFields });
const single = listed.extend({ spec });
const groups = z.object({ items: z.array(listed), nextCursor: z.string().nullable() });
const query = z.object({ ...declaredQuery, ...pageQuery(["id", "name", "servers", "updatedAt"], "id") });

const connector = z.object({ ...server.shape, spec });
const connectors = z.object({ items: z.array(connector), nextCursor: z.string().nullable() });
const connectorQuery = z.object(pageQuery(["id", "name", "group", "status", "tools"], "id"));
const EXAMPLE = { id: "billing", name: "Billing" };
const CONNECTOR_EXAMPLE = {
  id: "invoices",
  base_url: "https://invoices.example/api",
  operations: [{ name: "list_invoices", method: "GET", path: "/invoices" }],
};

/** Groups, and the connectors that are parts of them. */
export function registerGroups(app: FastifyInstance, options: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const config = { action: "admin/servers/read" } as const;
  api.get(
    "/api/v1/groups",
    { config, schema: { tags, summary: "List the groups", querystring: query, response: { 200: groups } } },
    async (request) => {
      const entries = await readEntriesIfThere(options, "group");
      const ids = new Set(options.registry.catalogue.groups.map(({ id }) => id));
      // Those that are set aside are in no catalogue.
      for (const { id, problem } of entries.values()) if (problem !== "") ids.add(id);
      const found = [...ids]
        .map((id) => ({ ...counted(id), ...toDeclared(entries.get(id)) }))
        .filter((each) => isDeclaredAs(each, request.query));
      return pageOf(found, { ...request.query, keyOf: ({ id }) => id });
    },
  );
  api.get(
    "/api/v1/groups/:id",
    { config, schema: { tags, summary: "One group", params, response: { 200: single } } },
    async (request, reply) => {
      const entry = await readEntry(options, "group", request.params.id);
      return tagged(reply, show(entry), Number(entry.version));
    },
  );
  const counted = (id: string) => {
    const { catalogue } = options.registry;
    const own = [...catalogue.servers.values()].filter(({ info }) => info.group === id);
    const name = catalogue.groups.find((each) => each.id === id)?.name ?? id;
    return { id, name, servers: own.length, connectors: own.filter(({ info }) => info.type === "connector").length };
  };
  const show = (entry: entriesV1.Entry): z.infer<typeof single> => ({
    ...counted(entry.id),
    ...toDeclared(entry),
    spec: toSpec(entry),
  });
  registerEntryChanges(app, options, {
    kind: "group",
    path: "/api/v1/groups",
    tags,
    action: "admin/servers/write",
    example: EXAMPLE,
    shown: single,
    show,
    created: "Runners that serve all groups serve it at once",
  });
  registerConnectors(app, options, show);
}

function registerConnectors(
  app: FastifyInstance,
  options: ApiOptions,
  show: (entry: entriesV1.Entry) => z.infer<typeof single>,
): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const config = { action: "admin/servers/read" } as const;
  const connectorsIn = (entry: entriesV1.Entry) =>
    [...options.registry.catalogue.servers.values()]
      .filter(({ info }) => info.type === "connector" && info.group === entry.id)
      .map((each) => ({ ...toServer(each), spec: connectorIn(entry, each.info.id) }));
  api.get(
    "/api/v1/connectors",
    {
      config,
      schema: {
        tags,
        summary: "List the connectors of all groups",
        querystring: connectorQuery,
        response: { 200: connectors },
      },
    },
    async ({ query: asked }) => {
      const entries = await readEntriesIfThere(options, "group");
      return pageOf([...entries.values()].flatMap(connectorsIn), { ...asked, keyOf: ({ id }) => id });
    },
  );
  api.get(
    "/api/v1/groups/:id/connectors",
    {
      config,
      schema: {
        tags,
        summary: "List a group's connectors",
        params,
        querystring: connectorQuery,
        response: { 200: connectors },
      },
    },
    async (request) => {
      const entry = await readEntry(options, "group", request.params.id);
      return pageOf(connectorsIn(entry), { ...request.query, keyOf: ({ id }) => id });
    },
  );
  api.put(
    "/api/v1/groups/:id/connectors",
    {
      bodyLimit: CONNECTORS_BODY_MAX_BYTES,
      config: { action: "admin/servers/write" },
      schema: {
        tags,
        summary: "Replace a group's connectors",
        description: "All else of the group stays",
        params,
        headers: putHeaders,
        body: connectorsBody(),
        response: { 200: single },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const before = await readEntry(options, "group", id);
      // What somebody changes in between is not taken back.
      const { ifVersion: asked } = versionAsked(request);
      const ifVersion = asked === 0n ? before.version : asked;
      const value = { ...toSpec(before), connectors: request.body.connectors };
      const { entry } = await putEntry(options, { request, reply, kind: "group", id, value, ifVersion });
      return tagged(reply, show(entry!), Number(entry!.version));
    },
  );
}

function connectorsBody() {
  const described = (describeEntry("group")["properties"] as Record<string, object>)["connectors"];
  return z.object({
    connectors: z
      .array(z.record(z.string(), z.unknown()))
      .max(CONNECTORS_MAX)
      .meta({ ...described, examples: [[CONNECTOR_EXAMPLE]] }),
  });
}
