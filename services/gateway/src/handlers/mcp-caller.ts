import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { AppError } from "@tollgate/errors";
import type { Principal } from "../clients/policy.ts";
import type { Scope } from "../domain/catalogue.ts";
import { isOriginAllowed } from "../domain/http-checks.ts";
import {
  type ProtectedResource,
  routeAccess,
  scopeChallenge,
  stepUpChallenge,
  stepUpOf,
  unauthorizedChallenge,
} from "../domain/protected-resource.ts";
import type { Caller, Callers } from "./callers.ts";

/** @throws {AppError} as `Callers.identify` does, and `permission_denied` */
export function resolveCaller(
  request: IncomingMessage,
  { scope, transport }: { scope: Scope; transport: "http" | "sse" | "websocket" },
  { callers, allowedOrigins }: { callers: Callers; allowedOrigins: readonly string[] },
): Promise<Caller> {
  const { origin } = request.headers;
  if (!isOriginAllowed(origin, allowedOrigins))
    throw new AppError("permission_denied", `the origin ${origin} may not call this gateway`);
  return callers.identify(request, { transport, check: (principal) => checkAccess(principal, scope) });
}

function checkAccess(principal: Principal, scope: Scope): Principal {
  const access = routeAccess(principal.permissions, scope);
  if (access === "granted") return principal;
  if (access === "elsewhere") throw new AppError("unauthenticated", "the token is meant for another resource");
  throw new AppError("permission_denied", `token ${principal.id} lacks the permission "mcp"`, {
    details: { missingScope: "mcp" },
  });
}

/** What `WWW-Authenticate` says to whoever was refused; undefined where a token would not help. */
export function challengeFor(
  error: AppError,
  { url = "/", headers }: { readonly url?: string | undefined; readonly headers: IncomingHttpHeaders },
  resource: ProtectedResource,
): string | undefined {
  const path = url.split("?")[0]!;
  const stepUp = stepUpOf(error.details);
  if (stepUp !== undefined) return stepUpChallenge(stepUp, { resource, path });
  // Nothing was wrong with a token that was not sent.
  const problem = headers.authorization === undefined ? undefined : error.message;
  if (error.code === "unauthenticated") return unauthorizedChallenge(resource, path, problem);
  return error.details["missingScope"] === undefined ? undefined : scopeChallenge(resource, path);
}
