import { Readable } from "node:stream";
import { type auditV1, KINDS } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { callUnary, readStream } from "@tollgate/service";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { createPlaces, type Places } from "../domain/places.ts";
import { tenantShown } from "./api-access.ts";
import { provenEvent, time } from "./api-audit-schemas.ts";
import { actorOf, type ApiOptions, TIMEOUT_MS } from "./api-options.ts";
import { pageOf, pageQuery } from "./api-pages.ts";
import { isoOrNull } from "./api-schemas.ts";

const tags = ["audit"];
const STREAMS_MAX = 4;
const STREAMS_PER_TENANT_MAX = 2;
const RETRY_AFTER_SECONDS = 30;
const ID_MAX_CHARS = 64;
/** How often a verification says how far it is. */
const PROGRESS_INTERVAL_MS = 1_000;
const NDJSON = "application/x-ndjson";
const VERIFIED = '{"eventsVerified":12345,"chainsVerified":18,"findings":[],"done":true}';
const ndjson = (description: string, example: string) => ({
  description,
  content: { [NDJSON]: { schema: z.string().meta({ description: "JSON a line", examples: [`${example}\n`] }) } },
});

const tenant = z.string().max(63).default("").meta({ description: "Empty: every tenant that the caller may see" });
const kind = z
  .enum(["", ...KINDS])
  .default("")
  .meta({ description: "What kind of event (docs/events.md)" });
const chains = z.object({
  items: z.array(
    z.object({
      tenant: z.string(),
      kind: z.string(),
      firstNumber: z.number().int().meta({ description: "Of the first event that is still kept" }),
      lastNumber: z.number().int(),
      hash: z.string().meta({ description: "Of the last event" }),
      checkpointNumber: z.number().int().meta({ description: "The last one that is signed" }),
      checkpointAt: z.string().nullable(),
    }),
  ),
  nextCursor: z.string().nullable(),
});
const chainQuery = z.strictObject({
  tenant,
  kind,
  ...pageQuery(["tenant", "kind", "firstNumber", "lastNumber", "checkpointNumber", "checkpointAt"], "tenant,kind"),
});
const key = z.object({
  id: z.string(),
  publicKey: z.string().meta({ description: "PEM" }),
  createdAt: z.string().nullable(),
  retiredAt: z.string().nullable(),
});
const keys = z.object({
  items: z.array(key).meta({ description: "Oldest first; the last one signs" }),
  nextCursor: z.string().nullable(),
});
const keyQuery = z.object(pageQuery(["id", "createdAt", "retiredAt"], "createdAt"));

/** Proofs that the record is what was recorded: docs/evidence.md. */
export function registerEvidence(app: FastifyInstance, options: ApiOptions): void {
  const { clients, metadata, access } = options;
  const api = app.withTypeProvider<ZodTypeProvider>();
  const unary = { metadata, timeoutMs: TIMEOUT_MS, service: "audit" };
  const read = { action: "admin/audit/read" } as const;

  api.get(
    "/api/v1/audit/events/:id",
    {
      config: read,
      schema: {
        tags,
        summary: "One event, with the proof that it is in the record",
        description:
          "`line` is the event as it was recorded, to the byte; `proof` is null for the half minute until it is signed. The answer is what `tollgate audit proof` proves.",
        params: z.object({ id: z.string().max(ID_MAX_CHARS) }),
        querystring: z.strictObject({ tenant }),
        response: { 200: provenEvent },
      },
    },
    async (request, reply) => {
      const asked = { tenant: tenantShown(request, request.query.tenant), id: request.params.id };
      const { event, proof } = await callUnary(clients.audit.getEvent.bind(clients.audit), asked, unary);
      await access.read(request, "read", 1);
      // Both are JSON already, and the event is shown as it was recorded.
      return reply
        .type("application/json; charset=utf-8")
        .serializer(String)
        .send(`{"event":${event},"line":${JSON.stringify(event)},"proof":${proof || "null"}}` as never);
    },
  );
  api.get(
    "/api/v1/audit/chains",
    {
      config: read,
      schema: {
        tags,
        summary: "How far each tenant's and kind's chain is recorded and signed",
        querystring: chainQuery,
        response: { 200: chains },
      },
    },
    async (request) => {
      const asked = { tenant: tenantShown(request, request.query.tenant) };
      const answer = await callUnary(clients.audit.listChains.bind(clients.audit), asked, unary);
      const { kind: ofKind } = request.query;
      const shown = answer.chains.filter((each) => ofKind === "" || each.kind === ofKind).map(toChain);
      return pageOf(shown, { ...request.query, keyOf: (each) => `${each.tenant} ${each.kind}` });
    },
  );
  api.get(
    "/api/v1/audit/signing-keys",
    {
      config: read,
      schema: {
        tags,
        summary: "Public keys that sign the record",
        querystring: keyQuery,
        response: { 200: keys },
      },
    },
    async ({ query }) => {
      const answer = await callUnary(clients.audit.listSigningKeys.bind(clients.audit), {}, unary);
      return pageOf(answer.keys.map(toKey), { ...query, keyOf: ({ id }) => id });
    },
  );
  api.post(
    "/api/v1/audit/signing-keys",
    {
      config: { action: "admin/audit/signing-keys/write" },
      schema: {
        tags,
        summary: "Sign with a new key from now on",
        description: "The key before vouches for it, and its private part is forgotten. Keys are the installation's.",
        response: { 201: key },
      },
    },
    async (request, reply) => {
      if (tenantShown(request, "") !== "")
        throw new AppError("permission_denied", `${actorOf(request)} may change its own tenant only`);
      const rotate = clients.audit.rotateSigningKey.bind(clients.audit);
      const answer = await callUnary(rotate, { by: actorOf(request) }, unary);
      return reply.code(201).send(toKey(answer.key!));
    },
  );
  registerStreams(app, options);
}

