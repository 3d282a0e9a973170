import { policyV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { callUnary } from "@tollgate/service";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import * as schema from "./api-identity-schemas.ts";
import { checkUnchanged, deleteHeaders, putHeaders, tagged } from "./api-etags.ts";
import { actorOf, type ApiOptions, TIMEOUT_MS } from "./api-options.ts";
import { pageOf } from "./api-pages.ts";
import { idParam, revision } from "./api-schemas.ts";

/** Who may come in: tokens, agents and users, roles. */
export function registerIdentity(app: FastifyInstance, options: ApiOptions): void {
  registerTokens(app, options);
  registerNewSecrets(app, options);
  registerPrincipals(app, options);
  registerPrincipalChanges(app, options);
  registerRoles(app, options);
}

const RETURNS = "Returns when every live gateway has taken the change.";

function unaryOf({ metadata }: ApiOptions) {
  return { metadata, timeoutMs: TIMEOUT_MS, service: "policy" };
}

async function allTokens(options: ApiOptions): Promise<policyV1.Token[]> {
  const { policy } = options.clients;
  return (await callUnary(policy.listTokens.bind(policy), {}, unaryOf(options))).tokens;
}

function registerTokens(app: FastifyInstance, options: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const { policy } = options.clients;
  const tags = ["tokens"];
  api.get(
    "/api/v1/tokens",
    {
      config: { action: "admin/tokens/read" },
      schema: {
        tags,
        summary: "List the tokens, by their names and without their secrets",
        querystring: schema.tokenQuery,
        response: { 200: schema.tokens },
      },
    },
    async ({ query }) => {
      const found = (await allTokens(options)).filter((token) => isMeant(token, query)).map(schema.toToken);
      return pageOf(found, { ...query, keyOf: ({ name }) => name });
    },
  );
  api.get(
    "/api/v1/tokens/:id",
    {
      config: { action: "admin/tokens/read" },
      schema: { tags, summary: "One token, without its secret", params: idParam, response: { 200: schema.token } },
    },
    async ({ params }) => schema.toToken(tokenNamed(await allTokens(options), params.id)),
  );
  api.delete(
    "/api/v1/tokens/:id",
    {
      config: { action: "admin/tokens/write" },
      schema: {
        tags,
        summary: "Revoke a token",
        description: "Returns when every live gateway refuses it.",
        params: idParam,
        response: { 200: revision },
      },
    },
    async (request) => {
      const asked = { name: request.params.id, actor: actorOf(request) };
      const answer = await callUnary(policy.revokeToken.bind(policy), asked, unaryOf(options));
      return { revision: Number(answer.revision) };
    },
  );
}

interface TokenFilter {
  readonly tenant: string;
  readonly agent: string;
  readonly source: string;
  readonly usable?: boolean | undefined;
}

function isMeant(token: policyV1.Token, { tenant, agent, source, usable }: TokenFilter): boolean {
  const isExpired = token.expiresAtMs !== 0n && Number(token.expiresAtMs) <= Date.now();
  return (
    (tenant === "" || token.tenant === tenant) &&
    (agent === "" || token.agent === agent) &&
    (source === "" || token.source === source) &&
    (usable === undefined || usable === (token.revokedAtMs === 0n && !isExpired))
  );
}

function tokenNamed(tokens: readonly policyV1.Token[], name: string): policyV1.Token {
  const token = tokens.find((each) => each.name === name);
  if (token === undefined) throw new AppError("not_found", `there is no token "${name}"`);
  return token;
}

function registerNewSecrets(app: FastifyInstance, options: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const { policy } = options.clients;
  const tags = ["tokens"];
  const shared = { config: { action: "admin/tokens/write" } } as const;
  api.post(
    "/api/v1/tokens",
    {
      ...shared,
      schema: {
        tags,
        summary: "Create a token",
        description: `The answer holds its secret, which is shown this once. ${RETURNS}`,
        body: schema.tokenBody,
        response: { 201: schema.newSecret },
      },
    },
    async (request, reply) => {
      checkGift(request, request.body.permissions);
      const token = policyV1.Token.fromPartial(schema.fromTokenBody(request.body));
      const asked = { token, actor: actorOf(request) };
      const answer = await callUnary(policy.createToken.bind(policy), asked, unaryOf(options));
      void reply.code(201).header("location", `/api/v1/tokens/${token.name}`);
      return secretly(reply, answer);
    },
  );
  api.post(
    "/api/v1/tokens/:id/rotate",
    {
      ...shared,
      schema: {
        tags,
        summary: "Give a token a new secret",
        description: `An earlier secret that still went on ends at once. ${RETURNS}`,
        params: idParam,
        body: schema.rotation,
        response: { 200: schema.newSecret },
      },
    },
    async (request, reply) => {
      const { id: name } = request.params;
      const { overlapSeconds, expiresAt } = request.body;
      checkGift(request, tokenNamed(await allTokens(options), name).permissions);
      const asked = {
        name,
        overlapMs: overlapSeconds * 1_000,
        expiresAtMs: schema.msOf(expiresAt),
        actor: actorOf(request),
      };
      return secretly(reply, await callUnary(policy.rotateToken.bind(policy), asked, unaryOf(options)));
    },
  );
}

/** Nobody gets a secret for more than he may do himself. */
function checkGift(request: FastifyRequest, permissions: readonly string[]): void {
  if (!permissions.includes("admin") || request.caller!.principal.permissions.includes("admin")) return;
  throw new AppError("permission_denied", "only who has the permission admin gives it to others");
}

function secretly(reply: FastifyReply, { token, secret, revision: at }: policyV1.CreateTokenResponse) {
  void reply.header("cache-control", "no-store");
  return { ...schema.toToken(token!), secret, revision: Number(at) };
}

async function allPrincipals(options: ApiOptions, tenant: string): Promise<policyV1.KnownPrincipal[]> {
  const { policy } = options.clients;
  return (await callUnary(policy.listPrincipals.bind(policy), { tenant }, unaryOf(options))).principals;
}

async function findPrincipal(options: ApiOptions, { id, tenant }: { id: string; tenant: string }) {
  const found = (await allPrincipals(options, tenant)).find((each) => each.id === id);
  return found === undefined ? undefined : schema.toPrincipal(found);
}

function registerPrincipals(app: FastifyInstance, options: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const tags = ["principals"];
  const config = { action: "admin/principals/read" } as const;
  api.get(
    "/api/v1/principals",
    {
      config,
      schema: {
        tags,
        summary: "List agents, and users who were given or lost something",
        querystring: schema.principalQuery,
        response: { 200: schema.principals },
      },
    },
    async ({ query }) => {
      const { kind, disabled } = query;
      const found = (await allPrincipals(options, query.tenant)).filter(
        (each) =>
          (kind === "" || each.id.startsWith(`${kind}:`)) && (disabled === undefined || each.disabled === disabled),
      );
      return pageOf(found.map(schema.toPrincipal), { ...query, keyOf: ({ tenant, id }) => `${tenant} ${id}` });
    },
  );
  api.get(
    "/api/v1/principals/:id",
    {
      config,
      schema: {
        tags,
        summary: "One agent or user, as far as something is kept of it",
        params: schema.principalId,
        querystring: schema.ofTenant,
        response: { 200: schema.principal },
      },
    },
    async ({ params: { id }, query: { tenant } }, reply) => {
      const found = await findPrincipal(options, { id, tenant });
      if (found === undefined) throw new AppError("not_found", `nothing is kept of "${id}" in the tenant "${tenant}"`);
      return tagged(reply, found);
    },
  );
}

function registerPrincipalChanges(app: FastifyInstance, options: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const { policy } = options.clients;
  const tags = ["principals"];
  const config = { action: "admin/principals/write" } as const;
  const place = { params: schema.principalId, querystring: schema.ofTenant };
  api.put(
    "/api/v1/principals/:id",
    {
      config,
      schema: {
        tags,
        summary: "Create or change an agent, disable a user, give or withdraw roles",
        description: RETURNS,
        ...place,
        headers: putHeaders,
        body: schema.principalBody,
        response: { 200: schema.changedPrincipal },
      },
    },
    async (request, reply) => {
      const changed = { id: request.params.id, tenant: request.query.tenant };
      await checkUnchanged(request, () => findPrincipal(options, changed));
      const put = { ...request.body, ...changed };
      const asked = { principal: policyV1.KnownPrincipal.fromPartial(put), actor: actorOf(request) };
      const answer = await callUnary(policy.putPrincipal.bind(policy), asked, unaryOf(options));
      return { ...tagged(reply, schema.toPrincipal(answer.principal!)), revision: Number(answer.revision) };
    },
  );
  api.delete(
    "/api/v1/principals/:id",
    {
      config,
      schema: {
        tags,
        summary: "Forget an agent for which no token stands, or what was given to or taken from a user",
        description: RETURNS,
        ...place,
        headers: deleteHeaders,
        response: { 200: revision },
      },
    },
    async (request) => {
      const forgotten = { id: request.params.id, tenant: request.query.tenant };
      await checkUnchanged(request, () => findPrincipal(options, forgotten));
      const asked = { ...forgotten, actor: actorOf(request) };
      const answer = await callUnary(policy.deletePrincipal.bind(policy), asked, unaryOf(options));
      return { revision: Number(answer.revision) };
    },
  );
}

function registerRoles(app: FastifyInstance, options: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const { policy } = options.clients;
  const tags = ["roles"];
  const all = async () => (await callUnary(policy.listRoles.bind(policy), {}, unaryOf(options))).roles;
  const find = async (tenant: string, name: string) =>
    (await all()).map(schema.toRole).find((role) => role.tenant === tenant && role.name === name);
  api.get(
    "/api/v1/roles",
    {
      config: { action: "admin/principals/read" },
      schema: {
        tags,
        summary: "List the roles of which something is kept",
        querystring: schema.roleQuery,
        response: { 200: schema.roles },
      },
    },
    async ({ query }) => {
      const found = (await all()).filter(({ tenant }) => query.tenant === "" || tenant === query.tenant);
      return pageOf(found, { ...query, keyOf: ({ tenant, name }) => `${tenant} ${name}` });
    },
  );
  const place = { params: schema.roleName, querystring: schema.ofTenant };
  api.get(
    "/api/v1/roles/:name",
    {
      config: { action: "admin/principals/read" },
      schema: {
        tags,
        summary: "One role, as far as something is kept of it",
        ...place,
        response: { 200: schema.role },
      },
    },
    async ({ params: { name }, query: { tenant } }, reply) => {
      const found = await find(tenant, name);
      if (found === undefined)
        throw new AppError("not_found", `nothing is kept of "${name}" in the tenant "${tenant}"`);
      return tagged(reply, found);
    },
  );
  api.put(
    "/api/v1/roles/:name",
    {
      config: { action: "admin/principals/write" },
      schema: {
        tags,
        summary: "Describe a role, or take it from everybody of a tenant",
        description: RETURNS,
        ...place,
        headers: putHeaders,
        body: schema.roleBody,
        response: { 200: schema.changedRole },
      },
    },
    async (request, reply) => {
      const role = schema.toRole({ ...request.body, name: request.params.name, tenant: request.query.tenant });
      await checkUnchanged(request, () => find(role.tenant, role.name));
      const answer = await callUnary(policy.putRole.bind(policy), { role, actor: actorOf(request) }, unaryOf(options));
      return { ...tagged(reply, role), revision: Number(answer.revision) };
    },
  );
}
