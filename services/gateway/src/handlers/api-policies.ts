import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { callUnary } from "@tollgate/service";
import { actorOf, type ApiOptions, TIMEOUT_MS } from "./api-options.ts";
import * as schema from "./api-schemas.ts";

export function registerPolicies(app: FastifyInstance, { clients, metadata }: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const { policy } = clients;
  const unary = { metadata, timeoutMs: TIMEOUT_MS, service: "policy" };
  const tags = ["policies"];

  api.get(
    "/api/v1/policies",
    {
      config: { action: "admin/policies/read" },
      schema: { tags, summary: "List the policies", response: { 200: schema.policies } },
    },
    async () => {
      const answer = await callUnary(policy.listPolicies.bind(policy), { tenant: "" }, unary);
      return { items: answer.policies.map(schema.toPolicy), revision: Number(answer.revision) };
    },
  );
  api.put(
    "/api/v1/policies/:id",
    {
      config: { action: "admin/policies/write" },
      schema: {
        tags,
        summary: "Create or replace a policy",
        description:
          "Returns when every live gateway has taken the change: from then on no call that it forbids is let in. With require_sandbox an allow holds only where the server is in a sandbox, and a deny only where it is in none.",
        params: schema.idParam,
        body: schema.policyBody,
        response: { 200: schema.policy },
      },
    },
    async (request) => {
      const { conditions, ...body } = request.body;
      const put = { ...schema.EMPTY_POLICY, ...body, conditions: JSON.stringify(conditions), id: request.params.id };
      const answer = await callUnary(policy.putPolicy.bind(policy), { policy: put, actor: actorOf(request) }, unary);
      return schema.toPolicy(answer.policy!);
    },
  );
  api.delete(
    "/api/v1/policies/:id",
    {
      config: { action: "admin/policies/write" },
      schema: { tags, summary: "Remove a policy", params: schema.idParam, response: { 200: schema.revision } },
    },
    async (request) => {
      const answer = await callUnary(
        policy.deletePolicy.bind(policy),
        { id: request.params.id, actor: actorOf(request) },
        unary,
      );
      return { revision: Number(answer.revision) };
    },
  );
  api.get(
    "/api/v1/tokens",
    {
      config: { action: "admin/tokens/read" },
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
      config: { action: "admin/tokens/write" },
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
        { name: request.params.id, actor: actorOf(request) },
        unary,
      );
      return { revision: Number(answer.revision) };
    },
  );
}
