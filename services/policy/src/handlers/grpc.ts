import type { policyV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { type Log, unary } from "@tollgate/service";
import type { AccessTokens } from "./access-tokens.ts";
import type { Authority } from "./authority.ts";
import { looksLikeJwt, type OauthSettings } from "../domain/access-token.ts";
import { type Decision, decider } from "../domain/decision.ts";
import { concernsTenant, parsePolicy, samePolicy } from "../domain/policy.ts";
import type { CompiledPolicy, PolicyState } from "../domain/state.ts";
import { isLastAdmin, type TokenRecord, tokenProblem } from "../domain/token.ts";
import { deletePolicy, findPolicy, putPolicy } from "../store/policies.ts";
import { readTokens, revokeToken } from "../store/tokens.ts";
import type { PolicyMetrics } from "../metrics.ts";
import type { WatchHub } from "./watch.ts";

const RESOURCES_MAX = 2_000;
const POLICIES_MAX = 2_000;
const ACTOR_MAX_CHARS = 200;
/** A long list is decided in slices, so that leases are renewed meanwhile. */
const SLICE_RESOURCES = 20;
const RESTARTS_MAX = 5;

export interface GrpcDependencies {
  readonly authority: Authority;
  readonly accessTokens: AccessTokens;
  readonly hub: WatchHub;
  readonly metrics: PolicyMetrics;
  readonly log: Log;
}

/** The service of proto/tollgate/policy/v1/policy.proto, whose comments say what each method promises. */
export function policyHandlers(dependencies: GrpcDependencies): policyV1.PolicyServiceServer {
  const { authority, hub, log } = dependencies;
  return {
    authenticate: unary(log, (request) => authenticate(dependencies, request)),
    decide: unary(log, (request) => decide(dependencies, request)),
    watch: hub.watch,
    listPolicies: unary(log, (request) => listPolicies(authority.current(), request)),
    putPolicy: unary(log, (request) => put(dependencies, request)),
    deletePolicy: unary(log, (request) => remove(dependencies, request)),
    listTokens: unary(log, () => ({ tokens: [...authority.current().tokens.byName.values()].map(toToken) })),
    revokeToken: unary(log, (request) => revoke(dependencies, request)),
  };
}

async function authenticate(
  { authority, accessTokens, metrics }: GrpcDependencies,
  request: policyV1.AuthenticateRequest,
): Promise<policyV1.AuthenticateResponse> {
  const state = authority.current();
  const isAccessToken = state.oauth !== undefined && looksLikeJwt(request.token) && !state.tokens.find(request.token);
  try {
    const answer = isAccessToken
      ? await resolveAccessToken(accessTokens, request.token, state.oauth)
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
    principal: { id: name, tenant, team, roles: [...roles], permissions: [...permissions] },
    expiresAtMs: BigInt(expiresAtMs ?? 0),
  };
}

async function resolveAccessToken(
  accessTokens: AccessTokens,
  token: string,
  settings: OauthSettings,
): Promise<Resolved> {
  const { user, expiresAtMs } = await accessTokens.resolve(token, settings);
  const principal = { ...user, roles: [...user.roles], permissions: [...user.permissions] };
  return { principal, expiresAtMs: BigInt(expiresAtMs) };
}

async function decide(
  { authority, metrics }: GrpcDependencies,
  request: policyV1.DecideRequest,
): Promise<policyV1.DecideResponse> {
  if (request.resources.length > RESOURCES_MAX) {
    throw new AppError("invalid_argument", `resources: has more than ${RESOURCES_MAX} entries`);
  }
  const stop = metrics.decideSeconds.startTimer();
  for (let attempt = 1; attempt <= RESTARTS_MAX; attempt += 1) {
    const state = authority.current();
    const decisions = await decideAll(request, state, () => authority.current() === state);
    // All of an answer is of one revision: a change in between starts it anew.
    if (decisions === undefined) continue;
    stop();
    for (const { allow } of decisions) metrics.decisions.inc({ effect: allow ? "allow" : "deny" });
    return { decisions: decisions.map(toDecision), revision: BigInt(state.revision) };
  }
  throw new AppError("unavailable", "policies change too fast to decide on so many resources; try again");
}

async function decideAll(
  request: policyV1.DecideRequest,
  state: PolicyState,
  isCurrent: () => boolean,
): Promise<Decision[] | undefined> {
  const { principal, action, resources } = request;
  const decideOne = decider(state, { principal, action, nowMs: Date.now() });
  const decisions: Decision[] = [];
  for (let start = 0; start < resources.length; start += SLICE_RESOURCES) {
    if (start > 0) await new Promise((resolve) => setImmediate(resolve));
    if (!isCurrent()) return undefined;
    for (const resource of resources.slice(start, start + SLICE_RESOURCES)) decisions.push(decideOne(resource));
  }
  return decisions;
}

function toDecision({ allow, policyIds, reason }: Decision): policyV1.Decision {
  return { allow, policyIds: [...policyIds], reason };
}

function listPolicies(state: PolicyState, { tenant }: policyV1.ListPoliciesRequest): policyV1.ListPoliciesResponse {
  const tenantOfToken = (name: string): string | undefined => state.tokens.byName.get(name)?.tenant;
  const visible = state.policies.filter((policy) => tenant === "" || concernsTenant(policy, tenant, tenantOfToken));
  return { policies: visible.map(toPolicy), revision: BigInt(state.revision) };
}

async function put(
  { authority, metrics, log }: GrpcDependencies,
  request: policyV1.PutPolicyRequest,
): Promise<policyV1.PutPolicyResponse> {
  if (request.policy === undefined) throw new AppError("invalid_argument", "policy: is missing");
  const actor = checkActor(request.actor);
  const parsed = parsePolicy(request.policy);
  if (!parsed.ok) throw new AppError("invalid_argument", parsed.reason);
  const policy = parsed.value;
  const state = await authority.change(async (client) => {
    const before = await findPolicy(client, policy.id);
    if (before?.source === "file") throw fileOwned(policy.id);
    if (before === undefined && authority.current().policies.length >= POLICIES_MAX) {
      throw new AppError("failed_precondition", `there are ${POLICIES_MAX} policies already; delete one first`);
    }
    if (before !== undefined && samePolicy(before, policy)) return false;
    await putPolicy(client, policy, { source: "api", actor });
    return true;
  });
  metrics.changes.inc({ kind: "put_policy" });
  log.info({ policy: policy.id, actor, revision: state.revision }, "policy put");
  const stored = state.policies.find(({ id }) => id === policy.id);
  return { policy: stored && toPolicy(stored), revision: BigInt(state.revision) };
}

async function remove(
  { authority, metrics, log }: GrpcDependencies,
  request: policyV1.DeletePolicyRequest,
): Promise<policyV1.DeletePolicyResponse> {
  const { id } = request;
  const actor = checkActor(request.actor);
  const state = await authority.change(async (client) => {
    const policy = await findPolicy(client, id);
    if (policy === undefined) throw new AppError("not_found", `there is no policy ${JSON.stringify(id)}`);
    if (policy.source === "file") throw fileOwned(id);
    await deletePolicy(client, policy, actor);
    return true;
  });
  metrics.changes.inc({ kind: "delete_policy" });
  log.info({ policy: id, actor, revision: state.revision }, "policy deleted");
  return { revision: BigInt(state.revision) };
}

async function revoke(
  { authority, metrics, log }: GrpcDependencies,
  request: policyV1.RevokeTokenRequest,
): Promise<policyV1.RevokeTokenResponse> {
  const { name } = request;
  const actor = checkActor(request.actor);
  const state = await authority.change(async (client) => {
    const tokens = await readTokens(client);
    const token = tokens.find((each) => each.name === name);
    if (token === undefined) throw new AppError("not_found", `there is no token named ${JSON.stringify(name)}`);
    if (token.revokedAtMs !== undefined) return false;
    if (isLastAdmin(tokens, name, Date.now())) {
      throw new AppError(
        "failed_precondition",
        `"${name}" is the last token with the permission admin: add another one first`,
      );
    }
    await revokeToken(client, token, actor);
    return true;
  });
  metrics.changes.inc({ kind: "revoke_token" });
  log.info({ tokenName: name, actor, revision: state.revision }, "token revoked");
  return { revision: BigInt(state.revision) };
}

function checkActor(actor: string): string {
  if (actor === "" || actor.length > ACTOR_MAX_CHARS) {
    throw new AppError("invalid_argument", `actor: has to be 1 to ${ACTOR_MAX_CHARS} characters long`);
  }
  return actor;
}

function fileOwned(id: string): AppError {
  return new AppError("failed_precondition", `policy "${id}" comes from the configuration file: change it there`);
}

function toPolicy(policy: CompiledPolicy): policyV1.Policy {
  return {
    id: policy.id,
    effect: policy.effect,
    principals: [...policy.principals],
    actions: [...policy.actions],
    resources: [...policy.resources],
    source: policy.source,
    version: BigInt(policy.version),
    updatedAtMs: BigInt(policy.updatedAtMs),
    updatedBy: policy.updatedBy,
    cedar: policy.cedar,
    requireSandbox: policy.requireSandbox,
  };
}

function toToken(token: TokenRecord): policyV1.Token {
  return {
    name: token.name,
    tenant: token.tenant,
    team: token.team,
    roles: [...token.roles],
    permissions: [...token.permissions],
    createdAtMs: BigInt(token.createdAtMs),
    revokedAtMs: BigInt(token.revokedAtMs ?? 0),
  };
}
