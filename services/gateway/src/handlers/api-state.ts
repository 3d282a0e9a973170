import type { stateV1 } from "@tollgate/contracts";
import { AppError, toAppError } from "@tollgate/errors";
import { parseJson } from "@tollgate/mcp";
import { callUnary } from "@tollgate/service";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { actorOf, type ApiOptions } from "./api-options.ts";
import { pageOf, pageQuery } from "./api-pages.ts";
import { isoOrNull } from "./api-schemas.ts";

/** In the order in which they are changed: what policies and prices speak of is there before them. */
const SERVICES = ["registry", "metering", "policy"] as const;
type ServiceName = (typeof SERVICES)[number];

const DOCUMENT_MAX_CHARS = 1024 * 1024;
const NAME_MAX_CHARS = 200;
/** A whole file may change as much as there is. */
const TIMEOUT_MS = 30_000;
const tags = ["state"];

const entry = z.record(z.string(), z.unknown()).nullable();
const body = z.strictObject({
  document: z
    .string()
    .max(DOCUMENT_MAX_CHARS)
    .meta({
      description: "A tollgate.yaml, or a part of it, as YAML or JSON",
      examples: ["tool_sets: [{ id: search, tools: ['*:search*'] }]\n"],
    }),
  name: z.string().min(1).max(NAME_MAX_CHARS).default("document").meta({ description: "Names it in messages" }),
  prune: z
    .boolean()
    .default(false)
    .meta({ description: "Also take away what the document's sections do not have", examples: [false] }),
});
const change = z.object({
  kind: z.string().meta({ examples: ["tool_set"] }),
  id: z.string(),
  change: z.enum(["create", "update", "delete"]),
  before: entry,
  after: entry,
  note: z.string().meta({ description: "What follows from it" }),
});
const plan = z.object({
  changes: z.array(change),
  warnings: z.array(z.string()),
  applied: z.boolean(),
  revision: z.number().int().meta({ description: "Of the registry" }),
});

const drifted = z.object({
  kind: z.string(),
  id: z.string(),
  drift: z.enum(["added", "changed", "removed"]),
  file: entry.meta({ description: "What tollgate.yaml says; null: it does not have it" }),
  entry: entry.meta({ description: "What is in force, or set aside; null: nothing" }),
  updatedBy: z.string(),
  updatedAt: z.string().nullable(),
  problem: z.string().meta({ description: "Why the entry is set aside, and the file's in force; else empty" }),
});
const drift = z.object({ items: z.array(drifted), nextCursor: z.string().nullable() });
const driftQuery = z.object({
  kind: z.string().max(NAME_MAX_CHARS).default(""),
  drift: z.enum(["", "added", "changed", "removed"]).default(""),
  ...pageQuery(["kind", "id", "drift", "updatedBy", "updatedAt"], "kind,id"),
});

/** Documents like tollgate.yaml, taken as a whole; and where the file is not what is in force. */
export function registerState(app: FastifyInstance, options: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  api.post(
    "/api/v1/plan",
    {
      config: { action: "admin/state/read" },
      schema: {
        operationId: "planDocument",
        tags,
        summary: "What a document would change",
        description: "Changes nothing. Every mistake of the document is told, with its place, in `mistakes`",
        body,
        response: { 200: plan },
      },
    },
    async (request) => toPlan(await planAll(request, request.body, options), { applied: false }),
  );
  api.post(
    "/api/v1/apply",
    {
      config: { action: "admin/state/write" },
      schema: {
        operationId: "applyDocument",
        tags,
        summary: "Change what a document says",
        description:
          "Needs no other right than this one. Servers and groups, prices, and policies are each changed as a whole; where one of the three fails, `done` names those that are changed, and the same document can be applied again",
        body,
        response: { 200: plan },
      },
    },
    async (request) => {
      const planned = await planAll(request, request.body, options);
      return toPlan(await applyAll(request, planned, options), { applied: true });
    },
  );
  api.get(
    "/api/v1/drift",
    {
      config: { action: "admin/state/read" },
      schema: {
        operationId: "listDrift",
        tags,
        summary: "Where what is in force is not what the file says",
        querystring: driftQuery,
        response: { 200: drift },
      },
    },
    async ({ query }) => {
      const answers = await Promise.all(SERVICES.map((service) => driftOf(service, options)));
      const found = answers
        .flatMap(({ items }) => items.map(toDrifted))
        .filter((each) => [each.kind, ""].includes(query.kind) && ["", each.drift].includes(query.drift));
      return pageOf(found, { ...query, keyOf: ({ kind, id }) => `${kind} ${id}` });
    },
  );
}

