import { once } from "node:events";
import { AppError, toAppError, toProblem } from "@tollgate/errors";
import { callUnary } from "@tollgate/service";
import type { FastifyInstance, FastifyReply } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import type { Difference } from "../domain/recorded-calls.ts";
import { subjectOf } from "../domain/targets.ts";
import { requireAction, tenantShown } from "./api-access.ts";
import { type ApiOptions, serverOf, TIMEOUT_MS } from "./api-options.ts";
import * as schema from "./api-what-if-schemas.ts";
import { createWhatIf, type WhatIf, type WhatIfQuery } from "./what-if.ts";

/** Of one answer that is no stream. */
const LISTED_MAX = 20_000;
const NDJSON = "application/x-ndjson";

/** What policies say of a question, and what others would have said of what was called. Changes nothing. */
export function registerWhatIf(app: FastifyInstance, options: ApiOptions): void {
  registerTest(app, options);
  const api = app.withTypeProvider<ZodTypeProvider>();
  const whatIf = createWhatIf(options);
  api.post(
    "/api/v1/policies/what-if",
    {
      config: { action: "admin/policies/read" },
      schema: {
        tags: ["policies"],
        summary: "What a proposed set of policies would have decided otherwise",
        description: `Runs it over the recorded calls of a time, newest first, and compares with what was decided then. With "accept: ${NDJSON}" each difference is a line as soon as it is found, {"kind", ...}; the last line is {"kind": "summary", ...}.`,
        body: schema.whatIf,
        response: { 200: schema.differences },
      },
    },
    async (request, reply) => {
      await requireAction(request, "admin/audit/read", options);
      const { from, to, ...body } = request.body;
      const toMs = to ?? Date.now();
      if (from >= toMs) throw new AppError("invalid_argument", "to: has to be after from");
      const tenant = tenantShown(request, body.tenant);
      const query = { ...body, ...schema.toProposal(body), tenant, fromMs: from, toMs };
      const recorded: WhatIf = async (asked, onDifferences) => {
        const summary = await whatIf(asked, onDifferences);
        await options.access.read(request, "read", summary.examined);
        return summary;
      };
      if (request.headers.accept?.includes(NDJSON)) return streamed(reply, recorded, query);
      return listed(reply, recorded, query);
    },
  );
}

async function listed(reply: FastifyReply, whatIf: WhatIf, query: WhatIfQuery) {
  const found: Difference[] = [];
  const summary = await whatIf(query, (more) => {
    found.push(...more);
    return found.length < LISTED_MAX && !reply.raw.destroyed;
  });
  const of = (kind: Difference["kind"]) => found.filter((each) => each.kind === kind);
  return { ...summary, changed: of("changed"), undetermined: of("undetermined") };
}

/** Whoever does not read holds it up; whoever is gone ends it. What fails after the first line is the last line. */
async function streamed(reply: FastifyReply, whatIf: WhatIf, query: WhatIfQuery): Promise<FastifyReply> {
  const { raw } = reply;
  const begin = () => {
    if (!reply.sent) reply.hijack().raw.writeHead(200, { "content-type": NDJSON, "cache-control": "no-store" });
  };
  const counts = { changed: 0, undetermined: 0 };
  try {
    const summary = await whatIf(query, async (more) => {
      begin();
      for (const { kind } of more) counts[kind] += 1;
      const lines = more.map((each) => `${JSON.stringify(each)}\n`).join("");
      if (lines !== "" && !raw.write(lines) && !raw.destroyed)
        await Promise.race([once(raw, "drain"), once(raw, "close")]);
      return !raw.destroyed;
    });
    begin();
    raw.end(`${JSON.stringify({ kind: "summary", ...summary, ...counts })}\n`);
  } catch (error) {
    if (!reply.sent) throw error;
    raw.end(`${JSON.stringify({ kind: "problem", ...toProblem(toAppError(error)) })}\n`);
  }
  return reply;
}

function registerTest(app: FastifyInstance, { clients: { policy }, registry, metadata }: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  api.post(
    "/api/v1/policies/test",
    {
      config: { action: "admin/policies/read" },
      schema: {
        tags: ["policies"],
        summary: "Would this caller be allowed, and which policies say so?",
        description: "With proposed or removed: if these policies were in force.",
        body: schema.test,
        response: { 200: schema.verdict },
      },
    },
    async ({ body }) => {
      const { caller, server, tool, prompt, resource, at } = body;
      const name = tool ?? prompt ?? resource ?? "";
      const subject = server === undefined ? undefined : subjectOf(serverOf(registry, server), name);
      const { name: called, ...where } = subject ?? { ...NOWHERE, name };
      const question = {
        principal: schema.toPrincipal(caller),
        action: body.action ?? actionFor(body),
        resources: [{ ...where, tool: called }],
        address: caller.address,
        arguments: body.arguments === undefined ? undefined : JSON.stringify(body.arguments),
      };
      const asked = { question, atMs: BigInt(at ?? 0), ...schema.toProposal(body) };
      const unary = { metadata, timeoutMs: TIMEOUT_MS, service: "policy" };
      const { decisions, revision } = await callUnary(policy.testPolicies.bind(policy), asked, unary);
      const { allow, policyIds, reason, variesByArguments, approvalsNeeded, limits, stepUp } = decisions[0]!;
      const answer = { allow, policies: policyIds, reason, variesByArguments, approvalsNeeded, limits };
      return { ...answer, stepUp: stepUp ?? null, revision: Number(revision) };
    },
  );
}

/** What actions of administration are about. */
const NOWHERE = { group: "", server: "", sandboxed: false, environment: "", risk: "" };

function actionFor({ tool, prompt }: schema.Test): string {
  if (tool !== undefined) return "tools/call";
  return prompt === undefined ? "resources/read" : "prompts/get";
}
