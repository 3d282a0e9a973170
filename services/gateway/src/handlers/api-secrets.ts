import type { secretsV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { callUnary } from "@tollgate/service";
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { deleteHeaders, putHeaders, tagged, versionAsked } from "./api-etags.ts";
import { actorOf, type ApiOptions, TIMEOUT_MS } from "./api-options.ts";
import { pageOf, pageQuery } from "./api-pages.ts";
import { isoOrNull } from "./api-schemas.ts";

const tags = ["secrets"];
const VALUE_MAX_CHARS = 65_536;
const DESCRIPTION_MAX_CHARS = 500;
const SERVERS_MAX = 256;
const VERSION_MAX = 0xffff_ffffn;
/** Rows of a hundred each are a matter of milliseconds; there may be thousands. */
const ROTATION_TIMEOUT_MS = 60_000;

const params = z.object({
  name: z.string().regex(/^(?!\.{1,2}$)[A-Za-z0-9_.-]{1,128}$/, "has to be 1 to 128 of A-Z, a-z, 0-9, _, . and -"),
});
const server = z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, "has to be the id of a server");

const body = z
  .strictObject({
    value: z
      .string()
      .min(1, "is empty")
      .max(VALUE_MAX_CHARS)
      .meta({ description: "At most 64 KiB. Nothing ever shows it again", writeOnly: true }),
    description: z.string().max(DESCRIPTION_MAX_CHARS).optional().meta({ description: "Absent: as it was" }),
    servers: z.array(server).max(SERVERS_MAX).optional().meta({
      description: "Those that may use it; empty: any whose entry names it. Absent: as they were, of a new one empty",
    }),
  })
  .meta({
    examples: [{ value: "ghp_0123456789", description: "Of the bot account", servers: ["github"] }],
  });

const secret = z
  .object({
    name: z.string(),
    version: z.number().int().nonnegative().meta({ description: "0 where it is not in Tollgate's own store" }),
    description: z.string(),
    servers: z.array(z.string()).meta({ description: "Those that may use it; empty: any" }),
    usedBy: z.array(z.string()).meta({ description: "Servers whose entries name it" }),
    store: z.enum(["tollgate", "files", "vault", ""]).meta({ description: "Which gives it; empty: none has it" }),
    keyId: z.string().meta({ description: "Of the master key that its data key is wrapped with" }),
    problem: z.string().meta({ description: "Why it cannot be read; empty where it can" }),
    createdAt: z.string().nullable(),
    updatedAt: z.string().nullable(),
    updatedBy: z.string(),
  })
  .meta({ description: "A secret, without its value" });
type ApiSecret = z.infer<typeof secret>;

const secrets = z.object({
  items: z.array(secret),
  nextCursor: z.string().nullable(),
  keyId: z.string().meta({ description: "Of the newest master key; empty where there is no store of Tollgate's own" }),
});
const query = z.object({
  store: z.enum(["", "tollgate", "files", "vault"]).default(""),
  server: z.string().max(63).default("").meta({ description: "Those that this server's entry names" }),
  ...pageQuery(["name", "store", "version", "updatedAt", "updatedBy"], "name"),
});

/** What servers' entries name with `${secret:NAME}`. Values go in, and never come out. */
export function registerSecrets(app: FastifyInstance, options: ApiOptions): void {
  registerReading(app, options);
  registerChanges(app, options);
  registerRotation(app, options);
}

function registerReading(app: FastifyInstance, options: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const config = { action: "admin/secrets/read" } as const;
  const summary = "List the secrets that are stored here, and those that servers name";
  api.get(
    "/api/v1/secrets",
    { config, schema: { tags, summary, querystring: query, response: { 200: secrets } } },
    async (request, reply) => {
      const { store, server: user } = request.query;
      const answer = await listSecrets(options);
      const found = answer.secrets
        .map(toSecret)
        .filter((each) => (store === "" || each.store === store) && (user === "" || each.usedBy.includes(user)));
      void reply.header("cache-control", "no-store");
      return { ...pageOf(found, { ...request.query, keyOf: ({ name }) => name }), keyId: answer.keyId };
    },
  );
  api.get(
    "/api/v1/secrets/:name",
    { config, schema: { tags, summary: "One secret, without its value", params, response: { 200: secret } } },
    async (request, reply) => {
      const { name } = request.params;
      const found = (await listSecrets(options)).secrets.find((each) => each.name === name);
      if (found === undefined) throw new AppError("not_found", `there is no secret "${name}"`);
      void reply.header("cache-control", "no-store");
      return found.version === 0 ? toSecret(found) : tagged(reply, toSecret(found), found.version);
    },
  );
}

