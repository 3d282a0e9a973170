import type { EventPublisher } from "@tollgate/bus";
import { newCallId, type SecretEvent } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { callUnary, within } from "@tollgate/service";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { tenantShown } from "./api-access.ts";
import { recording } from "./api-audit-schemas.ts";
import { type ApiOptions, TIMEOUT_MS } from "./api-options.ts";

const PUBLISH_TIMEOUT_MS = 5_000;
const ID_MAX_CHARS = 64;

const params = z.object({ id: z.string().max(ID_MAX_CHARS).meta({ description: "A call's id" }) });
const query = z.strictObject({
  tenant: z.string().max(63).default("").meta({ description: "Empty: every tenant that the caller may see" }),
});

/** Puts on the record that a secret is about to be used. @throws {AppError} unavailable: then it may not be */
export type RecordSecret = (request: FastifyRequest, secret: Pick<SecretEvent, "secret" | "purpose">) => Promise<void>;

export function createSecretEvents(events: EventPublisher): RecordSecret {
  return async (request, secret) => {
    const { id: principal, tenant } = request.caller!.principal;
    const endedAt = Date.now();
    const event = { v: 1, kind: "secret", id: newCallId(endedAt), tenant, endedAt, ...secret, principal } as const;
    await within(PUBLISH_TIMEOUT_MS, events.publish(event), "not on the stream").catch((cause: unknown) => {
      throw new AppError("unavailable", "nobody is given a recording while that cannot be recorded", {
        cause,
        retryable: true,
      });
    });
  };
}

/** What was kept whole of a call. Who may read the record may not read this yet; and that it was read is on the record. */
export function registerRecordings(app: FastifyInstance, options: ApiOptions): void {
  const { clients, metadata, access, recordSecret } = options;
  app.withTypeProvider<ZodTypeProvider>().get(
    "/api/v1/audit/events/:id/recording",
    {
      config: { action: "admin/recordings/read" },
      schema: {
        tags: ["audit"],
        summary: "Arguments and result of a call, where a policy or its risk has asked to keep them",
        description: "`arguments` and `result` as client and server wrote them; `omitted` names what was too large.",
        params,
        querystring: query,
        response: { 200: recording },
      },
    },
    async (request, reply) => {
      const tenant = tenantShown(request, request.query.tenant);
      const given = await access.begin(request, "recording");
      const asked = { tenant, id: request.params.id };
      const answer = await callUnary(clients.audit.getRecording.bind(clients.audit), asked, {
        metadata,
        timeoutMs: TIMEOUT_MS,
        service: "audit",
      });
      await recordSecret(request, { secret: answer.keyId, purpose: "recording" });
      given(1);
      // They are JSON already, and are shown as they were written.
      const parts = [
        `"id":${JSON.stringify(request.params.id)}`,
        `"keyId":${JSON.stringify(answer.keyId)}`,
        ...(answer.arguments === undefined ? [] : [`"arguments":${answer.arguments}`]),
        ...(answer.result === undefined ? [] : [`"result":${answer.result}`]),
        `"omitted":${JSON.stringify(answer.omitted)}`,
      ];
      return reply
        .header("cache-control", "no-store")
        .type("application/json; charset=utf-8")
        .serializer(String)
        .send(`{${parts.join(",")}}` as never);
    },
  );
}
