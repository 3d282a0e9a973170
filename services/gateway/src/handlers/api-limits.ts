import type { limitsV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { callUnary } from "@tollgate/service";
import { parseJson } from "@tollgate/mcp";
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { checkUnchanged, deleteHeaders, putHeaders, tagged } from "./api-etags.ts";
import { actorOf, type ApiOptions, TIMEOUT_MS } from "./api-options.ts";
import { pageOf, pageQuery } from "./api-pages.ts";
import { idParam as params, isoOrNull, revision } from "./api-schemas.ts";

// The keys are those of `limits[]` in tollgate.yaml: what is written there can be sent here. Policy checks them.

const TEXT_MAX_CHARS = 500;
const LIST_MAX = 256;

const HOOK_MAX_CHARS = 2_000;
const text = z.string().max(TEXT_MAX_CHARS);
const hook = z.string().max(HOOK_MAX_CHARS);
const oneOrMore = z.union([text, z.array(text).max(LIST_MAX)]);
const budget = z.strictObject({
  amount: text.meta({ examples: ["250.00"] }),
  period: text.meta({ examples: ["month"] }),
  thresholds: z
    .array(z.number())
    .max(LIST_MAX)
    .optional()
    .meta({ description: "Percent of the amount: who passes one is told of", examples: [[50, 80, 100]] }),
  webhook: z
    .strictObject({ url: hook, headers: z.record(hook, hook).optional(), secret: hook.optional() })
    .optional()
    .meta({ description: "Who is told; secrets as ${secret:webhook-NAME}" }),
});

const body = z
  .strictObject({
    description: text.optional(),
    per: oneOrMore.meta({ description: "What each has for itself", examples: [["principal", "tool"]] }),
    match: z.record(z.string(), oneOrMore).optional().meta({ description: "Which calls it concerns" }),
    requests_per_second: z.number().optional(),
    burst: z.number().optional(),
    concurrent: z.number().optional(),
    per_day: z.number().optional(),
    timezone: text.optional(),
    budget: budget.optional(),
  })
  .meta({
    description: "A limit as in tollgate.yaml, without its name",
    examples: [{ per: "principal", requests_per_second: 10, burst: 50, description: "For everybody" }],
  });

const limit = z.object({
  id: z.string(),
  ...body.shape,
  source: z.string().meta({ description: "file or api" }),
  updatedAt: z.string().nullable(),
  updatedBy: z.string(),
});
const limits = z.object({ items: z.array(limit), nextCursor: z.string().nullable(), revision: z.number().int() });

/** How much may be called: see `limits` in docs/configuration.md. */
export function registerLimits(app: FastifyInstance, { clients: { policy }, metadata }: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const unary = { metadata, timeoutMs: TIMEOUT_MS, service: "policy" };
  const tags = ["limits"];
  const read = { action: "admin/policies/read" } as const;
  const write = { action: "admin/policies/write" } as const;
  const list = () => callUnary(policy.listLimits.bind(policy), {}, unary);
  const find = async (id: string) => {
    const found = (await list()).limits.find((each) => each.id === id);
    return found === undefined ? undefined : toLimit(found);
  };
  api.get(
    "/api/v1/limits",
    {
      config: read,
      schema: {
        tags,
        summary: "List the limits, by their ids",
        querystring: z.object(pageQuery(["id", "source", "updatedAt", "updatedBy"], "id")),
        response: { 200: limits },
      },
    },
    async ({ query }) => {
      const answer = await list();
      const found = answer.limits.map(toLimit);
      return { ...pageOf(found, { ...query, keyOf: ({ id }) => id }), revision: Number(answer.revision) };
    },
  );
  api.get(
    "/api/v1/limits/:id",
    { config: read, schema: { tags, summary: "One limit", params, response: { 200: limit } } },
    async ({ params: { id } }, reply) => {
      const found = await find(id);
      if (found === undefined) throw new AppError("not_found", `there is no limit "${id}"`);
      return tagged(reply, found);
    },
  );
  api.put(
    "/api/v1/limits/:id",
    {
      config: write,
      schema: {
        tags,
        summary: "Create or replace a limit",
        description: "Returns when every live gateway has taken the change: from then on no call is let in beyond it.",
        params,
        headers: putHeaders,
        body,
        response: { 200: limit },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      await checkUnchanged(request, () => find(id));
      const written = { id, definition: JSON.stringify(request.body), source: "api", updatedAtMs: 0n, updatedBy: "" };
      const asked = { limit: written, actor: actorOf(request) };
      return tagged(reply, toLimit((await callUnary(policy.putLimit.bind(policy), asked, unary)).limit!));
    },
  );
  api.delete(
    "/api/v1/limits/:id",
    {
      config: write,
      schema: { tags, summary: "Remove a limit", params, headers: deleteHeaders, response: { 200: revision } },
    },
    async (request) => {
      await checkUnchanged(request, () => find(request.params.id));
      const asked = { id: request.params.id, actor: actorOf(request) };
      return { revision: Number((await callUnary(policy.deleteLimit.bind(policy), asked, unary)).revision) };
    },
  );
}

function toLimit({ id, definition, source, updatedAtMs, updatedBy }: limitsV1.Limit): z.infer<typeof limit> {
  const written = parseJson(definition) as z.infer<typeof body>;
  return { id, ...written, source, updatedAt: isoOrNull(updatedAtMs), updatedBy };
}
