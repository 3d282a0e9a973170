import { setTimeout as delay } from "node:timers/promises";
import type { entriesV1 } from "@tollgate/contracts";
import { describeEntry, type EntryKind } from "@tollgate/desired-state";
import { AppError, toAppError } from "@tollgate/errors";
import { parseJson } from "@tollgate/mcp";
import { callUnary } from "@tollgate/service";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import type { AdminAction } from "../domain/admin-actions.ts";
import { deleteHeaders, putHeaders, tagged, versionAsked } from "./api-etags.ts";
import { actorOf, type ApiOptions, TIMEOUT_MS } from "./api-options.ts";
import { idParam as params, isoOrNull, revision } from "./api-schemas.ts";

// Groups, servers, tool sets and tenants: what tollgate.yaml says of them can be sent here as it is. The registry checks
// it; in the document of the API stands what may be sent.

/** How long a change may take to come back in the catalogue. */
const CATALOGUE_WAIT_MS = 3_000;
const LOOK_INTERVAL_MS = 10;
/** What the answer to a change has where it is done, but shows the catalogue before it. */
const BEHIND = { "tollgate-catalogue": "behind" };

type Value = Record<string, unknown>;

/** What every declared thing shows beside its own. Null: the registry cannot be asked now, or it is part of another. */
export const declaredFields = {
  source: z.string().nullable().meta({ description: "Whose word is in force: file or api" }),
  drift: z
    .string()
    .nullable()
    .meta({ description: "added: the file does not have it; changed: it says something else; else empty" }),
  version: z.number().int().nonnegative().nullable(),
  updatedBy: z.string().nullable().meta({ description: "file: tollgate.yaml" }),
  updatedAt: z.string().nullable(),
  problem: z.string().nullable().meta({
    description: "Why what the API says is set aside, and the file's is in force: they do not go together; else empty",
  }),
};
export const spec = z
  .record(z.string(), z.unknown())
  .nullable()
  .meta({ description: "As in tollgate.yaml; (hidden) stands for what may be a secret, and keeps it when it is sent" });
/** Filters of lists. */
export const declaredQuery = {
  source: z.enum(["", "file", "api"]).default(""),
  drift: z.enum(["", "added", "changed"]).default(""),
};

export function toDeclared(entry: entriesV1.Entry | undefined) {
  if (entry === undefined)
    return { source: null, drift: null, version: null, updatedBy: null, updatedAt: null, problem: null };
  const { source, drift, version, updatedBy, updatedAtMs, problem } = entry;
  return { source, drift, version: Number(version), updatedBy, updatedAt: isoOrNull(updatedAtMs), problem };
}

export function toSpec(entry: entriesV1.Entry): Value {
  return parseJson(entry.entry) as Value;
}

export function isDeclaredAs(
  shown: { readonly source: string | null; readonly drift: string | null },
  { source, drift }: { source: string; drift: string },
): boolean {
  return (source === "" || shown.source === source) && (drift === "" || shown.drift === drift);
}

/** By id. */
export async function readEntries(
  { clients, metadata }: ApiOptions,
  kind: EntryKind,
  id = "",
): Promise<{ entries: Map<string, entriesV1.Entry>; revision: bigint }> {
  const client = clients.entries;
  const unary = { metadata, timeoutMs: TIMEOUT_MS, service: "registry" };
  const answer = await callUnary(client.listEntries.bind(client), { kind, id }, unary);
  return { entries: new Map(answer.entries.map((each) => [each.id, each])), revision: answer.revision };
}

/** For what shows the catalogue's part while the registry is away, or is of an earlier version. */
export async function readEntriesIfThere(
  options: ApiOptions,
  kind: EntryKind,
  id = "",
): Promise<ReadonlyMap<string, entriesV1.Entry>> {
  try {
    const { entries, revision: at } = await readEntries(options, kind, id);
    await untilHere(options, at);
    return entries;
  } catch (error) {
    const { code } = toAppError(error);
    if (code === "unavailable" || code === "deadline_exceeded" || code === "method_not_found") return new Map();
    throw error;
  }
}

/** Until this gateway has the catalogue of that revision: who changes something sees it. @throws {AppError} unavailable */
async function untilHere(options: ApiOptions, wanted: bigint): Promise<void> {
  if (await comes(options, wanted)) return;
  throw new AppError("unavailable", "this gateway has not heard of the newest catalogue yet; look again");
}

/** Likewise, of a change: it is done, and no error may say otherwise. */
async function untilShown(options: ApiOptions, reply: FastifyReply, wanted: bigint): Promise<void> {
  if (!(await comes(options, wanted))) void reply.headers(BEHIND);
}

/** Whether the catalogue of that revision comes in time. */
async function comes({ registry }: ApiOptions, wanted: bigint): Promise<boolean> {
  for (let waitedMs = 0; registry.catalogue.revision < wanted; waitedMs += LOOK_INTERVAL_MS) {
    if (waitedMs >= CATALOGUE_WAIT_MS) return false;
    await delay(LOOK_INTERVAL_MS);
  }
  return true;
}