function registerStreams(app: FastifyInstance, options: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const { clients, metadata } = options;
  const places = createPlaces({ max: STREAMS_MAX, perTenantMax: STREAMS_PER_TENANT_MAX });
  api.get(
    "/api/v1/audit/evidence",
    {
      config: { action: "admin/audit/read", alone: true },
      schema: {
        tags,
        summary: "Events with all that proves them, as a file",
        description:
          "What `tollgate audit verify` proves without this installation. Each chain's signed segments that hold an event of the time, so a few of before and after come along.",
        querystring: z.strictObject({ tenant, kind, from: time("Inclusive"), to: time("Exclusive") }),
        response: { 200: ndjson("Events, and what proves them", '{"checkpoint":{}}') },
      },
    },
    async (request, reply) => {
      const { from = 0, to = 0, kind: ofKind } = request.query;
      const ofTenant = tenantShown(request, request.query.tenant);
      const asked = { tenant: ofTenant, kind: ofKind, fromMs: BigInt(from), toMs: BigInt(to) };
      const name = `evidence-${new Date().toISOString().slice(0, 10)}.ndjson`;
      void reply.header("content-disposition", `attachment; filename="${name}"`);
      return sendStream(request, reply, options, {
        places,
        action: "evidence",
        open: () => clients.audit.exportEvidence(asked, metadata),
        textOf: ({ lines }) => lines.map((line) => `${line}\n`).join(""),
        countOf: ({ lines }) => lines.length,
      });
    },
  );
  api.post(
    "/api/v1/audit/verify",
    {
      config: { action: "admin/audit/verify", alone: true },
      schema: {
        tags,
        summary: "Prove the record where it is stored",
        description:
          "Lines of JSON: how far it is, and each finding: an event, checkpoint or chain that is not as it was recorded. The last line has `done`.",
        querystring: z.strictObject({ tenant, kind }),
        response: { 200: ndjson("How far it is, and what it has found", VERIFIED) },
      },
    },
    async (request, reply) => {
      const asked = { tenant: tenantShown(request, request.query.tenant), kind: request.query.kind };
      let shownAt = 0;
      let counted = 0;
      return sendStream<auditV1.VerifyRecordResponse>(request, reply, options, {
        places,
        action: "verify",
        open: () => clients.audit.verifyRecord(asked, metadata),
        textOf(message) {
          const isNews = message.done || message.findings.length > 0;
          if (!isNews && Date.now() < shownAt + PROGRESS_INTERVAL_MS) return "";
          shownAt = Date.now();
          return `${JSON.stringify(toProgress(message))}\n`;
        },
        countOf({ eventsVerified }) {
          const before = counted;
          counted = Number(eventsVerified);
          return counted - before;
        },
      });
    },
  );
}

/** What audit streams, once it is recorded that it is given out and audit has begun: mistakes are said before that. */
async function sendStream<T>(
  request: FastifyRequest,
  reply: FastifyReply,
  { access }: ApiOptions,
  stream: {
    places: Places;
    action: "evidence" | "verify";
    open: () => Parameters<typeof readStream<T>>[0];
    textOf: (message: T) => string;
    countOf: (message: T) => number;
  },
): Promise<FastifyReply> {
  const release = stream.places.take(request.caller!.principal.tenant);
  if (release === undefined)
    throw new AppError("overloaded", "as much evidence as may be given out at a time is being given out", {
      details: { retryAfterSeconds: RETRY_AFTER_SECONDS },
    });
  const body = await openBody().catch((error: unknown) => {
    release();
    throw error;
  });
  return reply.header("cache-control", "no-store").type(NDJSON).send(body);

  async function openBody(): Promise<Readable> {
    const given = await access.begin(request, stream.action);
    const call = stream.open();
    const messages = readStream<T>(call, "audit");
    const first = await messages.next();
    let count = 0;
    async function* pieces(): AsyncGenerator<string> {
      for (let next = first; next.done !== true; next = await messages.next()) {
        count += stream.countOf(next.value);
        const text = stream.textOf(next.value);
        if (text !== "") yield text;
      }
    }
    return Readable.from(pieces()).once("close", () => {
      release!();
      call.cancel();
      given(count);
    });
  }
}

function toChain(chain: auditV1.Chain): z.infer<typeof chains>["items"][number] {
  return {
    tenant: chain.tenant,
    kind: chain.kind,
    firstNumber: Number(chain.firstNumber),
    lastNumber: Number(chain.lastNumber),
    hash: chain.hash,
    checkpointNumber: Number(chain.checkpointNumber),
    checkpointAt: isoOrNull(chain.checkpointAtMs),
  };
}

function toKey({ id, publicKey, createdAtMs, retiredAtMs }: auditV1.SigningKey): z.infer<typeof key> {
  return { id, publicKey, createdAt: isoOrNull(createdAtMs), retiredAt: isoOrNull(retiredAtMs) };
}

function toProgress({ eventsVerified, chainsVerified, findings, done }: auditV1.VerifyRecordResponse) {
  return {
    eventsVerified: Number(eventsVerified),
    chainsVerified,
    findings: findings.map(({ number, ...finding }) => ({ ...finding, number: Number(number) })),
    done,
  };
}
