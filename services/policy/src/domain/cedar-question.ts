import type {
  CedarValueJson,
  EntityJson,
  EntityUidJson,
  StatefulAuthorizationCall,
} from "@cedar-policy/cedar-wasm/nodejs";
import { isAdminAction } from "@tollgate/desired-state";
import type { CallArguments } from "./call-arguments.ts";
import { INSTALLATION, kindOf, KINDS } from "./cedar-schema.ts";

// One question in Cedar's terms: who, what, on what, and the circumstances, as far as the policies look at them.

/** Who asks, as policy itself knows them. */
export interface Subject {
  readonly kind: "token" | "user" | "agent";
  /** The token's name; the user's subject at the issuer; the agent's name. */
  readonly id: string;
  readonly tenant: string;
  readonly team: string;
  readonly roles: readonly string[];
}

export interface Target {
  readonly group: string;
  readonly server: string;
  /** Empty for the server as a whole. */
  readonly tool: string;
  /** False where it is not known. */
  readonly sandboxed: boolean;
  /** Empty where none is declared. */
  readonly environment: string;
  /** LOW, MEDIUM, HIGH or CRITICAL. */
  readonly risk: string;
}

/** How a user has signed in (RFC 8176, OpenID Connect Core section 2); of tokens and agents nothing is known. */
export interface SignIn {
  readonly amr: readonly string[];
  readonly acr: string;
  /** Unix milliseconds. */
  readonly atMs?: number | undefined;
}

export const NO_SIGN_IN: SignIn = { amr: [], acr: "" };

export interface Circumstances {
  /** Unix milliseconds. */
  readonly nowMs: number;
  /** The client's, as Cedar takes it; undefined where it is not known. */
  readonly address: string | undefined;
  readonly signIn: SignIn;
  /** Canonical texts of the windows that are open. */
  readonly windows: readonly string[];
  readonly callArguments: CallArguments;
  /** Whether some arguments may be allowed. */
  readonly isAnyArguments: boolean;
}

const ENTITY_TYPES = { token: "Token", agent: "Agent", user: "User" } as const;
/** In `amr`; in `acr` it is what a client was told to ask for. */
export const MFA = "mfa";
const LAST_DATE_MS = 253_402_300_799_999;

type Question = Omit<StatefulAuthorizationCall, "preparsedPolicySetId">;

/** What the policies look at: each part that is left out makes a question cheaper. */
export interface Looks {
  /** Attributes of the context. */
  readonly mentions: ReadonlySet<string>;
  /** Attributes of the principal: only Cedar text of a user's own does. */
  readonly atPrincipal: boolean;
}

export function toQuestion(
  subject: Subject,
  { action, target }: { readonly action: string; readonly target: Target },
  { circumstances, looks }: { readonly circumstances: Circumstances; readonly looks: Looks },
): Question {
  const { mentions } = looks;
  const isAdmin = isAdminAction(action);
  const principal = principalEntity(subject, looks);
  const resource = isAdmin ? { uid: INSTALLATION, attrs: {}, parents: [] } : resourceEntity(action, target);
  const asked = { type: "Action", id: action };
  const entities = [
    principal,
    resource,
    { uid: asked, attrs: {}, parents: [{ type: "Action", id: isAdmin ? "admin" : "mcp" }] },
  ];
  const context: Record<string, CedarValueJson> = contextOf(circumstances, mentions);
  if (!isAdmin && mentions.has("arguments")) {
    entities.push(...argumentEntities(circumstances.callArguments));
    context["arguments"] = {
      ...ARGUMENTS,
      unclear: [...circumstances.callArguments.unclear],
      any: circumstances.isAnyArguments,
    };
  }
  return { principal: principal.uid, action: asked, resource: resource.uid, context, entities };
}

function principalEntity(
  { kind, id, tenant, team, roles }: Subject,
  { atPrincipal }: Looks,
): EntityJson & { uid: EntityUidJson } {
  return {
    uid: { type: ENTITY_TYPES[kind], id },
    attrs: atPrincipal ? { tenant, team, roles: [...roles] } : {},
    parents: [
      { type: "Tenant", id: tenant },
      { type: "Team", id: team },
      ...roles.map((role) => ({ type: "Role", id: role })),
    ],
  };
}

function resourceEntity(action: string, target: Target): EntityJson & { uid: EntityUidJson } {
  const { group, server, tool, sandboxed, environment, risk } = target;
  const attrs = { server, name: tool, group, sandboxed, environment, risk };
  const inGroup = { type: "Group", id: group };
  if (tool === "") return { uid: { type: "Server", id: server }, attrs, parents: [inGroup] };
  const uid = { type: KINDS[kindOf(action)], id: `${server}/${tool}` };
  return { uid, attrs, parents: [{ type: "Server", id: server }, inGroup] };
}

function contextOf(
  { nowMs, address, signIn, windows }: Circumstances,
  mentions: ReadonlySet<string>,
): Record<string, CedarValueJson> {
  const { amr, acr, atMs } = signIn;
  const all: Record<string, CedarValueJson | undefined> = {
    address: mentions.has("address") && address !== undefined ? { __extn: { fn: "ip", arg: address } } : undefined,
    windows: mentions.has("windows") ? [...windows] : undefined,
    now: mentions.has("now") ? dateOf(nowMs) : undefined,
    mfa: mentions.has("mfa") ? amr.includes(MFA) || acr === MFA : undefined,
    acr: mentions.has("acr") ? acr : undefined,
    amr: mentions.has("amr") ? [...amr] : undefined,
    signedInAt: mentions.has("signedInAt") && atMs !== undefined ? dateOf(atMs) : undefined,
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as Record<
    string,
    CedarValueJson
  >;
}

/** Undefined where it is no date that Cedar knows. */
function dateOf(ms: number): CedarValueJson | undefined {
  if (!(ms >= 0 && ms <= LAST_DATE_MS)) return undefined;
  return { __extn: { fn: "datetime", arg: new Date(ms).toISOString() } };
}

const ARGUMENT_ENTITIES = {
  texts: { type: "Texts", id: "call" },
  numbers: { type: "Numbers", id: "call" },
  flags: { type: "Flags", id: "call" },
} as const;
const ARGUMENTS: Record<string, CedarValueJson> = Object.fromEntries(
  Object.entries(ARGUMENT_ENTITIES).map(([name, uid]) => [name, { __entity: uid }]),
);

function argumentEntities({ texts, numbers, flags }: CallArguments): EntityJson[] {
  const decimals = [...numbers].map(([name, arg]) => [name, { __extn: { fn: "decimal", arg } }] as const);
  return [
    { uid: ARGUMENT_ENTITIES.texts, attrs: {}, parents: [], tags: Object.fromEntries(texts) },
    { uid: ARGUMENT_ENTITIES.numbers, attrs: {}, parents: [], tags: Object.fromEntries(decimals) },
    { uid: ARGUMENT_ENTITIES.flags, attrs: {}, parents: [], tags: Object.fromEntries(flags) },
  ];
}
