import type { FastifyInstance } from "fastify";
import { serializerCompiler, validatorCompiler, type ZodTypeProvider } from "fastify-type-provider-zod";
import { guardApi } from "./api-access.ts";
import { registerApprovals } from "./api-approvals.ts";
import { registerAudit } from "./api-audit.ts";
import { registerAuditTail } from "./api-audit-tail.ts";
import { readBodies } from "./api-bodies.ts";
import { registerCatalogue } from "./api-catalogue.ts";
import { registerDeadLetters } from "./api-dead-letters.ts";
import { registerDocs } from "./api-docs.ts";
import { setErrors } from "./api-errors.ts";
import { answerUnchanged } from "./api-etags.ts";
import { registerEvidence } from "./api-evidence.ts";
import { registerExports } from "./api-exports.ts";
import { registerHealth } from "./api-health.ts";
import { registerIdentity } from "./api-identity.ts";
import { registerOpenApi } from "./api-openapi.ts";
import type { ApiOptions } from "./api-options.ts";
import { keepAnswers } from "./api-idempotency.ts";
import { registerLimits } from "./api-limits.ts";
import { registerMetering } from "./api-metering.ts";
import { registerPolicies } from "./api-policies.ts";
import { registerRetention } from "./api-retention.ts";
import { registerRecordings } from "./api-recordings.ts";
import { registerSecrets } from "./api-secrets.ts";
import { registerSessions } from "./api-sessions.ts";
import { registerSystem } from "./api-system.ts";
import { registerWhatIf } from "./api-what-if.ts";

/** The management API: `/api/v1`, RFC 9457 errors, OpenAPI at `/api/v1/openapi.json`, for people at `/api/docs`. Each route says what it does: api-access.ts. */
export async function registerApi(app: FastifyInstance, options: ApiOptions): Promise<void> {
  await app.register(async (plain) => {
    const api = plain.withTypeProvider<ZodTypeProvider>();
    api.setValidatorCompiler(validatorCompiler);
    api.setSerializerCompiler(serializerCompiler);
    setErrors(api, options.log);
    readBodies(plain);
    await registerOpenApi(api);
    registerDocs(api);
    await api.register(async (guarded) => {
      guardApi(guarded, options);
      answerUnchanged(guarded);
      await keepAnswers(guarded, options);
      registerCatalogue(guarded, options);
      registerApprovals(guarded, options);
      registerHealth(guarded, options);
      registerPolicies(guarded, options);
      registerIdentity(guarded, options);
      registerLimits(guarded, options);
      registerWhatIf(guarded, options);
      registerAudit(guarded, options);
      registerAuditTail(guarded, options);
      registerEvidence(guarded, options);
      registerMetering(guarded, options);
      registerRetention(guarded, options);
      registerExports(guarded, options);
      registerDeadLetters(guarded, options);
      registerRecordings(guarded, options);
      registerSecrets(guarded, options);
      registerSessions(guarded, options);
      registerSystem(guarded, options);
    });
  });
}
