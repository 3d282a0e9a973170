import type { Parsed } from "@tollgate/contracts";
import {
  type Asker,
  type DecisionCaller,
  signInOf,
  type Standing,
  standingOfAgent,
  standingOfToken,
  standingOfUser,
  subjectFrom,
} from "./principal.ts";
import type { PolicyState } from "./state.ts";
import { tokenProblem } from "./token.ts";

/** Somebody of whom it is asked what he might do, without his credential. */
export interface SupposedCaller {
  readonly principal: Standing;
  readonly caller: DecisionCaller;
}

type Known = Pick<PolicyState, "tokens" | "principals">;

const TENANT_DEFAULT = "default";

/**
 * What is known of a token, an agent or a user counts as it does when he calls. Team and roles that are said of a token or
 * an agent take the place of its own: what if he had those?
 */
export function supposedCaller(state: Known, given: Asker, nowMs: number): Parsed<SupposedCaller> {
  const standing = standingOf(state, { ...given, tenant: given.tenant || tenantOf(state, given.id) }, nowMs);
  if (!standing.ok) return standing;
  const isUser = subjectFrom(given.id).kind === "user";
  const { id, tenant, permissions } = standing.value;
  const team = given.team === "" ? standing.value.team : given.team;
  const roles = isUser || given.roles.length === 0 ? standing.value.roles : given.roles;
  const subject = { ...subjectFrom(id), tenant, team, roles };
  const caller = { subject, permissions, signIn: signInOf({ ...given, id }) };
  return { ok: true, value: { principal: { id, tenant, team, roles, permissions }, caller } };
}

function standingOf(state: Known, given: Asker, nowMs: number): Parsed<Standing> {
  const { id, tenant } = given;
  const { kind } = subjectFrom(id);
  if (kind === "user") return standingOfUser(state.principals, given);
  if (kind === "agent") return standingOfAgent(state.principals, given);
  const token = state.tokens.byName.get(id);
  const problem = tokenProblem(token, nowMs);
  if (token === undefined || problem !== undefined) return { ok: false, reason: problem ?? "the token is not known" };
  if (token.tenant !== tenant) return { ok: false, reason: `the token "${id}" is not of this tenant` };
  return standingOfToken(state, token);
}

function tenantOf({ tokens }: Known, id: string): string {
  return tokens.byName.get(id)?.tenant ?? TENANT_DEFAULT;
}
