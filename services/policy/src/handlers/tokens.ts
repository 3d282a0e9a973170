import { randomBytes } from "node:crypto";
import type { policyV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { unary } from "@tollgate/service";
import type { ClientBase } from "pg";
import { parseExpiry, parseToken } from "../domain/new-identity.ts";
import type { PolicyState } from "../domain/state.ts";
import { hashToken, type NewToken, tokenProblem, type TokenRecord } from "../domain/token.ts";
import { findPrincipal } from "../store/principals.ts";
import * as store from "../store/tokens.ts";
import { checkActor, type Dependencies, type Methods } from "./dependencies.ts";

const TOKENS_MAX = 20_000;
const SECRET_BYTES = 32;
/** So that a secret that lies about is known for what it is. */
const SECRET_PREFIX = "tg_";
const OVERLAP_MAX_MS = 7 * 86_400_000;
/** How long tokens that nobody can use any more are shown. */
const KEPT_MS = 90 * 86_400_000;

export function tokenMethods(
  dependencies: Dependencies,
): Methods<"listTokens" | "createToken" | "rotateToken" | "revokeToken"> {
  const { log } = dependencies;
  return {
    listTokens: unary(log, () => list(dependencies)),
    createToken: unary(log, (request) => create(dependencies, request)),
    rotateToken: unary(log, (request) => rotate(dependencies, request)),
    revokeToken: unary(log, (request) => revoke(dependencies, request)),
  };
}

async function list({ authority, tokenUses }: Dependencies): Promise<policyV1.ListTokensResponse> {
  const usedAt = await tokenUses.read();
  const tokens = [...authority.current().tokens.byName.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
  return { tokens: tokens.map((token) => toToken(token, usedAt.get(token.name))) };
}

async function create(
  { authority, metrics, log }: Dependencies,
  request: policyV1.CreateTokenRequest,
): Promise<policyV1.CreateTokenResponse> {
  if (request.token === undefined) throw new AppError("invalid_argument", "token: is missing");
  const parsed = parseToken(request.token, Date.now());
  if (!parsed.ok) throw new AppError("invalid_argument", parsed.reason);
  const token = parsed.value;
  const actor = checkActor(request.actor);
  const secret = newSecret();
  const state = await authority.change(actor, async (client) => {
    const gone = await store.removeOldTokens(client, Date.now() - KEPT_MS);
    await makeRoom(client, token);
    await store.insertToken(client, token, { sha256: hashToken(secret), actor });
    return [{ tokens: [...gone, token.name] }];
  });
  metrics.changes.inc({ kind: "create_token" });
  log.info({ tokenName: token.name, actor, revision: state.revision }, "token created");
  return { token: shown(state, token.name), secret, revision: BigInt(state.revision) };
}

/** The name of a token that was revoked may be given anew: the revocation belongs to the secret. */
async function makeRoom(client: ClientBase, { name, tenant, agent }: NewToken): Promise<void> {
  const [before] = await store.readSomeTokens(client, [name]);
  if (before?.source === "file") throw ofFile(name);
  if (before !== undefined && before.revokedAtMs === undefined) {
    throw new AppError("already_exists", `there is a token named "${name}" already; revoke it first, or rotate it`);
  }
  if (before !== undefined) await store.removeTokens(client, [name]);
  if ((await store.countTokens(client)) >= TOKENS_MAX)
    throw new AppError("failed_precondition", `there are ${TOKENS_MAX} tokens already`);
  if (agent === "" || (await findPrincipal(client, { tenant, id: agent })) !== undefined) return;
  throw new AppError("failed_precondition", `agent: there is no "${agent}" in the tenant "${tenant}"`);
}

async function rotate(
  { authority, metrics, log }: Dependencies,
  request: policyV1.RotateTokenRequest,
): Promise<policyV1.RotateTokenResponse> {
  const { name, overlapMs } = request;
  const actor = checkActor(request.actor);
  if (overlapMs > OVERLAP_MAX_MS)
    throw new AppError("invalid_argument", `overlap_ms: has to be at most ${OVERLAP_MAX_MS}, which is 7 days`);
  const nowMs = Date.now();
  const expiry = parseExpiry(request.expiresAtMs, nowMs);
  if (!expiry.ok) throw new AppError("invalid_argument", expiry.reason);
  const secret = newSecret();
  const state = await authority.change(actor, async (client) => {
    const token = await findToken(client, name);
    if (token.source === "file") throw ofFile(name);
    const expiresAtMs = expiry.value ?? token.expiresAtMs;
    const problem = tokenProblem({ ...token, expiresAtMs }, nowMs);
    if (problem !== undefined) throw new AppError("failed_precondition", problem);
    const previousUntilMs = overlapMs === 0 ? undefined : nowMs + overlapMs;
    await store.rotateToken(client, name, { sha256: hashToken(secret), previousUntilMs, expiresAtMs });
    return [{ tokens: [name] }];
  });
  metrics.changes.inc({ kind: "rotate_token" });
  log.info({ tokenName: name, actor, revision: state.revision }, "token rotated");
  return { token: shown(state, name), secret, revision: BigInt(state.revision) };
}

async function revoke(
  { authority, metrics, log }: Dependencies,
  request: policyV1.RevokeTokenRequest,
): Promise<policyV1.RevokeTokenResponse> {
  const { name } = request;
  const actor = checkActor(request.actor);
  const state = await authority.change(actor, async (client) => {
    const token = await findToken(client, name);
    if (token.revokedAtMs !== undefined) return [];
    const admins = await store.readAdmins(client);
    if (admins.length === 1 && admins[0]!.name === name) {
      throw new AppError(
        "failed_precondition",
        `"${name}" is the last token with the permission admin: add another one first`,
      );
    }
    await store.revokeToken(client, token, actor);
    return [{ tokens: [name] }];
  });
  metrics.changes.inc({ kind: "revoke_token" });
  log.info({ tokenName: name, actor, revision: state.revision }, "token revoked");
  return { revision: BigInt(state.revision) };
}

async function findToken(client: ClientBase, name: string): Promise<TokenRecord> {
  // A NUL, which the database does not take, is in no name.
  const [token] = name.includes("\0") ? [] : await store.readSomeTokens(client, [name]);
  if (token === undefined) throw new AppError("not_found", `there is no token named ${JSON.stringify(name)}`);
  return token;
}

function ofFile(name: string): AppError {
  return new AppError("failed_precondition", `the token "${name}" is of the configuration file: change it there`);
}

function newSecret(): string {
  return `${SECRET_PREFIX}${randomBytes(SECRET_BYTES).toString("base64url")}`;
}

/** As the change has made it. */
function shown(state: PolicyState, name: string): policyV1.Token {
  return toToken(state.tokens.byName.get(name)!, undefined);
}

function toToken(token: TokenRecord, usedAtMs: number | undefined): policyV1.Token {
  return {
    name: token.name,
    tenant: token.tenant,
    team: token.team,
    roles: [...token.roles],
    permissions: [...token.permissions],
    createdAtMs: BigInt(token.createdAtMs),
    revokedAtMs: BigInt(token.revokedAtMs ?? 0),
    expiresAtMs: BigInt(token.expiresAtMs ?? 0),
    lastUsedAtMs: BigInt(usedAtMs ?? 0),
    agent: token.agent,
    source: token.source,
    createdBy: token.createdBy,
    previousUntilMs: BigInt(token.previous?.untilMs ?? 0),
  };
}
