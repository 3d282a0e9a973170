import swagger from "@fastify/swagger";
import type { FastifyError, FastifyInstance, FastifySchemaValidationError } from "fastify";
import {
  jsonSchemaTransform,
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from "fastify-type-provider-zod";
import { AppError, httpStatus, toAppError, toProblem } from "@tollgate/errors";
import type { Log } from "@tollgate/service";
import { stepUpChallenge, stepUpOf } from "../domain/protected-resource.ts";
import { guardApi } from "./api-access.ts";
import { registerApprovals } from "./api-approvals.ts";
import { registerAudit } from "./api-audit.ts";
import { registerAuditTail } from "./api-audit-tail.ts";
import { readBodies } from "./api-bodies.ts";
import { registerCatalogue } from "./api-catalogue.ts";
import { registerDeadLetters } from "./api-dead-letters.ts";
import { registerEvidence } from "./api-evidence.ts";
import { registerExports } from "./api-exports.ts";
import { registerHealth } from "./api-health.ts";
import { registerIdentity } from "./api-identity.ts";
import type { ApiOptions } from "./api-options.ts";
import { registerLimits } from "./api-limits.ts";
import { registerMetering } from "./api-metering.ts";
import { registerPolicies } from "./api-policies.ts";
import { registerRetention } from "./api-retention.ts";
import { registerRecordings } from "./api-recordings.ts";
import { registerSessions } from "./api-sessions.ts";
import { registerWhatIf } from "./api-what-if.ts";

/** The management API: `/api/v1`, RFC 9457 errors, OpenAPI at `/api/v1/openapi.json`. Each route says what it does: api-access.ts. */
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
    readBodies(plain);
    api.get("/api/v1/openapi.json", { schema: { hide: true } }, () => api.swagger());
    await api.register((guarded, _options, done) => {
      guardApi(guarded, options);
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
      registerSessions(guarded, options);
      done();
    });
  });
}

function setErrors(api: FastifyInstance, log: Log): void {
  api.setErrorHandler((error: Error & Pick<FastifyError, "statusCode" | "validation">, request, reply) => {
    let known = toAppError(error);
    if (error.validation !== undefined) known = invalid(error.message, error.validation);
    else if (error.statusCode === 413) known = new AppError("payload_too_large", "the body is too large");
    else if (error.statusCode !== undefined && error.statusCode < 500)
      known = new AppError("invalid_argument", error.message);
    if (known.code === "internal") log.error({ err: error, url: request.url }, "API request failed");
    const stepUp = stepUpOf(known.details);
    if (stepUp !== undefined) known = new AppError("unauthenticated", known.message, { details: known.details });
    if (known.code === "unauthenticated")
      void reply.header("www-authenticate", stepUp === undefined ? "Bearer" : stepUpChallenge(stepUp));
    const retryAfter = known.details["retryAfterSeconds"];
    if (typeof retryAfter === "number") void reply.header("retry-after", retryAfter);
    // Not through the serializer of the route: a problem has its own shape.
    return reply
      .code(httpStatus(known.code))
      .type("application/problem+json")
      .serializer(JSON.stringify)
      .send(toProblem(known));
  });
}

/** The places are those of the other mistakes: `principals[0]`, `conditions.time`. */
function invalid(message: string, validation: readonly FastifySchemaValidationError[]): AppError {
  const errors = validation.map((mistake) => ({
    path: mistake.instancePath
      .replace(/^\//, "")
      .replace(/\/(\d+)(?=\/|$)/g, "[$1]")
      .replaceAll("/", "."),
    message: mistake.message ?? "is not as it has to be",
  }));
  return new AppError("invalid_argument", message, { details: { errors } });
}
