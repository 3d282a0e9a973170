import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { dropDeadLetter, getDeadLetter, type KeptDeadLetter, listDeadLetters, putBack } from "@tollgate/bus";
import { AppError } from "@tollgate/errors";
import { z } from "zod";
import { actorOf, type ApiOptions, checkBus } from "./api-options.ts";

const PAGE_MAX = 100;
const PAGE_DEFAULT = 50;
const SHOWN_MAX_CHARS = 4_096;

const params = z.object({ id: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER) });
const query = z.object({
  service: z
    .string()
    .max(64)
    .optional()
    .meta({ description: "Of one service only", examples: ["runner"] }),
  limit: z.coerce.number().int().min(1).max(PAGE_MAX).default(PAGE_DEFAULT),
  cursor: z
    .string()
    .regex(/^\d{0,15}$/, "is not a cursor of this list")
    .default(""),
});
const letter = z.object({
  id: z.number().int(),
  at: z.string().meta({ examples: ["2026-11-21T07:00:00.000Z"] }),
  service: z.string().meta({ description: "Who could not process it", examples: ["runner"] }),
  subject: z.string().meta({ description: "Where it was published, and would be put back" }),
  reason: z.string().meta({ examples: ["an envelope without a deadline"] }),
  data: z.string(),
  truncated: z
    .boolean()
    .meta({ description: "Its data was too long to be kept, or no text: it cannot be put back", examples: [false] }),
});
const letters = z.object({
  items: z.array(letter).meta({ description: `Oldest first; of data the first ${SHOWN_MAX_CHARS} characters` }),
  nextCursor: z.string().nullable(),
});

/** What could not be processed. It may be of any tenant. */
export function registerDeadLetters(app: FastifyInstance, { bus, recordChange, log }: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const tags = ["dead letters"];
  const letterOf = async (id: number) => {
    checkBus(bus);
    const found = await getDeadLetter(bus, id);
    if (found) return found;
    throw new AppError("not_found", `there is no dead letter ${id}`);
  };
  api.get(
    "/api/v1/dead-letters",
    {
      config: { action: "admin/dead-letters/read" },
      schema: { tags, summary: "What could not be processed", querystring: query, response: { 200: letters } },
    },
    async (request) => {
      checkBus(bus);
      const { service, limit, cursor } = request.query;
      const { items, next } = await listDeadLetters(bus, { service, limit, from: Number(cursor) });
      const shown = items.map((each) => ({ ...toLetter(each), data: each.data.slice(0, SHOWN_MAX_CHARS) }));
      return { items: shown, nextCursor: next === undefined ? null : String(next) };
    },
  );
  api.get(
    "/api/v1/dead-letters/:id",
    {
      config: { action: "admin/dead-letters/read" },
      schema: { tags, summary: "One of them, whole", params, response: { 200: letter } },
    },
    async (request) => toLetter(await letterOf(request.params.id)),
  );
  api.post(
    "/api/v1/dead-letters/:id/put-back",
    {
      config: { action: "admin/dead-letters/write" },
      schema: {
        tags,
        summary: "Have it processed again",
        description: "Published where it was before, once, and removed from here. What is still bad comes back.",
        params,
        response: { 200: z.object({ id: z.number().int(), subject: z.string() }) },
      },
    },
    async (request) => {
      const found = await letterOf(request.params.id);
      const { id, subject } = found;
      await putBack(bus, found, () => recordChange(request, { ...toChange(found), change: "put_back" }));
      log.info({ deadLetter: id, subject, actor: actorOf(request) }, "a dead letter was put back");
      return { id, subject };
    },
  );
  api.delete(
    "/api/v1/dead-letters/:id",
    {
      config: { action: "admin/dead-letters/write" },
      schema: { tags, summary: "Forget it", params, response: { 204: z.null() } },
    },
    async (request, reply) => {
      const found = await letterOf(request.params.id);
      const { id, subject } = found;
      await recordChange(request, { ...toChange(found), change: "deleted" });
      await dropDeadLetter(bus, id);
      log.info({ deadLetter: id, subject, actor: actorOf(request) }, "a dead letter was dropped");
      return reply.code(204).send(null);
    },
  );
}

/** Without what it holds. */
function toChange({ id, service, subject, reason, at }: KeptDeadLetter) {
  const before = { service, subject, reason, at: new Date(at).toISOString() };
  return { resource: "dead_letter", name: String(id), before } as const;
}

function toLetter({ at, ...rest }: KeptDeadLetter): z.infer<typeof letter> {
  return { ...rest, at: new Date(at).toISOString() };
}
