import type { Parsed } from "@tollgate/contracts";
import type { SignInClaims } from "./access-token.ts";
import { NO_SIGN_IN, type SignIn, type Subject } from "./cedar-question.ts";
import { type CertificateSettings, credentialOf } from "./certificate.ts";
import { sameTexts, type Source } from "./policy.ts";
import type { Settings } from "./settings.ts";
import { type TokenIndex, tokenProblem, type TokenRecord } from "./token.ts";

// Who a credential stands for, and what of it counts now. Of tokens, certificates and agents everything is known here; of
// a user what was given or taken, beside what the access token says.

/** Of whom something is kept. */
export interface KnownPrincipal {
  readonly tenant: string;
  /** `agent:NAME` or `user:SUBJECT`. */
  readonly id: string;
  /** Of agents; else empty. */
  readonly team: string;
  /** Of an agent all it has; of a user those beside the access token's. */
  readonly roles: readonly string[];
  readonly withdrawnRoles: readonly string[];
  readonly disabled: boolean;
  readonly note: string;
  readonly source: Source;
  readonly updatedAtMs: number;
  readonly updatedBy: string;
}

/** What is said of a principal that is put. */
export type NewPrincipal = Omit<KnownPrincipal, "source" | "updatedAtMs" | "updatedBy">;

export interface RoleRecord {
  readonly tenant: string;
  readonly name: string;
  readonly description: string;
  /** It counts for nothing, whoever has it. */
  readonly disabled: boolean;
}

export interface PrincipalRecords {
  readonly principals: readonly KnownPrincipal[];
  readonly roles: readonly RoleRecord[];
}

/** Never changed, only replaced. */
export interface PrincipalIndex extends PrincipalRecords {
  find(tenant: string, id: string): KnownPrincipal | undefined;
  isRoleDisabled(tenant: string, role: string): boolean;
}

export const NO_PRINCIPALS: PrincipalRecords = { principals: [], roles: [] };

export function indexPrincipals(records: PrincipalRecords): PrincipalIndex {
  const byId = new Map(records.principals.map((each) => [keyOf(each.tenant, each.id), each]));
  const disabled = new Set(
    records.roles.filter((role) => role.disabled).map(({ tenant, name }) => keyOf(tenant, name)),
  );
  return {
    ...records,
    find: (tenant, id) => byId.get(keyOf(tenant, id)),
    isRoleDisabled: (tenant, role) => disabled.has(keyOf(tenant, role)),
  };
}

/** Tenants hold no spaces. */
function keyOf(tenant: string, name: string): string {
  return `${tenant} ${name}`;
}

const AGENT_PREFIX = "agent:";
const USER_PREFIX = "user:";

export function agentId(name: string): string {
  return `${AGENT_PREFIX}${name}`;
}

/** What the id of a principal says. Tokens' names hold no colon, so that nobody can be taken for one. */
export function subjectFrom(principalId: string): Pick<Subject, "kind" | "id"> {
  if (principalId.startsWith(USER_PREFIX)) return { kind: "user", id: principalId.slice(USER_PREFIX.length) };
  if (principalId.startsWith(AGENT_PREFIX)) return { kind: "agent", id: principalId.slice(AGENT_PREFIX.length) };
  return { kind: "token", id: principalId };
}

/** What counts of a caller now. */
export interface Standing {
  /** As in Principal. */
  readonly id: string;
  readonly tenant: string;
  readonly team: string;
  readonly roles: readonly string[];
  readonly permissions: readonly string[];
}

interface Known {
  readonly tokens: TokenIndex;
  readonly principals: PrincipalIndex;
}

/** What a token stands for: itself, or its agent. Whether it may be used at all is not looked at. */
export function standingOfToken({ principals }: Known, token: TokenRecord): Parsed<Standing> {
  const { name, tenant, team, agent, permissions } = token;
  if (agent !== "") return standingOfAgent(principals, { id: agent, tenant, permissions });
  const roles = token.roles.filter((role) => !principals.isRoleDisabled(tenant, role));
  return { ok: true, value: { id: name, tenant, team, roles, permissions } };
}

export function standingOfAgent(
  principals: PrincipalIndex,
  { id, tenant, permissions }: Pick<Standing, "id" | "tenant" | "permissions">,
): Parsed<Standing> {
  const agent = principals.find(tenant, id);
  if (agent === undefined) return refuse(`${show(id)} is not known in the tenant ${show(tenant)}`);
  if (agent.disabled) return refuse(`${show(id)} is disabled`);
  const roles = effectiveRoles(principals, { id, tenant, roles: [] });
  return { ok: true, value: { id, tenant, team: agent.team, roles, permissions } };
}

/** What counts of a user, of whom an access token says this. */
export function standingOfUser(principals: PrincipalIndex, user: Standing): Parsed<Standing> {
  if (principals.find(user.tenant, user.id)?.disabled) return refuse(`${show(user.id)} is disabled`);
  return { ok: true, value: { ...user, roles: effectiveRoles(principals, user) } };
}