function registerChanges(app: FastifyInstance, options: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const config = { action: "admin/secrets/write" } as const;
  const client = options.clients.secrets;
  api.put(
    "/api/v1/secrets/:name",
    {
      config,
      schema: {
        tags,
        summary: "Store a secret, or another value of it",
        description:
          "Encrypted before it is written. Servers that name it get new processes with the new value within a second or two; those that wait for it get started.",
        params,
        headers: putHeaders,
        body,
        response: { 200: secret, 201: secret },
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      const { ifVersion, createOnly } = versionAsked(request);
      const { servers, ...said } = request.body;
      const its = { name, ...said, servers: servers ?? [], keepServers: servers === undefined };
      const asked = { ...its, ...authorOf(request), createOnly, ifVersion: toVersion(ifVersion) };
      const { secret: stored, created } = await callUnary(client.putSecret.bind(client), asked, unaryOf(options));
      void reply.header("cache-control", "no-store");
      if (created) void reply.code(201).header("location", `/api/v1/secrets/${name}`);
      return tagged(reply, toSecret(stored!), stored!.version);
    },
  );
  api.delete(
    "/api/v1/secrets/:name",
    {
      config,
      schema: {
        tags,
        summary: "Remove a secret that no server names",
        params,
        headers: deleteHeaders,
        response: { 204: z.null() },
      },
    },
    async (request, reply) => {
      const { ifVersion } = versionAsked(request);
      const asked = { name: request.params.name, ...authorOf(request), ifVersion: toVersion(ifVersion) };
      await callUnary(client.deleteSecret.bind(client), asked, unaryOf(options));
      void reply.header("cache-control", "no-store").code(204);
      return null;
    },
  );
}

function registerRotation(app: FastifyInstance, options: ApiOptions): void {
  const client = options.clients.secrets;
  app.withTypeProvider<ZodTypeProvider>().post(
    "/api/v1/secrets/rotate-keys",
    {
      config: { action: "admin/secrets/write" },
      schema: {
        tags,
        operationId: "rotateSecretKeys",
        summary: "Wrap everything that is encrypted with the newest master key",
        description:
          "To be called when a new key stands first in TOLLGATE_SECRET_KEYS of every registry; after it the old key may go. Calling it again goes on where it was interrupted.",
        response: { 200: z.object({ rewrapped: z.number().int().nonnegative(), keyId: z.string() }) },
      },
    },
    async (request, reply) => {
      void reply.header("cache-control", "no-store");
      const call = { ...unaryOf(options), timeoutMs: ROTATION_TIMEOUT_MS };
      return callUnary(client.rotateKeys.bind(client), authorOf(request), call);
    },
  );
}

function unaryOf({ metadata }: ApiOptions) {
  return { metadata, timeoutMs: TIMEOUT_MS, service: "registry" };
}

function listSecrets(options: ApiOptions): Promise<secretsV1.ListSecretsResponse> {
  const client = options.clients.secrets;
  return callUnary(client.listSecrets.bind(client), {}, unaryOf(options));
}

function authorOf(request: Parameters<typeof actorOf>[0]): { actor: string; address: string } {
  return { actor: actorOf(request), address: request.caller!.address };
}

/** Of the contract; one that is larger is none that anything has. */
function toVersion(version: bigint): number {
  return Number(version < VERSION_MAX ? version : VERSION_MAX);
}

function toSecret({ createdAtMs, updatedAtMs, store, ...rest }: secretsV1.Secret): ApiSecret {
  return {
    ...rest,
    store: store as ApiSecret["store"],
    createdAt: isoOrNull(createdAtMs),
    updatedAt: isoOrNull(updatedAtMs),
  };
}
