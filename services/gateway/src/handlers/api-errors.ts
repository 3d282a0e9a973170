import { AppError, type Problem, toAppError, toProblem } from "@tollgate/errors";
import type { Log } from "@tollgate/service";
import type {
  FastifyError,
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  FastifySchemaValidationError,
} from "fastify";
import { stepUpChallenge, stepUpOf } from "../domain/protected-resource.ts";
import { problemFor } from "./api-etags.ts";

const SHOWN_MAX_CHARS = 200;

type ApiError = Error & Pick<FastifyError, "statusCode" | "validation">;

/** Whatever goes wrong is answered with problem details (RFC 9457), and so is what is not there. */
export function setErrors(api: FastifyInstance, log: Log): void {
  api.setErrorHandler((error: ApiError, request, reply) => {
    const known = toKnown(error);
    if (known.code === "internal") log.error({ err: error, url: request.url }, "API request failed");
    const stepUp = stepUpOf(known.details);
    if (known.code === "unauthenticated")
      void reply.header("www-authenticate", stepUp === undefined ? "Bearer" : stepUpChallenge(stepUp));
    const retryAfter = known.details["retryAfterSeconds"];
    if (typeof retryAfter === "number") void reply.header("retry-after", retryAfter);
    return sendProblem(reply, problemFor(request, known));
  });
  const methodsAt = followRoutes(api);
  api.setNotFoundHandler((request, reply) => {
    const path = request.url.split("?", 1)[0]!.slice(0, SHOWN_MAX_CHARS);
    const methods = methodsAt(path);
    if (methods.length === 0) return sendProblem(reply, toProblem(new AppError("not_found", `there is no ${path}`)));
    const allow = methods.join(", ");
    const problem = toProblem(new AppError("method_not_found", `${path} takes ${allow}, not ${request.method}`));
    // RFC 9110 section 15.5.6.
    return sendProblem(reply.header("allow", allow), { ...problem, status: 405, title: "Method not allowed" });
  });
}

/** What cannot be given to any route: escapes that are none, an id that is too long. */
export function answerBadUrl(error: FastifyError, _request: FastifyRequest, reply: FastifyReply): void {
  const isLong = error.code === "FST_ERR_MAX_PARAM_LENGTH";
  const reason = isLong ? "a part of the path is too long" : "the path is not a valid URL's";
  void sendProblem(reply, toProblem(new AppError("invalid_argument", reason)));
}

function toKnown(error: ApiError): AppError {
  if (error.validation !== undefined) return invalid(error.message, error.validation);
  if (error.statusCode === 413) return new AppError("payload_too_large", "the body is too large");
  if (error.statusCode !== undefined && error.statusCode < 500) return new AppError("invalid_argument", error.message);
  const known = toAppError(error);
  if (stepUpOf(known.details) === undefined) return known;
  return new AppError("unauthenticated", known.message, { details: known.details });
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

/** Not through the serializer of the route: a problem has its own shape. */
export function sendProblem(reply: FastifyReply, problem: Problem): FastifyReply {
  return reply.code(problem.status).type("application/problem+json").serializer(JSON.stringify).send(problem);
}

/** Which methods a path takes. */
function followRoutes(api: FastifyInstance): (path: string) => string[] {
  const routes: { pattern: RegExp; methods: string[] }[] = [];
  api.addHook("onRoute", ({ url, method }) => {
    const pattern = new RegExp(`^${url.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replace(/:\w+/g, "[^/]+")}$`);
    routes.push({ pattern, methods: [method].flat() });
  });
  return (path) => routes.filter(({ pattern }) => pattern.test(path)).flatMap(({ methods }) => methods);
}
