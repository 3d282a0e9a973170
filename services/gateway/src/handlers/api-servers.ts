import { type entriesV1, registryV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import type { Server } from "../domain/catalogue.ts";
import {
  declaredFields,
  declaredQuery,
  isDeclaredAs,
  readEntriesIfThere,
  registerEntryChanges,
  spec,
  toDeclared,
  toSpec,
} from "./api-entries.ts";
import { tagged } from "./api-etags.ts";
import { type ApiOptions, serverOf } from "./api-options.ts";
import { pageOf, pageQuery } from "./api-pages.ts";
import { idParam as params, server, toServer } from "./api-schemas.ts";

const WORD_MAX_CHARS = 128;
const tags = ["catalogue"];
const word = z.string().max(WORD_MAX_CHARS).default("");

const listed = z.object({ ...server.shape, ...declaredFields });
const single = listed.extend({ spec });
const servers = z.object({ items: z.array(listed), nextCursor: z.string().nullable() });
const SORTED = ["id", "name", "group", "type", "status", "environment", "risk", "tools", "updatedAt"] as const;
const query = z.object({
  group: word,
  type: word,
  status: z.enum(["", "pending", "ready", "unavailable", "disabled"]).default(""),
  enabled: z.enum(["", "true", "false"]).default(""),
  environment: word,
  risk: z.enum(["", "LOW", "MEDIUM", "HIGH", "CRITICAL"]).default(""),
  ...declaredQuery,
  ...pageQuery(SORTED, "id"),
});
const EXAMPLE = {
  id: "files",
  group: "devops",
  type: "npx",
  command: "@modelcontextprotocol/server-filesystem@2026.7.10",
  args: ["/srv/files"],
  risk: "MEDIUM",
};

/** Servers: what is declared of them, and how they are. */
export function registerServers(app: FastifyInstance, options: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const { registry } = options;
  const config = { action: "admin/servers/read" } as const;
  api.get(
    "/api/v1/servers",
    {
      config,
      schema: { tags, summary: "List the servers with their status", querystring: query, response: { 200: servers } },
    },
    async (request) => {
      const [own, groups] = await Promise.all([
        readEntriesIfThere(options, "server"),
        readEntriesIfThere(options, "group"),
      ]);
      const { servers: inForce } = registry.catalogue;
      const aside = [...own.values()].filter(({ id, problem }) => problem !== "" && !inForce.has(id));
      const found = [
        ...[...inForce.values()].map((each) => ({
          ...toServer(each),
          ...toDeclared(own.get(each.info.id) ?? holderOf(each, groups)),
        })),
        ...aside.map((entry) => ({ ...toAside(entry), ...toDeclared(entry) })),
      ].filter((each) => isMeant(each, request.query) && isDeclaredAs(each, request.query));
      return pageOf(found, { ...request.query, keyOf: ({ id }) => id });
    },
  );
  api.get(
    "/api/v1/servers/:id",
    { config, schema: { tags, summary: "One server", params, response: { 200: single } } },
    async (request, reply) => {
      const { id } = request.params;
      const entry = (await readEntriesIfThere(options, "server", id)).get(id);
      if (entry !== undefined) return tagged(reply, show(entry), Number(entry.version));
      const here = serverOf(registry, id);
      const { type, group } = here.info;
      const holder = type === "connector" ? (await readEntriesIfThere(options, "group", group)).get(group) : undefined;
      return { ...toServer(here), ...toDeclared(holder), spec: holder ? connectorIn(holder, id) : null };
    },
  );
  const show = (entry: entriesV1.Entry): z.infer<typeof single> => {
    const here = registry.catalogue.servers.get(entry.id);
    return { ...(here ? toServer(here) : toAside(entry)), ...toDeclared(entry), spec: toSpec(entry) };
  };
  registerEntryChanges(app, options, {
    kind: "server",
    path: "/api/v1/servers",
    tags,
    action: "admin/servers/write",
    example: EXAMPLE,
    shown: single,
    show,
    check: (id) => refuseConnector(options, id),
    created: "Runners start it; its status says how far that is",
  });
}

/**
 * It is in no catalogue: what the API says of it is set aside, and the file has no such server; or it has just been
 * made, and this gateway has not heard of it yet.
 */
function toAside(entry: entriesV1.Entry): z.infer<typeof server> {
  const { id, problem: reason } = entry;
  const { name = id, group = "", type = "", enabled } = toSpec(entry);
  const shown = { id, name: String(name), group: String(group), type: String(type), enabled: enabled !== false };
  const info = registryV1.Server.fromPartial({ ...shown, status: reason === "" ? "pending" : "unavailable", reason });
  return toServer({ info, items: NO_ITEMS });
}

const NO_ITEMS = { tool: new Map(), prompt: new Map(), resource: new Map(), template: new Map() };

/** A connector is part of its group's entry. */
function holderOf({ info }: Server, groups: ReadonlyMap<string, entriesV1.Entry>): entriesV1.Entry | undefined {
  return info.type === "connector" ? groups.get(info.group) : undefined;
}

export function connectorIn(group: entriesV1.Entry, id: string): Record<string, unknown> | null {
  return connectorsOf(group).find((each) => each["id"] === id) ?? null;
}

function connectorsOf(group: entriesV1.Entry): Record<string, unknown>[] {
  return (toSpec(group)["connectors"] ?? []) as Record<string, unknown>[];
}

function isMeant(each: z.infer<typeof server>, asked: z.infer<typeof query>): boolean {
  if (asked.enabled !== "" && String(each.enabled) !== asked.enabled) return false;
  const fields = ["group", "type", "status", "environment", "risk"] as const;
  return fields.every((field) => asked[field] === "" || asked[field] === each[field]);
}

/** @throws {AppError} failed_precondition */
function refuseConnector({ registry }: ApiOptions, id: string): void {
  const info = registry.catalogue.servers.get(id)?.info;
  if (info?.type !== "connector") return;
  throw new AppError("failed_precondition", `"${id}" is a connector of the group "${info.group}": change it there`);
}
