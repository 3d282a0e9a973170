import { RISKS } from "@tollgate/contracts";
import { parseJson, prefixedName } from "@tollgate/mcp";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import type { Item } from "../domain/catalogue.ts";
import { LISTS } from "../domain/lists.ts";
import type { FoundTool } from "../domain/tool-index.ts";
import { mayDo } from "./api-access.ts";
import type { ApiOptions } from "./api-options.ts";
import { pageOf, pageQuery } from "./api-pages.ts";
import { createToolSearch } from "./tool-search.ts";

const FILTER_MAX_CHARS = 128;
const SEARCH_MAX_CHARS = 200;
const SORT_FIELDS = ["score", "server", "name", "group", "title", "risk", "certification", "version"] as const;

const filter = z.string().min(1).max(FILTER_MAX_CHARS).optional();

const found = z.object({
  server: z.string(),
  group: z.string(),
  name: z.string().meta({ description: "As its server has it" }),
  prefixedName: z.string().meta({ description: "As clients see it where several servers are behind one route" }),
  title: z.string(),
  description: z.string(),
  version: z.number().int().nonnegative().meta({ description: "Of its definition" }),
  certification: z.string().meta({ description: "draft, submitted, approved or retired" }),
  risk: z.string().meta({ description: "LOW, MEDIUM, HIGH or CRITICAL" }),
  riskReasons: z.array(z.string()).meta({ description: "What in its definition could mislead" }),
  hold: z
    .string()
    .meta({ description: "held: an older version is served while the newest waits; withheld: nobody is offered it" }),
  score: z.number().meta({ description: "How well it fits what was searched for; 0 without q" }),
  definition: z.record(z.string(), z.unknown()).optional().meta({ description: "Where it was asked for" }),
});

const query = z.object({
  ...pageQuery(SORT_FIELDS, "-score,server,name"),
  q: z
    .string()
    .max(SEARCH_MAX_CHARS)
    .default("")
    .meta({
      description:
        "Words in name, title, description, server and names of arguments, of which the first 8 count; also their beginnings from 3 letters on, and with a slip from 4. Best first",
      examples: ["create ticket"],
    }),
  server: filter,
  group: filter,
  risk: z.enum(RISKS).optional(),
  certification: filter,
  hold: z.enum(["held", "withheld"]).optional(),
  definition: z.stringbool().default(false).meta({ description: "With the definitions, as the servers have them" }),
});

/** Search over the tools of the whole catalogue; without the right to read it, over those that the caller may use. */
export function registerSearch(app: FastifyInstance, options: ApiOptions): void {
  const { policy, lists } = options;
  const search = createToolSearch(options.registry);

  /** Undefined: all. */
  async function shownTo(request: FastifyRequest): Promise<ReadonlySet<Item> | undefined> {
    if (await mayDo(policy, request, "admin/servers/read")) return undefined;
    const everything = { group: undefined, server: undefined };
    return new Set(await lists.all(LISTS["tools/list"]!, { ...request.caller!, scope: everything }));
  }

  app.withTypeProvider<ZodTypeProvider>().get(
    "/api/v1/tools",
    {
      config: { action: "own" },
      schema: {
        tags: ["catalogue"],
        summary: "Search the tools",
        description:
          "Over the whole catalogue with admin/servers/read; else over what the caller may use, decided as for tools/list.",
        querystring: query,
        response: { 200: z.object({ items: z.array(found), nextCursor: z.string().nullable() }) },
      },
    },
    async (request) => {
      const { q, definition, limit, cursor, sort, ...filters } = request.query;
      const shown = await shownTo(request);
      const hits = (await search.find(q, request.caller!.principal.tenant))
        .filter(({ item }) => shown === undefined || shown.has(item))
        .map(toRow)
        .filter((row) => Object.entries(filters).every(([key, value]) => !value || row[key as keyof Row] === value));
      // The words have been looked for already, and better.
      const keyOf = ({ prefixedName: name }: Row) => name;
      const { items, nextCursor } = pageOf(hits, { limit, cursor, sort, q: "", keyOf });
      return { items: items.map((row) => toShown(row, definition)), nextCursor };
    },
  );
}

type Shown = z.infer<typeof found>;
type Row = Omit<Shown, "definition"> & { readonly item: Item };

function toRow({ item, title, description, score }: FoundTool): Row {
  const { server, group, name, risk } = item;
  const { version, certification, hold, findings } = item.tool!;
  const about = { server, group, name, prefixedName: prefixedName(server, name), title, description, score };
  return { ...about, version, certification, risk, riskReasons: findings.map(({ why }) => why), hold, item };
}

function toShown({ item, ...shown }: Row, withDefinition: boolean): Shown {
  if (!withDefinition) return shown;
  return { ...shown, definition: parseJson(item.definition) as Record<string, unknown> };
}