type Answers = Readonly<Record<ServiceName, stateV1.ReconcileResponse>>;
type Asked = z.infer<typeof body>;

function reconcile(
  service: ServiceName,
  { request, asked, dryRun }: { request: FastifyRequest; asked: Asked; dryRun: boolean },
  { clients, metadata }: ApiOptions,
): Promise<stateV1.ReconcileResponse> {
  const client = clients.states[service];
  const by = { actor: actorOf(request), address: request.caller!.address };
  return callUnary(
    client.reconcile.bind(client),
    { ...asked, ...by, dryRun },
    { metadata, timeoutMs: TIMEOUT_MS, service },
  );
}

/** @throws {AppError} invalid_argument with the `mistakes` that all of them have found */
async function planAll(request: FastifyRequest, asked: Asked, options: ApiOptions): Promise<Answers> {
  const settled = await Promise.allSettled(
    SERVICES.map((service) => reconcile(service, { request, asked, dryRun: true }, options)),
  );
  const errors = settled.flatMap((each) => (each.status === "rejected" ? [toAppError(each.reason)] : []));
  const other = errors.find(({ code }) => code !== "invalid_argument");
  if (other !== undefined) throw other;
  if (errors.length > 0) {
    const mistakes = [...new Set(errors.flatMap(mistakesOf))];
    const count = mistakes.length === 1 ? "a mistake" : `${mistakes.length} mistakes`;
    throw new AppError("invalid_argument", `${asked.name} has ${count}: ${mistakes.join("; ")}`, {
      details: { mistakes },
    });
  }
  const answers = settled.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  return Object.fromEntries(SERVICES.map((service, at) => [service, answers[at]!])) as unknown as Answers;
}

function mistakesOf({ message, details }: AppError): readonly string[] {
  const mistakes = details["mistakes"];
  return Array.isArray(mistakes) ? (mistakes as string[]) : [message];
}

/** One after the other. @throws {AppError} what the first one throws that fails, with `done` */
async function applyAll(
  request: FastifyRequest & { body: Asked },
  planned: Answers,
  options: ApiOptions,
): Promise<Answers> {
  const answers = { ...planned };
  const done: ServiceName[] = [];
  for (const service of SERVICES) {
    if (planned[service].changes.length === 0) continue;
    try {
      answers[service] = await reconcile(service, { request, asked: request.body, dryRun: false }, options);
    } catch (error) {
      const known = toAppError(error);
      if (done.length === 0) throw known;
      const message = `${done.join(" and ")} took the document, ${service} did not: ${known.message}; apply it again`;
      throw new AppError(known.code, message, { cause: error, details: { ...known.details, done, failed: service } });
    }
    done.push(service);
  }
  return answers;
}

function toPlan(answers: Answers, { applied }: { applied: boolean }): z.infer<typeof plan> {
  const all = SERVICES.map((service) => answers[service]);
  return {
    changes: all.flatMap(({ changes }) => changes.map(toChange)),
    warnings: [...new Set(all.flatMap(({ warnings }) => warnings))],
    applied,
    revision: Number(answers.registry.revision),
  };
}

function toChange({ kind, id, change: what, before, after, note }: stateV1.Change): z.infer<typeof change> {
  return { kind, id, change: what as "create", before: toEntry(before), after: toEntry(after), note };
}

function driftOf(service: ServiceName, { clients, metadata }: ApiOptions): Promise<stateV1.GetDriftResponse> {
  const client = clients.states[service];
  return callUnary(client.getDrift.bind(client), {}, { metadata, timeoutMs: TIMEOUT_MS, service });
}

function toDrifted({ kind, id, drift: how, fileEntry, entry: said, ...by }: stateV1.Drift): z.infer<typeof drifted> {
  const { updatedBy, updatedAtMs, problem } = by;
  const sides = { file: toEntry(fileEntry), entry: toEntry(said) };
  return { kind, id, drift: how as "added", ...sides, updatedBy, updatedAt: isoOrNull(updatedAtMs), problem };
}

function toEntry(json: string): Record<string, unknown> | null {
  return json === "" ? null : (parseJson(json) as Record<string, unknown>);
}
