import { AppError } from "@tollgate/errors";
import type { Log } from "@tollgate/service";
import { decodeJwt, decodeProtectedHeader, errors, jwtVerify, type JWTVerifyGetKey } from "jose";
import { openIssuerKeys } from "../clients/issuer-keys.ts";
import { type OauthSettings, toUser, type User } from "../domain/access-token.ts";

const LATEST_MS = 8_640_000_000_000_000;

export interface AccessTokens {
  /**
   * Who the token stands for, and until when (Unix milliseconds).
   * @throws {AppError} `unauthenticated` with what is wrong with it; `unavailable` when the issuer has to be asked and cannot be
   */
  resolve(token: string, settings: OauthSettings): Promise<{ readonly user: User; readonly expiresAtMs: number }>;
}

export function createAccessTokens(options: { readonly signal: AbortSignal; readonly log: Log }): AccessTokens {
  let held: { readonly name: string; readonly keys: JWTVerifyGetKey } | undefined;

  /** The settings may change while this runs. What was fetched stays as long as it is the same issuer's. */
  function keysOf({ issuer, jwksUri }: OauthSettings): JWTVerifyGetKey {
    const name = JSON.stringify([issuer, jwksUri]);
    if (held?.name !== name) held = { name, keys: openIssuerKeys({ issuer: { issuer, jwksUri }, ...options }) };
    return held.keys;
  }

  return {
    async resolve(token, settings) {
      checkBeforehand(token, settings);
      const { payload, protectedHeader } = await verify(token, settings, keysOf(settings)).catch((error: unknown) => {
        throw toProblem(error);
      });
      const user = toUser(protectedHeader, payload, settings);
      if (!user.ok) throw refusal(user.reason);
      // The same moment at which it would be refused here.
      const expiresAtMs = Math.min(Math.floor((payload.exp! + settings.clockSkewSeconds) * 1_000), LATEST_MS);
      return { user: user.value, expiresAtMs };
    },
  };
}

/** What needs no key, so that tokens of strangers never make this side ask the issuer. */
function checkBeforehand(token: string, { issuer }: OauthSettings): void {
  const { header, claims } = decode(token);
  if (claims.iss !== issuer) throw refusal("is not of the issuer whose tokens are taken here (iss)");
  // Without it any key of the issuer might be meant, those for other purposes too.
  if (typeof header.kid !== "string") throw refusal("does not name its key (kid)");
}

function decode(token: string) {
  try {
    return { header: decodeProtectedHeader(token), claims: decodeJwt(token) };
  } catch {
    throw refusal("cannot be read");
  }
}

function verify(token: string, settings: OauthSettings, keys: JWTVerifyGetKey) {
  return jwtVerify(token, keys, {
    issuer: settings.issuer,
    algorithms: [...settings.algorithms],
    clockTolerance: settings.clockSkewSeconds,
    requiredClaims: ["exp"],
  });
}

function toProblem(error: unknown): AppError {
  if (error instanceof AppError) return error;
  if (error instanceof errors.JWTExpired) {
    const at = error.payload.exp! * 1_000;
    return refusal(`expired at ${Math.abs(at) <= LATEST_MS ? new Date(at).toISOString() : "some time"} (exp)`);
  }
  if (error instanceof errors.JWTClaimValidationFailed) {
    return refusal(error.claim === "nbf" ? "does not hold yet (nbf)" : `is refused for its ${error.claim}`);
  }
  if (error instanceof errors.JOSEAlgNotAllowed) return refusal("is signed in a way that is not allowed (alg)");
  if (error instanceof errors.JWKSNoMatchingKey) return refusal("is signed with a key that the issuer has not");
  if (error instanceof errors.JWSSignatureVerificationFailed) return refusal("has a wrong signature");
  if (error instanceof errors.JOSEError) return refusal("cannot be read");
  // What the platform's cryptography throws is about the key: the issuer's mistake, not the token's.
  return new AppError("unavailable", "the issuer's key cannot be used", { cause: error });
}

function refusal(problem: string): AppError {
  return new AppError("unauthenticated", `the access token ${problem}`);
}
