import type { policyV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { unary } from "@tollgate/service";
import { looksLikeJwt, type OauthSettings } from "../domain/access-token.ts";
import type { PolicyState } from "../domain/state.ts";
import { tokenProblem } from "../domain/token.ts";
import type { AccessTokens } from "./access-tokens.ts";
import type { Dependencies, Methods } from "./dependencies.ts";

/** Who is calling. */
export function authenticationMethods(dependencies: Dependencies): Methods<"authenticate"> {
  return { authenticate: unary(dependencies.log, (request) => authenticate(dependencies, request)) };
}

async function authenticate(
  { authority, accessTokens, metrics }: Dependencies,
  request: policyV1.AuthenticateRequest,
): Promise<policyV1.AuthenticateResponse> {
  const state = authority.current();
  const [oauth] = state.settings.oauth;
  try {
    const answer =
      oauth !== undefined && looksLikeJwt(request.token) && !state.tokens.find(request.token)
        ? await resolveAccessToken(accessTokens, request.token, oauth)
        : resolveToken(state, request.token);
    metrics.authentications.inc({ result: "known" });
    // If the state has changed meanwhile, the gateway sees it by the revision and asks again.
    return { ...answer, revision: BigInt(state.revision) };
  } catch (error) {
    const isRefused = error instanceof AppError && error.code === "unauthenticated";
    metrics.authentications.inc({ result: isRefused ? "refused" : "undecided" });
    throw error;
  }
}

type Resolved = Omit<policyV1.AuthenticateResponse, "revision">;

function resolveToken({ tokens }: PolicyState, secret: string): Resolved {
  const token = tokens.find(secret);
  const problem = tokenProblem(token, Date.now());
  if (token === undefined || problem !== undefined)
    throw new AppError("unauthenticated", problem ?? "the token is not known");
  const { name, tenant, team, roles, permissions, expiresAtMs } = token;
  return {
    principal: {
      id: name,
      tenant,
      team,
      roles: [...roles],
      permissions: [...permissions],
      credential: name,
      amr: [],
      acr: "",
      authenticatedAtMs: 0n,
    },
    expiresAtMs: BigInt(expiresAtMs ?? 0),
  };
}

async function resolveAccessToken(
  accessTokens: AccessTokens,
  token: string,
  settings: OauthSettings,
): Promise<Resolved> {
  const { user, expiresAtMs } = await accessTokens.resolve(token, settings);
  const principal = {
    ...user,
    roles: [...user.roles],
    permissions: [...user.permissions],
    credential: settings.issuer,
    amr: [],
    acr: "",
    authenticatedAtMs: 0n,
  };
  return { principal, expiresAtMs: BigInt(expiresAtMs) };
}
