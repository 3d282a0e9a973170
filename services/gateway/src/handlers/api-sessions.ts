import type { SessionPage } from "@tollgate/bus";
import { AppError } from "@tollgate/errors";
import { callUnary } from "@tollgate/service";
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { actorOf, type ApiOptions, checkBus, TIMEOUT_MS } from "./api-options.ts";
import { forgetSession, type Session } from "./legacy-sessions.ts";

const LIMIT_MAX = 500;

const sessionId = z.string().regex(/^[A-Za-z0-9_-]{1,128}$/, "is not a session's id");
const params = z.object({ id: sessionId });
const query = z.object({
  tenant: z.string().max(200).optional(),
  principal: z.string().max(300).optional(),
  limit: z.coerce.number().int().min(1).max(LIMIT_MAX).default(100),
  cursor: z.union([z.literal(""), sessionId]).default(""),
});
const session = z.object({
  id: z.string(),
  tenant: z.string(),
  principal: z.string().meta({ examples: ["agent:reviewer"] }),
  client: z.string().meta({ description: "As it names itself", examples: ["claude-code/2.1"] }),
  protocol: z.string().meta({ examples: ["2025-11-25"] }),
  since: z.string().meta({ examples: ["2026-11-21T07:00:00.000Z"] }),
});
const sessions = z.object({
  items: z.array(session).meta({ description: "By id. A page may have fewer than limit, and still not be the last" }),
  nextCursor: z.string().nullable(),
});
const ended = z.object({ id: z.string(), revision: z.number().int() });

/** The sessions of legacy clients, of which every replica serves any. */
export function registerSessions(app: FastifyInstance, { bus, clients, metadata, sessions: store }: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const tags = ["sessions"];
  api.get(
    "/api/v1/sessions",
    {
      config: { action: "admin/sessions/read" },
      schema: { tags, summary: "List the sessions", querystring: query, response: { 200: sessions } },
    },
    async (request) => {
      checkBus(bus);
      const { tenant, principal, limit, cursor } = request.query;
      const { items, next } = await store.list(cursor);
      const found = items.filter(
        ({ session: { tenant: its, principal: whose } }) =>
          (tenant === undefined || its === tenant) && (principal === undefined || whose === principal),
      );
      const page = found.slice(0, limit);
      const nextCursor = found.length > limit ? page.at(-1)!.id : (next ?? null);
      return { items: page.map(toSession), nextCursor };
    },
  );
  api.delete(
    "/api/v1/sessions/:id",
    {
      config: { action: "admin/sessions/write" },
      schema: {
        tags,
        summary: "End a session",
        description:
          "Returns when no gateway serves it any more: requests in it are answered 404, and its streams are closed. Its client may begin another one, unless its token is revoked as well.",
        params,
        response: { 200: ended },
      },
    },
    async (request) => {
      checkBus(bus);
      const { id } = request.params;
      const found = await store.get(id);
      if (found === undefined) throw new AppError("not_found", "there is no such session");
      const { policy } = clients;
      const unary = { metadata, timeoutMs: TIMEOUT_MS, service: "policy" };
      const asked = { session: id, actor: actorOf(request), tenant: found.tenant };
      const { revision } = await callUnary(policy.endSession.bind(policy), asked, unary);
      // Only now: as long as it is there, ending it can be repeated.
      await forgetSession({ id, session: found }, { bus, sessions: store });
      return { id, revision: Number(revision) };
    },
  );
}

function toSession({ id, session: kept, changedAtMs }: SessionPage<Session>["items"][number]): z.infer<typeof session> {
  const { tenant, principal, client, protocol, begunAt = changedAtMs } = kept;
  return { id, tenant, principal, client, protocol, since: new Date(begunAt).toISOString() };
}
