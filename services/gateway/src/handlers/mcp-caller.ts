import type { IncomingHttpHeaders } from "node:http";
import { AppError } from "@tollgate/errors";
import type { Policy, Principal } from "../clients/policy.ts";
import type { Scope } from "../domain/catalogue.ts";
import { bearerToken, isOriginAllowed } from "../domain/http-checks.ts";
import {
  type ProtectedResource,
  routeAccess,
  scopeChallenge,
  unauthorizedChallenge,
} from "../domain/protected-resource.ts";

/** Whose request it is, and how to find out once more. */
export interface Caller {
  readonly principal: Principal;
  /** Policy's revision at which the principal was resolved. */
  readonly revision: number;
  readonly authenticate: () => Principal | Promise<Principal>;
}

/** @throws {AppError} `unauthenticated`, `permission_denied`; `unavailable` without a lease */
export async function resolveCaller(
  headers: IncomingHttpHeaders,
  scope: Scope,
  { policy, allowedOrigins }: { policy: Policy; allowedOrigins: readonly string[] },
): Promise<Caller> {
  const { origin, authorization } = headers;
  if (!isOriginAllowed(origin, allowedOrigins))
    throw new AppError("permission_denied", `the origin ${origin} may not call this gateway`);
  const token = bearerToken(authorization);
  const check = (principal: Principal) => checkAccess(principal, scope);
  const authenticate = (): Principal | Promise<Principal> => {
    const resolved = policy.authenticate(token);
    return resolved instanceof Promise ? resolved.then(check) : check(resolved);
  };
  const { revision } = policy;
  const resolved = authenticate();
  return { principal: resolved instanceof Promise ? await resolved : resolved, revision, authenticate };
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
  // Nothing was wrong with a token that was not sent.
  const problem = headers.authorization === undefined ? undefined : error.message;
  if (error.code === "unauthenticated") return unauthorizedChallenge(resource, path, problem);
  return error.details["missingScope"] === undefined ? undefined : scopeChallenge(resource, path);
}
