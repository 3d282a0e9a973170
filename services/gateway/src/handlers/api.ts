import swagger from "@fastify/swagger";
import type { FastifyInstance, FastifyRequest } from "fastify";
import {
  jsonSchemaTransform,
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from "fastify-type-provider-zod";
import type { Metadata } from "@grpc/grpc-js";
import type { auditV1, meteringV1, policyV1 } from "@tollgate/contracts";
import { AppError, httpStatus, toAppError, toProblem } from "@tollgate/errors";
import { callUnary, type Log } from "@tollgate/service";
import type { Policy } from "../clients/policy.ts";
import type { Registry } from "../clients/registry.ts";
import { bearerToken } from "../domain/http-checks.ts";
import * as schema from "./api-schemas.ts";

const TIMEOUT_MS = 10_000;

export interface ApiOptions {
  readonly policy: Policy;
  readonly registry: Registry;
  readonly clients: {
    readonly policy: policyV1.PolicyServiceClient;
    readonly audit: auditV1.AuditServiceClient;
    readonly metering: meteringV1.MeteringServiceClient;
  };
  readonly metadata: Metadata;
  readonly log: Log;
}

/** The management API: `/api/v1`, RFC 9457 errors, OpenAPI at `/api/v1/openapi.json`. Needs the permission `admin`. */
export async function registerApi(app: FastifyInstance, options: ApiOptions): Promise<void> {
  await app.register(async (plain) => {
    const api = plain.withTypeProvider<ZodTypeProvider>();
    api.setValidatorCompiler(validatorCompiler);
    api.setSerializerCompiler(serializerCompiler);
    await api.register(swagger, {
      transform: jsonSchemaTransform,
      openapi: {
        openapi: "3.1.0",
        info: { title: "Tollgate management API", version: "1" },
        components: { securitySchemes: { bearer: { type: "http", scheme: "bearer" } } },
        security: [{ bearer: [] }],
      },
    });
    setErrors(api, options.log);
    api.get("/api/v1/openapi.json", { schema: { hide: true } }, () => api.swagger());
    await api.register((guarded, _options, done) => {
      guarded.addHook("onRequest", (request) => requireAdmin(request, options.policy));
      registerCatalogue(guarded, options);
      registerPolicies(guarded, options);
      registerRecords(guarded, options);
      done();
    });
  });
}

function setErrors(api: FastifyInstance, log: Log): void {
  api.setErrorHandler((error: Error & { statusCode?: number; validation?: unknown }, request, reply) => {
    let known = toAppError(error);
    if (error.validation !== undefined) known = new AppError("invalid_argument", error.message);
    else if (error.statusCode === 413) known = new AppError("payload_too_large", "the body is too large");
    else if (error.statusCode !== undefined && error.statusCode < 500)
      known = new AppError("invalid_argument", error.message);
    if (known.code === "internal") log.error({ err: error, url: request.url }, "API request failed");
    if (known.code === "unauthenticated") void reply.header("www-authenticate", "Bearer");
    // Not through the serializer of the route: a problem has its own shape.
    return reply
      .code(httpStatus(known.code))
      .type("application/problem+json")
      .serializer(JSON.stringify)
      .send(toProblem(known));
  });
}

async function requireAdmin(request: FastifyRequest, policy: Policy): Promise<void> {
  const token = bearerToken(request.headers.authorization);
  const { revision } = policy;
  const principal = await policy.authenticate(token);
  if (!principal.permissions.includes("admin"))
    throw new AppError("permission_denied", `token ${principal.id} lacks the permission "admin"`);
  request.caller = { principal, revision, authenticate: () => policy.authenticate(token) };
}

function registerCatalogue(app: FastifyInstance, { registry }: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const serverOf = (id: string) => {
    const server = registry.catalogue.servers.get(id);
    if (server) return server;
    throw new AppError("not_found", `there is no server "${id}"`);
  };
  api.get(
    "/api/v1/groups",
    { schema: { tags: ["catalogue"], summary: "List the groups", response: { 200: schema.groups } } },
    () => ({
      items: registry.catalogue.groups.map(({ id, name }) => ({ id, name })),
    }),
  );
  api.get(
    "/api/v1/servers",
    {
      schema: { tags: ["catalogue"], summary: "List the servers with their status", response: { 200: schema.servers } },
    },
    () => ({
      items: [...registry.catalogue.servers.values()].map(schema.toServer),
    }),
  );
  api.get(
    "/api/v1/servers/:id",
    {
      schema: { tags: ["catalogue"], summary: "One server", params: schema.idParam, response: { 200: schema.server } },
    },
    (request) => schema.toServer(serverOf(request.params.id)),
  );
  api.get(
    "/api/v1/servers/:id/tools",
    {
      schema: {
        tags: ["catalogue"],
        summary: "A server's tools",
        params: schema.idParam,
        response: { 200: schema.tools },
      },
    },
    (request) => ({
      items: [...serverOf(request.params.id).items.tool.values()].map((tool) => ({
        name: tool.name,
        retrySafe: tool.retrySafe,
        definition: JSON.parse(tool.definition) as Record<string, unknown>,
      })),
    }),
  );
}

function registerPolicies(app: FastifyInstance, { clients, metadata }: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const { policy } = clients;
  const unary = { metadata, timeoutMs: TIMEOUT_MS, service: "policy" };
  const actor = (request: FastifyRequest) => request.caller!.principal.id;
  const tags = ["policies"];

  api.get(
    "/api/v1/policies",
    { schema: { tags, summary: "List the policies", response: { 200: schema.policies } } },
    async () => {
      const answer = await callUnary(policy.listPolicies.bind(policy), { tenant: "" }, unary);
      return { items: answer.policies.map(schema.toPolicy), revision: Number(answer.revision) };
    },
  );
  api.put(
    "/api/v1/policies/:id",
    {
      schema: {
        tags,
        summary: "Create or replace a policy",
        description:
          "Returns when every live gateway has taken the change: from then on no call that it forbids is let in.",
        params: schema.idParam,
        body: schema.policyBody,
        response: { 200: schema.policy },
      },
    },
    async (request) => {
      const body = { ...schema.EMPTY_POLICY, ...request.body, id: request.params.id };
      const answer = await callUnary(policy.putPolicy.bind(policy), { policy: body, actor: actor(request) }, unary);
      return schema.toPolicy(answer.policy!);
    },
  );
  api.delete(
    "/api/v1/policies/:id",
    { schema: { tags, summary: "Remove a policy", params: schema.idParam, response: { 200: schema.revision } } },
    async (request) => {
      const answer = await callUnary(
        policy.deletePolicy.bind(policy),
        { id: request.params.id, actor: actor(request) },
        unary,
      );
      return { revision: Number(answer.revision) };
    },
  );
  api.get(
    "/api/v1/tokens",
    {
      schema: { tags: ["tokens"], summary: "List the tokens, without their secrets", response: { 200: schema.tokens } },
    },
    async () => {
      const answer = await callUnary(policy.listTokens.bind(policy), {}, unary);
      return { items: answer.tokens.map(schema.toToken) };
    },
  );
  api.delete(
    "/api/v1/tokens/:id",
    {
      schema: {
        tags: ["tokens"],
        summary: "Revoke a token",
        description: "Returns when every live gateway refuses it.",
        params: schema.idParam,
        response: { 200: schema.revision },
      },
    },
    async (request) => {
      const answer = await callUnary(
        policy.revokeToken.bind(policy),
        { name: request.params.id, actor: actor(request) },
        unary,
      );
      return { revision: Number(answer.revision) };
    },
  );
}

function registerRecords(app: FastifyInstance, { clients, metadata }: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const { audit, metering } = clients;
  api.get(
    "/api/v1/audit/events",
    {
      schema: {
        tags: ["audit"],
        summary: "Audit events, newest first",
        querystring: schema.auditQuery,
        response: { 200: schema.auditEvents },
      },
    },
    async (request) => {
      const { from, to, limit, ...filters } = request.query;
      const asked = { ...filters, fromMs: BigInt(from ?? 0), toMs: BigInt(to ?? 0), pageSize: limit ?? 0 };
      const answer = await callUnary(audit.listEvents.bind(audit), asked, {
        metadata,
        timeoutMs: TIMEOUT_MS,
        service: "audit",
      });
      const items = answer.events.map((event) => JSON.parse(event) as Record<string, unknown>);
      return { items, nextCursor: answer.nextCursor === "" ? null : answer.nextCursor };
    },
  );
  for (const url of ["/api/v1/metering/usage", "/metering/usage"]) {
    api.get(
      url,
      {
        schema: {
          tags: ["metering"],
          summary: "Usage and cost",
          querystring: schema.usageQuery,
          response: { 200: schema.usage },
        },
      },
      async (request) => {
        const { from, to, groupBy, limit, tenant } = request.query;
        const asked = { tenant, fromMs: BigInt(from ?? 0), toMs: BigInt(to ?? 0), groupBy, limit: limit ?? 0 };
        const answer = await callUnary(metering.getUsage.bind(metering), asked, {
          metadata,
          timeoutMs: TIMEOUT_MS,
          service: "metering",
        });
        return {
          items: answer.rows.map(schema.toUsage),
          total: schema.toUsage(answer.total!),
          currency: answer.currency,
        };
      },
    );
  }
}
