import { AppError } from "@tollgate/errors";
import { parseJson } from "@tollgate/mcp";
import type { Log } from "@tollgate/service";
import { decodeJwt, decodeProtectedHeader, errors, type JWTPayload, jwtVerify, type JWTVerifyGetKey } from "jose";
import { openIssuerKeys } from "../clients/issuer-keys.ts";
import { type OauthSettings, toUser, type User } from "../domain/access-token.ts";

const LATEST_MS = 8_640_000_000_000_000;

export interface AccessTokens {
  /**
   * Who the token stands for, by which issuer's word, and until when (Unix milliseconds).
   * @throws {AppError} `unauthenticated` with what is wrong with it; `unavailable` when the issuer has to be asked and cannot be
   */
  resolve(
    presented: { readonly token: string; readonly certificateSha256: string | undefined },
    issuers: readonly OauthSettings[],
  ): Promise<{ readonly user: User; readonly issuer: string; readonly expiresAtMs: number }>;
}

export function createAccessTokens(options: { readonly signal: AbortSignal; readonly log: Log }): AccessTokens {
  let held: ReadonlyMap<string, JWTVerifyGetKey> = new Map();
  let heldFor: readonly OauthSettings[] = [];

  /** The settings may change while this runs. What was fetched stays as long as it is the same issuer's. */
  function keysOf(settings: OauthSettings, all: readonly OauthSettings[]): JWTVerifyGetKey {
    if (all !== heldFor) {
      held = new Map(
        all.map(({ issuer, jwksUri }) => {
          const name = nameOf({ issuer, jwksUri });
          return [name, held.get(name) ?? openIssuerKeys({ issuer: { issuer, jwksUri }, ...options })];
        }),
      );
      heldFor = all;
    }
    return held.get(nameOf(settings))!;
  }

  return {
    async resolve({ token, certificateSha256 }, issuers) {
      const settings = issuerOf(token, issuers);
      const { payload, protectedHeader } = await verify(token, settings, keysOf(settings, issuers)).catch(
        (error: unknown) => {
          throw toProblem(error);
        },
      );
      // JSON has numbers, such as 1e999, that stand for no time.
      if (!Number.isFinite(payload.exp)) throw refusal("is refused for its exp");
      const user = toUser({ header: protectedHeader, claims: claimsOf(token), certificateSha256 }, settings);
      if (!user.ok) throw refusal(user.reason);
      // The same moment at which it would be refused here.
      const expiresAtMs = Math.min(Math.floor((payload.exp! + settings.clockSkewSeconds) * 1_000), LATEST_MS);
      return { user: user.value, issuer: settings.issuer, expiresAtMs };
    },
  };
}

function nameOf({ issuer, jwksUri }: Pick<OauthSettings, "issuer" | "jwksUri">): string {
  return JSON.stringify([issuer, jwksUri]);
}

/** What needs no key, so that tokens of strangers never make this side ask an issuer. */
function issuerOf(token: string, issuers: readonly OauthSettings[]): OauthSettings {
  const { header, claims } = decode(token);
  const settings = issuers.find(({ issuer }) => issuer === claims.iss);
  if (settings === undefined) throw refusal("is not of an issuer whose tokens are taken here (iss)");
  if (header.kid !== undefined && typeof header.kid !== "string") throw refusal("cannot be read");
  return settings;
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

/** Of a token that was verified: for jose a claim whose name has escapes may have another name; see parseJson. */
function claimsOf(token: string): JWTPayload {
  const payload = Buffer.from(token.split(".")[1]!, "base64url");
  return parseJson(new TextDecoder().decode(payload)) as JWTPayload;
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
  if (error instanceof errors.JWKSMultipleMatchingKeys)
    return refusal("does not name its key (kid), and several of the issuer's might be meant");
  if (error instanceof errors.JWKSNoMatchingKey) return refusal("is signed with a key that the issuer has not");
  if (error instanceof errors.JWSSignatureVerificationFailed) return refusal("has a wrong signature");
  if (error instanceof errors.JOSEError) return refusal("cannot be read");
  // What the platform's cryptography throws is about the key: the issuer's mistake, not the token's.
  return new AppError("unavailable", "the issuer's key cannot be used", { cause: error });
}

function refusal(problem: string): AppError {
  return new AppError("unauthenticated", `the access token ${problem}`);
}
