import type { policyV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { unary } from "@tollgate/service";
import { looksLikeJwt } from "../domain/access-token.ts";
import { credentialOf, findCertificate } from "../domain/certificate.ts";
import { standingOfAgent, standingOfToken, standingOfUser, type Standing } from "../domain/principal.ts";
import type { PolicyState } from "../domain/state.ts";
import { type FoundToken, secretEndMs, secretProblem } from "../domain/token.ts";
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
  try {
    const answer = await resolve(state, request, accessTokens);
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

/** Whoever sends a token means it: what the certificate stands for does not matter then. */
function resolve(
  state: PolicyState,
  { token, certificate }: policyV1.AuthenticateRequest,
  accessTokens: AccessTokens,
): Resolved | Promise<Resolved> {
  if (token === "" && certificate !== undefined) return resolveCertificate(state, certificate);
  const found = state.tokens.find(token);
  const isAccessToken = found === undefined && state.settings.oauth.length > 0 && looksLikeJwt(token);
  if (isAccessToken) return resolveAccessToken(state, { token, certificateSha256: certificate?.sha256 }, accessTokens);
  return resolveToken(state, found);
}

function resolveToken(state: PolicyState, found: FoundToken | undefined): Resolved {
  const problem = secretProblem(found, Date.now());
  if (found === undefined || problem !== undefined) throw refusal(problem ?? "the token is not known");
  const standing = standingOfToken(state, found.token);
  if (!standing.ok) throw refusal(standing.reason);
  return toResolved(standing.value, { credential: found.token.name, expiresAtMs: secretEndMs(found) ?? 0 });
}

/** The gateway has verified the chain; here is what it stands for. */
function resolveCertificate({ settings, principals }: PolicyState, certificate: policyV1.Certificate): Resolved {
  const entry = findCertificate(settings.certificates, certificate);
  if (entry === undefined) throw refusal("the client certificate is not known");
  const expiresAtMs = Number(certificate.notAfterMs);
  if (expiresAtMs <= Date.now()) throw refusal("the client certificate has expired");
  const standing = standingOfAgent(principals, { ...entry, id: entry.agent });
  if (!standing.ok) throw refusal(standing.reason);
  return toResolved(standing.value, { credential: credentialOf(entry), expiresAtMs });
}

async function resolveAccessToken(
  { settings, principals }: PolicyState,
  presented: { token: string; certificateSha256: string | undefined },
  accessTokens: AccessTokens,
): Promise<Resolved> {
  const { user, issuer, expiresAtMs } = await accessTokens.resolve(presented, settings.oauth);
  const standing = standingOfUser(principals, user);
  if (!standing.ok) throw refusal(standing.reason);
  const { principal, ...rest } = toResolved(standing.value, { credential: issuer, expiresAtMs });
  const { amr, acr, authenticatedAtMs } = user;
  return { ...rest, principal: { ...principal!, amr: [...amr], acr, authenticatedAtMs: BigInt(authenticatedAtMs) } };
}

/** @param proof what proved who it is, and until when; 0: for good */
function toResolved(
  { id, tenant, team, roles, permissions }: Standing,
  { credential, expiresAtMs }: { credential: string; expiresAtMs: number },
): Resolved {
  const known = { id, tenant, team, roles: [...roles], permissions: [...permissions], credential };
  return { principal: { ...known, amr: [], acr: "", authenticatedAtMs: 0n }, expiresAtMs: BigInt(expiresAtMs) };
}

function refusal(reason: string): AppError {
  return new AppError("unauthenticated", reason);
}