/** One entry, with the catalogue that has it. @throws {AppError} not_found */
export async function readEntry(options: ApiOptions, kind: EntryKind, id: string): Promise<entriesV1.Entry> {
  const { entries, revision: at } = await readEntries(options, kind, id);
  await untilHere(options, at);
  const entry = entries.get(id);
  if (entry === undefined) throw new AppError("not_found", `there is no ${kind.replace("_", " ")} "${id}"`);
  return entry;
}

/** A body in the file's form. Its keys stand in the document; the registry checks them, as those of the file. */
function entryBody(kind: EntryKind, example: Value, { withId }: { withId: boolean }) {
  const described = describeEntry(kind);
  const { id, ...others } = described["properties"] as Value;
  const required = (described["required"] as string[]).filter((key) => withId || key !== "id");
  const { id: _, ...rest } = example;
  return z.record(z.string(), z.unknown()).meta({
    ...described,
    properties: { id, ...others },
    required,
    examples: [withId ? example : rest],
  });
}

interface Changes {
  readonly kind: EntryKind;
  readonly path: string;
  readonly tags: readonly string[];
  readonly action: AdminAction;
  /** With its id. */
  readonly example: Value;
  readonly shown: z.ZodType<object>;
  /** What the catalogue says of it then. */
  readonly show: (entry: entriesV1.Entry) => object;
  /** Throws where it cannot be changed under this id. */
  readonly check?: (id: string) => void;
  /** Without it there is no POST. */
  readonly created?: string;
}

export function registerEntryChanges(app: FastifyInstance, options: ApiOptions, changes: Changes): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const { kind, path, action, example, shown, show } = changes;
  const tags = [...changes.tags];
  const noun = kind.replace("_", " ");
  const config = { action };
  const answer = (reply: FastifyReply, entry: entriesV1.Entry): object =>
    tagged(reply, show(entry), Number(entry.version));
  if (changes.created !== undefined)
    api.post(
      path,
      {
        config,
        schema: {
          tags,
          summary: `Create a ${noun}`,
          description: changes.created,
          body: entryBody(kind, example, { withId: true }),
          response: { 201: shown },
        },
      },
      async (request, reply) => {
        const { id } = request.body;
        if (typeof id !== "string" || id === "") throw new AppError("invalid_argument", "id: is missing");
        const { entry } = await putEntry(options, { request, reply, kind, id, value: request.body, createOnly: true });
        void reply.code(201).header("location", `${path}/${encodeURIComponent(id)}`);
        return answer(reply, entry!);
      },
    );
  api.put(
    `${path}/:id`,
    {
      config,
      schema: {
        tags,
        summary: `Create or replace a ${noun}`,
        description: "What the file says of it is covered until the file says something else of it",
        params,
        headers: putHeaders,
        body: entryBody(kind, example, { withId: false }),
        response: { 200: shown, 201: shown },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      changes.check?.(id);
      const { createOnly } = versionAsked(request);
      const value = { id, ...request.body };
      const { entry, created } = await putEntry(options, { request, reply, kind, id, value, createOnly });
      if (created) void reply.code(201).header("location", `${path}/${encodeURIComponent(id)}`);
      return answer(reply, entry!);
    },
  );
  api.delete(
    `${path}/:id`,
    {
      config,
      schema: { tags, summary: `Take a ${noun} away`, params, headers: deleteHeaders, response: { 200: revision } },
    },
    async (request, reply) => {
      const { id } = request.params;
      changes.check?.(id);
      const { ifVersion } = versionAsked(request);
      const client = options.clients.entries;
      const asked = { kind, id, ifVersion, ...authorOf(request) };
      const { revision: at } = await callUnary(client.deleteEntry.bind(client), asked, unaryOf(options));
      await untilShown(options, reply, at);
      return { revision: Number(at) };
    },
  );
}

/** Settles when this gateway's catalogue has it, or does not come; then the answer says so. */
export async function putEntry(
  options: ApiOptions,
  asked: {
    request: FastifyRequest;
    reply: FastifyReply;
    kind: EntryKind;
    id: string;
    value: Value;
    createOnly?: boolean;
    ifVersion?: bigint;
  },
): Promise<entriesV1.PutEntryResponse> {
  const { request, reply, kind, id, value, createOnly = false, ifVersion = versionAsked(request).ifVersion } = asked;
  const client = options.clients.entries;
  const put = { kind, id, entry: JSON.stringify(value), ifVersion, createOnly, ...authorOf(request) };
  const answer = await callUnary(client.putEntry.bind(client), put, unaryOf(options));
  await untilShown(options, reply, answer.revision);
  return answer;
}

function unaryOf({ metadata }: ApiOptions) {
  return { metadata, timeoutMs: TIMEOUT_MS, service: "registry" };
}

function authorOf(request: FastifyRequest): { actor: string; address: string } {
  return { actor: actorOf(request), address: request.caller!.address };
}
