import { AppError } from "@tollgate/errors";
import { callUnary } from "@tollgate/service";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { subjectOf } from "../domain/targets.ts";
import { createInputSchemas, type InputSchemas } from "./input-schemas.ts";
import { isOfTenant, mayDo } from "./api-access.ts";
import { type ApiOptions, serverOf, TIMEOUT_MS } from "./api-options.ts";
import * as schema from "./api-approvals-schemas.ts";
import { decide } from "./decisions.ts";

const WORDS = {
  approve: "Approve of a call; the last one needed gives the access",
  deny: "Deny a call: it stays denied until the request would have lapsed",
  revoke: "Take an approval back; returns when no gateway lets the call in any more",
} as const;
const tags = ["approvals"];

/** The inbox of those who approve; callers see their own requests. */
export function registerApprovals(app: FastifyInstance, options: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const { clients, metadata, policy, approvals } = options;
  const inputSchemas = createInputSchemas();
  const unary = { metadata, timeoutMs: TIMEOUT_MS, service: "policy" };
  const mayRead = (request: FastifyRequest) => mayDo(policy, request, "admin/approvals/read");
  const summary = (text: string) => ({ tags, summary: text });

  /** Which requests the caller sees of those that are asked for. */
  async function whoseOf(request: FastifyRequest<{ Querystring: Query }>) {
    const { tenant = "", principal = "" } = request.query;
    const me = request.caller!.principal;
    if (!(await mayRead(request))) return { tenant: me.tenant, principal: me.id };
    return isOfTenant(me, tenant) ? { tenant, principal } : { tenant: me.tenant, principal };
  }

  api.get(
    "/api/v1/approvals",
    {
      config: { action: "own" },
      schema: {
        ...summary("Requests for approval, what has changed last first; without admin/approvals/read one's own"),
        querystring: schema.approvalQuery,
        response: { 200: schema.approvals },
      },
    },
    async (request) => {
      const { status = "", limit, cursor = "" } = request.query;
      const asked = { ...(await whoseOf(request)), status, pageSize: limit, cursor };
      const page = await callUnary(clients.policy.listApprovals.bind(clients.policy), asked, unary);
      const nextCursor = page.nextCursor === "" ? null : page.nextCursor;
      return { items: page.approvals.map(schema.toSummary), nextCursor };
    },
  );
  api.get(
    "/api/v1/approvals/:id",
    {
      config: { action: "own" },
      schema: {
        ...summary("One request, with the call's arguments"),
        params: schema.approvalId,
        response: { 200: schema.approval },
      },
    },
    async (request) => {
      const { id } = request.params;
      const answer = await callUnary(clients.policy.getApproval.bind(clients.policy), { id }, unary);
      const { principal: me } = request.caller!;
      const approval = answer.approval!;
      const isOwn = approval.tenant === me.tenant && approval.principal === me.id;
      const isSeen = isOwn || (isOfTenant(me, approval.tenant) && (await mayRead(request)));
      // Another's is not there at all.
      if (!isSeen) throw new AppError("not_found", "there is no such approval");
      return schema.toApproval(approval);
    },
  );
  api.post(
    "/api/v1/approvals",
    {
      config: { action: "own" },
      schema: {
        ...summary("Ask for an approval before the call, or say why it is needed"),
        body: schema.approvalBody,
        response: { 201: schema.approval },
      },
    },
    async (request, reply) => {
      const approval = await requestApproval(request, request.body, { ...options, inputSchemas });
      return reply.code(201).send(approval);
    },
  );
  for (const decision of ["approve", "deny", "revoke"] as const) {
    api.post(
      `/api/v1/approvals/:id/${decision}`,
      {
        config: { action: "admin/approvals/decide" },
        schema: {
          ...summary(WORDS[decision]),
          params: schema.approvalId,
          body: schema.wordBody,
          response: { 200: schema.approvals.shape.items.element },
        },
      },
      async (request) => {
        const { reason } = request.body;
        const word = { decision, reason, by: request.caller!.principal };
        return schema.toSummary(await approvals.decide(request.params.id, word));
      },
    );
  }
}

type Query = ReturnType<typeof schema.approvalQuery.parse>;
type Body = ReturnType<typeof schema.approvalBody.parse>;

/** Only for a call that nothing but the approval is missing of. */
async function requestApproval(
  { caller }: FastifyRequest,
  { server: id, tool, arguments: given, justification }: Body,
  { policy, registry, approvals, refuse, inputSchemas }: ApiOptions & { inputSchemas: InputSchemas },
): Promise<ReturnType<typeof schema.toApproval>> {
  const server = serverOf(registry, id);
  const item = server.items.tool.get(tool);
  if (!server.info.enabled || item === undefined) throw new AppError("not_found", `${id} has no tool of this name`);
  const subject = subjectOf(server, tool);
  const callArguments = JSON.stringify(given);
  const asked = { subjects: [subject], callArguments: () => callArguments };
  const { principal, rulings } = await decide(policy, caller!, "tools/call", asked);
  const { decision, approvalsNeeded } = rulings[0]!;
  if (decision.allow) throw new AppError("failed_precondition", `the call needs no approval: ${decision.reason}`);
  if (approvalsNeeded === 0) {
    const { id: who, tenant, team } = principal;
    const of = { group: subject.group, server: id, tool, method: "tools/call", decision, address: caller!.address };
    refuse({ principal: who, tenant, team, client: "", ...of, code: "denied", reason: decision.reason });
    throw new AppError("permission_denied", `${id}:${tool}: ${decision.reason}`);
  }
  const problem = inputSchemas.check(item.definition, given);
  if (problem) throw new AppError("invalid_argument", problem.reason, { details: { errors: problem.errors } });
  const approval = await approvals.request({ principal, subject, callArguments, justification });
  return schema.toApproval({ ...approval, arguments: callArguments });
}
