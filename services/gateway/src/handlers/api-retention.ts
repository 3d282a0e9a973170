import { type auditV1, KINDS, NAME_PATTERN } from "@tollgate/contracts";
import { callUnary } from "@tollgate/service";
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { tenantShown } from "./api-access.ts";
import { actorOf, type ApiOptions, TIMEOUT_MS } from "./api-options.ts";
import { pageOf, pageQuery } from "./api-pages.ts";
import { isoOrNull } from "./api-schemas.ts";

const REASON_MAX_CHARS = 500;

const tenant = z
  .string()
  .regex(NAME_PATTERN, "has to be 1 to 63 of a-z, 0-9 and inner -")
  .optional()
  .meta({ examples: ["acme"] });
const kind = z.enum(KINDS).optional();
const time = z.iso.datetime({ offset: true }).transform((text) => Date.parse(text));

const body = z
  .strictObject({
    tenant: tenant.meta({ description: "Absent: all tenants" }),
    kind: kind.meta({ description: "Absent: every kind" }),
    from: time.optional().meta({ description: "Events of this time and later; absent: from the beginning" }),
    to: time.optional().meta({ description: "Events before this; absent: without an end" }),
    reason: z.string().min(1).max(REASON_MAX_CHARS),
  })
  .meta({
    description: "Which events are kept, however old they become",
    examples: [{ tenant: "acme", kind: "call", from: "2026-10-01T00:00:00Z", reason: "Case 2026-114" }],
  });

const hold = z.object({
  id: z.string(),
  tenant: z.string().nullable(),
  kind: z.string().nullable(),
  from: z.string().nullable(),
  to: z.string().nullable(),
  reason: z.string(),
  createdBy: z.string(),
  createdAt: z.string().nullable(),
  releasedBy: z.string().nullable(),
  releasedAt: z.string().nullable(),
});
const holds = z.object({ items: z.array(hold), nextCursor: z.string().nullable() });
const retention = z.object({
  items: z.array(
    z.object({
      tenant: z.string(),
      kind: z.string(),
      days: z.number().int(),
      oldestKept: z.string().nullable(),
      heldBy: z.string().nullable().meta({ description: "The hold without which the oldest would be gone" }),
    }),
  ),
  nextCursor: z.string().nullable(),
});
const retentionQuery = z.object({
  tenant,
  kind,
  ...pageQuery(["tenant", "kind", "days", "oldestKept", "heldBy"], "tenant,kind"),
});
const holdQuery = z.object({
  tenant,
  ...pageQuery(["id", "tenant", "kind", "from", "to", "createdBy", "createdAt", "releasedAt"], "-createdAt"),
});

/** How long the record is kept, and what of it for longer: docs/retention.md. */
export function registerRetention(app: FastifyInstance, { clients: { audit }, metadata }: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const unary = { metadata, timeoutMs: TIMEOUT_MS, service: "audit" };
  const tags = ["audit"];
  const read = { action: "admin/audit/retention/read" } as const;
  const write = { action: "admin/audit/retention/write" } as const;
  api.get(
    "/api/v1/audit/retention",
    {
      config: read,
      schema: {
        tags,
        summary: "How long each tenant's events of each kind are kept",
        querystring: retentionQuery,
        response: { 200: retention },
      },
    },
    async (request) => {
      const asked = { tenant: tenantShown(request, request.query.tenant ?? "") };
      const answer = await callUnary(audit.listRetention.bind(audit), asked, unary);
      const { kind: ofKind } = request.query;
      const shown = answer.retention
        .filter((each) => ofKind === undefined || each.kind === ofKind)
        .map(({ oldestKeptMs, heldBy, ...rest }) => ({
          ...rest,
          oldestKept: isoOrNull(oldestKeptMs),
          heldBy: heldBy || null,
        }));
      return pageOf(shown, { ...request.query, keyOf: (each) => `${each.tenant} ${each.kind}` });
    },
  );
  api.get(
    "/api/v1/audit/holds",
    { config: read, schema: { tags, summary: "Legal holds", querystring: holdQuery, response: { 200: holds } } },
    async (request) => {
      const asked = { tenant: tenantShown(request, request.query.tenant ?? "") };
      const shown = (await callUnary(audit.listHolds.bind(audit), asked, unary)).holds.map(toHold);
      return pageOf(shown, { ...request.query, keyOf: ({ id }) => id });
    },
  );
  api.post(
    "/api/v1/audit/holds",
    {
      config: write,
      schema: {
        tags,
        summary: "Put a legal hold on events",
        description: "When it returns, none of these events that are there now will go before the hold is released.",
        body,
        response: { 201: hold },
      },
    },
    async (request, reply) => {
      const { from = 0, to = 0, kind: ofKind = "", reason } = request.body;
      const ofTenant = tenantShown(request, request.body.tenant ?? "");
      const scope = { tenant: ofTenant, kind: ofKind, fromMs: BigInt(from), toMs: BigInt(to) };
      const set = { id: "", createdAtMs: 0n, releasedBy: "", releasedAtMs: 0n };
      const asked = { hold: { ...set, ...scope, reason, createdBy: actorOf(request) } };
      const answer = await callUnary(audit.putHold.bind(audit), asked, unary);
      return reply.code(201).send(toHold(answer.hold!));
    },
  );
  api.delete(
    "/api/v1/audit/holds/:id",
    {
      config: write,
      schema: { tags, summary: "Release a legal hold", params: z.object({ id: z.uuid() }), response: { 200: hold } },
    },
    async (request) => {
      const { id } = request.params;
      const asked = { id, tenant: tenantShown(request, ""), by: actorOf(request) };
      return toHold((await callUnary(audit.releaseHold.bind(audit), asked, unary)).hold!);
    },
  );
}

function toHold(given: auditV1.Hold): z.infer<typeof hold> {
  const { id, reason, createdBy } = given;
  return {
    id,
    tenant: given.tenant || null,
    kind: given.kind || null,
    from: isoOrNull(given.fromMs),
    to: isoOrNull(given.toMs),
    reason,
    createdBy,
    createdAt: isoOrNull(given.createdAtMs),
    releasedBy: given.releasedBy || null,
    releasedAt: isoOrNull(given.releasedAtMs),
  };
}
