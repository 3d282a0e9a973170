import type { policyV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import type { FastifyInstance, FastifyReply } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { callUnary } from "@tollgate/service";
import { unifiedDiff } from "../domain/line-diff.ts";
import { changedFields, policyYaml } from "../domain/policy-text.ts";
import { checkUnchanged, deleteHeaders, putHeaders, tagged, versionAsked } from "./api-etags.ts";
import { actorOf, type ApiOptions, TIMEOUT_MS } from "./api-options.ts";
import { pageOf } from "./api-pages.ts";
import * as schema from "./api-policies-schemas.ts";
import { idParam, revision } from "./api-schemas.ts";

const tags = ["policies"];
const params = idParam;

/** What the rules are, what they were, and how they are changed. */
export function registerPolicies(app: FastifyInstance, options: ApiOptions): void {
  registerReading(app, options);
  registerChanges(app, options);
  registerVersions(app, options);
}

function unaryOf({ metadata }: ApiOptions) {
  return { metadata, timeoutMs: TIMEOUT_MS, service: "policy" };
}

function registerReading(app: FastifyInstance, options: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const { policy } = options.clients;
  api.get(
    "/api/v1/policies",
    {
      config: { action: "admin/policies/read" },
      schema: {
        tags,
        summary: "List the policies, by their ids",
        querystring: schema.policyQuery,
        response: { 200: schema.policies },
      },
    },
    async ({ query }) => {
      const { tenant } = query;
      const answer = await callUnary(policy.listPolicies.bind(policy), { tenant }, unaryOf(options));
      const found = answer.policies.map(schema.toPolicy).filter((each) => isMeant(each, query));
      return { ...pageOf(found, { ...query, keyOf: ({ id }) => id }), revision: Number(answer.revision) };
    },
  );
  api.get(
    "/api/v1/policies/:id",
    {
      config: { action: "admin/policies/read" },
      schema: { tags, summary: "One policy", params, response: { 200: schema.policy } },
    },
    async (request, reply) => {
      const { id } = request.params;
      const found = await findPolicy(id, options);
      if (found === undefined) throw new AppError("not_found", `there is no policy "${id}"`);
      return taggedPolicy(reply, found);
    },
  );
}

async function findPolicy(id: string, options: ApiOptions): Promise<policyV1.Policy | undefined> {
  const { policy } = options.clients;
  const answer = await callUnary(policy.listPolicies.bind(policy), { tenant: "" }, unaryOf(options));
  return answer.policies.find((each) => each.id === id);
}

const versionOf = ({ version }: policyV1.Policy) => Number(version);

function isMeant(policy: schema.ApiPolicy, { effect, source }: { effect: string; source: string }) {
  if (effect !== "" && policy.effect !== effect) return false;
  return source === "" || policy.source === source;
}

function registerChanges(app: FastifyInstance, options: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const { policy } = options.clients;
  api.put(
    "/api/v1/policies/:id",
    {
      config: { action: "admin/policies/write" },
      schema: {
        tags,
        summary: "Create or replace a policy",
        description:
          "Returns when every live gateway has taken the change: from then on no call that it forbids is let in.",
        params,
        headers: putHeaders,
        body: schema.policyBody,
        response: { 200: schema.policy },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const { ifVersion, createOnly } = versionAsked(request);
      if (createOnly) await checkUnchanged(request, () => findPolicy(id, options), versionOf);
      const asked = { policy: schema.fromBody(id, request.body, ifVersion), actor: actorOf(request) };
      const answer = await callUnary(policy.putPolicy.bind(policy), asked, unaryOf(options));
      return taggedPolicy(reply, answer.policy!);
    },
  );
  api.delete(
    "/api/v1/policies/:id",
    {
      config: { action: "admin/policies/write" },
      schema: { tags, summary: "Remove a policy", params, headers: deleteHeaders, response: { 200: revision } },
    },
    async (request) => {
      await checkUnchanged(request, () => findPolicy(request.params.id, options), versionOf);
      const asked = { id: request.params.id, actor: actorOf(request) };
      const answer = await callUnary(policy.deletePolicy.bind(policy), asked, unaryOf(options));
      return { revision: Number(answer.revision) };
    },
  );
}

function taggedPolicy(reply: FastifyReply, found: policyV1.Policy): schema.ApiPolicy {
  const shown = schema.toPolicy(found);
  return tagged(reply, shown, shown.version);
}

function registerVersions(app: FastifyInstance, options: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const { policy } = options.clients;
  const versionsOf = async (id: string) => {
    const answer = await callUnary(policy.listPolicyVersions.bind(policy), { id }, unaryOf(options));
    return answer.versions.map(schema.toVersion);
  };
  api.get(
    "/api/v1/policies/:id/history",
    {
      config: { action: "admin/policies/read" },
      schema: {
        tags,
        summary: "What a policy said over time, newest first",
        description: "Also of policies that were deleted, and of those of the file. The newest 500 versions are shown.",
        params,
        querystring: schema.historyQuery,
        response: { 200: schema.versions },
      },
    },
    async ({ params: { id }, query }) =>
      pageOf(await versionsOf(id), { ...query, keyOf: ({ version }) => String(version) }),
  );
  api.get(
    "/api/v1/policies/:id/diff",
    {
      config: { action: "admin/policies/read" },
      schema: {
        tags,
        summary: "What has changed between two versions of a policy",
        params,
        querystring: schema.diffQuery,
        response: { 200: schema.diff },
      },
    },
    async ({ params: { id }, query }) => diffOf(id, await versionsOf(id), query),
  );
  api.post(
    "/api/v1/policies/:id/rollback",
    {
      config: { action: "admin/policies/write" },
      schema: {
        tags,
        summary: "Make what an earlier version said the newest",
        description: "Brings a deleted policy back as well. Returns when every live gateway has taken the change.",
        params,
        body: schema.rollback,
        response: { 200: schema.policy },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const asked = { id, version: BigInt(request.body.version), actor: actorOf(request) };
      const answer = await callUnary(policy.rollbackPolicy.bind(policy), asked, unaryOf(options));
      return taggedPolicy(reply, answer.policy!);
    },
  );
}

/** A version that is a removal says nothing. */
function diffOf(
  id: string,
  versions: readonly schema.PolicyVersion[],
  query: { from?: number | undefined; to?: number | undefined },
) {
  const to = query.to ?? versions[0]?.version ?? 0;
  const from = query.from ?? to - 1;
  const said = (version: number): schema.ApiPolicy | undefined => {
    const found = versions.find((each) => each.version === version);
    if (found === undefined && version !== 0)
      throw new AppError("not_found", `there is no version ${version} of policy "${id}", or it is too old to be shown`);
    return found?.change === "put" ? found.policy : undefined;
  };
  const before = said(from);
  const after = said(to);
  const text = (write: (policy: schema.ApiPolicy) => string) =>
    unifiedDiff({
      before: before === undefined ? "" : write(before),
      after: after === undefined ? "" : write(after),
      from: `version ${from}`,
      to: `version ${to}`,
    });
  return { from, to, fields: changedFields(before, after), yaml: text(policyYaml), cedar: text(({ cedar }) => cedar) };
}
