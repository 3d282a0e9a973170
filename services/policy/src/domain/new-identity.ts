import { NAME_PATTERN, type Parsed } from "@tollgate/contracts";
import { PERMISSION_PATTERN, SUBJECT_PATTERN } from "@tollgate/desired-state";
import { type NewPrincipal, type RoleRecord, subjectFrom } from "./principal.ts";
import type { NewToken } from "./token.ts";

// What the API says of tokens, principals and roles, before it is taken in. The reasons begin with the place.

const LIST_MAX = 256;
const NOTE_MAX_CHARS = 2_000;
const DEFAULT = "default";

interface Written {
  readonly name: string;
  readonly tenant: string;
  readonly team: string;
  readonly roles: readonly string[];
  readonly permissions: readonly string[];
  readonly agent: string;
  readonly expiresAtMs: number | bigint;
}

/** Where tenant, team and permissions are left out they are `default` and `mcp`. */
export function parseToken(written: Written, nowMs: number): Parsed<NewToken> {
  const { name, tenant, team, roles, permissions, agent } = written;
  const problem =
    nameProblem("name", name) ??
    (tenant === "" ? undefined : nameProblem("tenant", tenant)) ??
    (team === "" ? undefined : nameProblem("team", team)) ??
    namesProblem("roles", roles) ??
    permissionsProblem(permissions) ??
    (agent === "" || isAgent(agent) ? undefined : "agent: has to be agent:NAME") ??
    (agent !== "" && team !== "" ? "team: does not go with agent: it is the agent's" : undefined) ??
    (agent !== "" && roles.length > 0 ? "roles: do not go with agent: they are the agent's" : undefined);
  if (problem !== undefined) return refuse(problem);
  const expiry = parseExpiry(written.expiresAtMs, nowMs);
  if (!expiry.ok) return expiry;
  const filled = {
    tenant: tenant || DEFAULT,
    team: team || DEFAULT,
    permissions: permissions.length === 0 ? ["mcp"] : permissions,
  };
  return { ok: true, value: { name, roles, agent, ...filled, expiresAtMs: expiry.value } };
}

/** @param expiresAtMs 0: it does not expire */
export function parseExpiry(expiresAtMs: number | bigint, nowMs: number): Parsed<number | undefined> {
  const ms = Number(expiresAtMs);
  if (ms === 0) return { ok: true, value: undefined };
  if (Number.isNaN(new Date(ms).getTime())) return refuse("expires_at: is not a time");
  return ms > nowMs ? { ok: true, value: ms } : refuse("expires_at: has passed");
}

export function parsePrincipal(written: NewPrincipal): Parsed<NewPrincipal> {
  const { tenant, id, team, roles, withdrawnRoles, disabled, note } = written;
  const { kind } = subjectFrom(id);
  const problem =
    nameProblem("tenant", tenant) ??
    (isAgent(id) || isUser(id) ? undefined : "id: has to be agent:NAME or user:SUBJECT") ??
    (team === "" ? undefined : nameProblem("team", team)) ??
    (kind === "user" && team !== "" ? "team: a user's comes from the access token" : undefined) ??
    namesProblem("roles", roles) ??
    namesProblem("withdrawn_roles", withdrawnRoles) ??
    noteProblem("note", note);
  if (problem !== undefined) return refuse(problem);
  const value = { tenant, id, team: kind === "agent" ? team || DEFAULT : "", roles, withdrawnRoles, disabled, note };
  return { ok: true, value };
}

export function parseRole({ tenant, name, description, disabled }: RoleRecord): Parsed<RoleRecord> {
  const problem = nameProblem("tenant", tenant) ?? nameProblem("name", name) ?? noteProblem("description", description);
  return problem === undefined ? { ok: true, value: { tenant, name, description, disabled } } : refuse(problem);
}

function isAgent(id: string): boolean {
  const subject = subjectFrom(id);
  return subject.kind === "agent" && NAME_PATTERN.test(subject.id);
}

function isUser(id: string): boolean {
  const subject = subjectFrom(id);
  return subject.kind === "user" && SUBJECT_PATTERN.test(subject.id);
}

function nameProblem(place: string, name: string): string | undefined {
  return NAME_PATTERN.test(name) ? undefined : `${place}: has to be 1 to 63 of a-z, 0-9 and inner -`;
}

function namesProblem(place: string, names: readonly string[]): string | undefined {
  if (names.length > LIST_MAX) return `${place}: has more than ${LIST_MAX} entries`;
  const at = names.findIndex((name) => !NAME_PATTERN.test(name));
  return at < 0 ? undefined : nameProblem(`${place}[${at}]`, names[at]!);
}

function permissionsProblem(permissions: readonly string[]): string | undefined {
  if (permissions.length > LIST_MAX) return `permissions: has more than ${LIST_MAX} entries`;
  const at = permissions.findIndex((each) => !PERMISSION_PATTERN.test(each));
  return at < 0 ? undefined : `permissions[${at}]: has to be mcp, mcp:GROUP, mcp:GROUP/SERVER or admin`;
}

function noteProblem(place: string, note: string): string | undefined {
  const isFit = note.length <= NOTE_MAX_CHARS && !note.includes("\0");
  return isFit ? undefined : `${place}: has to be at most ${NOTE_MAX_CHARS} characters, none of them NUL`;
}

function refuse(reason: string): { ok: false; reason: string } {
  return { ok: false, reason };
}