/** Those that are said and those that are kept, without what was withdrawn from the principal or from everybody. */
function effectiveRoles(
  principals: PrincipalIndex,
  { id, tenant, roles }: Pick<Standing, "id" | "tenant" | "roles">,
): string[] {
  const known = principals.find(tenant, id);
  const all = new Set([...roles, ...(known?.roles ?? [])]);
  return [...all].filter((role) => !known?.withdrawnRoles.includes(role) && !principals.isRoleDisabled(tenant, role));
}

export interface DecisionCaller {
  readonly subject: Subject;
  readonly permissions: readonly string[];
  readonly signIn: SignIn;
}

/** Who asks, as the gateway was told. */
export interface Asker extends Standing, Partial<SignInClaims> {
  readonly credential?: string;
}

interface CallerState extends Known {
  readonly settings: Settings;
}

/**
 * What a token or a certificate stands for comes from this state, not from the question: the asker may have learned it
 * before the last change. Of a user what counts is what this service told the gateway of the access token, without what was
 * withdrawn since, as long as tokens of that issuer are taken.
 */
export function callerOf(
  state: CallerState,
  { principal, nowMs }: { readonly principal: Asker | undefined; readonly nowMs: number },
): Parsed<DecisionCaller> {
  if (principal === undefined) return refuse("the request names no principal");
  const isUser = subjectFrom(principal.id).kind === "user";
  const standing = isUser ? standingNow(state, principal) : standingOfCredential(state, principal, nowMs);
  if (!standing.ok) return standing;
  const { id, tenant, team, roles, permissions } = standing.value;
  if (id !== principal.id) return refuse(`the credential does not stand for ${show(principal.id)}`);
  if (tenant !== principal.tenant) return refuse(`${show(id)} is not of the tenant ${show(principal.tenant)}`);
  return {
    ok: true,
    value: { subject: { ...subjectFrom(id), tenant, team, roles }, permissions, signIn: signInOf(principal) },
  };
}

function standingNow({ settings, principals }: CallerState, user: Asker): Parsed<Standing> {
  const isTaken = settings.oauth.some(({ issuer }) => issuer === user.credential);
  return isTaken ? standingOfUser(principals, user) : refuse("access tokens of its issuer are not taken any more");
}

/** An agent has several, and one of them may be taken back. A token that stands for itself is known by its name. */
function standingOfCredential(state: CallerState, { id, credential = id }: Asker, nowMs: number): Parsed<Standing> {
  const certificate = certificateNamed(state.settings.certificates, credential);
  if (certificate !== undefined) return standingOfAgent(state.principals, { ...certificate, id: certificate.agent });
  const token = state.tokens.byName.get(credential);
  const problem = tokenProblem(token, nowMs);
  if (token === undefined || problem !== undefined) return refuse(problem ?? "the token is not known");
  return standingOfToken(state, token);
}

function certificateNamed(certificates: readonly CertificateSettings[], credential: string) {
  return certificates.find((each) => credentialOf(each) === credential);
}

/** Of tokens, certificates and agents nothing of the kind is known. */
export function signInOf({
  id,
  amr = [],
  acr = "",
  authenticatedAtMs = 0,
}: Pick<Asker, "id"> & Partial<SignInClaims>): SignIn {
  if (subjectFrom(id).kind !== "user") return NO_SIGN_IN;
  const atMs = Number(authenticatedAtMs);
  return { amr, acr, ...(atMs > 0 ? { atMs } : {}) };
}

/** An agent as the file has it. */
export type WantedAgent = Pick<KnownPrincipal, "tenant" | "id" | "team" | "roles">;

/**
 * What has to be done so that the agents of the file are those that are wanted. What the API took from one outlives the
 * file: an agent that lost something stays, disabled, when the file drops it.
 */
export function planAgents(
  stored: readonly KnownPrincipal[],
  wanted: readonly WantedAgent[],
): {
  readonly remove: readonly KnownPrincipal[];
  readonly put: readonly Pick<KnownPrincipal, keyof NewPrincipal | "source">[];
} {
  const wantedIds = new Set(wanted.map(({ tenant, id }) => keyOf(tenant, id)));
  const storedById = new Map(stored.map((each) => [keyOf(each.tenant, each.id), each]));
  const dropped = stored.filter(({ source, tenant, id }) => source === "file" && !wantedIds.has(keyOf(tenant, id)));
  const isKept = (agent: KnownPrincipal): boolean => agent.disabled || agent.withdrawnRoles.length > 0;
  const kept = dropped.filter(isKept).map((agent) => ({ ...agent, roles: [], disabled: true, source: "api" as const }));
  const changed = wanted.flatMap((agent) => {
    const known = storedById.get(keyOf(agent.tenant, agent.id));
    const isSame = known?.source === "file" && known.team === agent.team && sameTexts(known.roles, agent.roles);
    const { withdrawnRoles = [], disabled = false, note = "" } = known ?? {};
    return isSame ? [] : [{ ...agent, withdrawnRoles, disabled, note, source: "file" as const }];
  });
  return { remove: dropped.filter((agent) => !isKept(agent)), put: [...kept, ...changed] };
}

const SHOWN_MAX_CHARS = 200;

function show(text: string): string {
  return JSON.stringify(text.slice(0, SHOWN_MAX_CHARS));
}

function refuse(reason: string): { ok: false; reason: string } {
  return { ok: false, reason };
}
