import type { policyV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { unary } from "@tollgate/service";
import type { ClientBase } from "pg";
import { parsePrincipal, parseRole } from "../domain/new-identity.ts";
import type { KnownPrincipal, NewPrincipal, PrincipalIndex } from "../domain/principal.ts";
import { sameTexts } from "../domain/policy.ts";
import * as store from "../store/principals.ts";
import { readAdmins, readTokensOf } from "../store/tokens.ts";
import { checkActor, type Dependencies, type Methods } from "./dependencies.ts";

const PRINCIPALS_MAX = 20_000;
const ROLES_MAX = 10_000;

/** Users and agents of whom something is kept here, and roles. */
export function principalMethods(
  dependencies: Dependencies,
): Methods<"listPrincipals" | "putPrincipal" | "deletePrincipal" | "listRoles" | "putRole"> {
  const { authority, log } = dependencies;
  return {
    listPrincipals: unary(log, (request) => list(authority.current().principals, request)),
    putPrincipal: unary(log, (request) => put(dependencies, request)),
    deletePrincipal: unary(log, (request) => remove(dependencies, request)),
    listRoles: unary(log, () => ({ roles: [...authority.current().principals.roles] })),
    putRole: unary(log, (request) => putRole(dependencies, request)),
  };
}

function list(
  { principals }: PrincipalIndex,
  { tenant }: policyV1.ListPrincipalsRequest,
): policyV1.ListPrincipalsResponse {
  return { principals: principals.filter((each) => tenant === "" || each.tenant === tenant).map(toKnown) };
}

async function put(
  { authority, metrics, log }: Dependencies,
  request: policyV1.PutPrincipalRequest,
): Promise<policyV1.PutPrincipalResponse> {
  if (request.principal === undefined) throw new AppError("invalid_argument", "principal: is missing");
  const parsed = parsePrincipal(request.principal);
  if (!parsed.ok) throw new AppError("invalid_argument", parsed.reason);
  const principal = parsed.value;
  const actor = checkActor(request.actor);
  const state = await authority.change(actor, async (client) => {
    const before = await store.findPrincipal(client, principal);
    if (before === undefined && (await store.countPrincipals(client)) >= PRINCIPALS_MAX)
      throw new AppError("failed_precondition", `there are ${PRINCIPALS_MAX} principals already`);
    if (before !== undefined) checkFile(before, principal);
    if (principal.disabled) await checkAdminsStay(client, principal);
    if (before !== undefined && samePrincipal(before, principal)) return [];
    await store.putPrincipal(client, principal, { source: before?.source ?? "api", actor });
    return ["principals"];
  });
  metrics.changes.inc({ kind: "put_principal" });
  const { tenant, id, disabled } = principal;
  log.info({ tenant, principal: id, disabled, actor, revision: state.revision }, "principal put");
  return { principal: toKnown(state.principals.find(tenant, id)!), revision: BigInt(state.revision) };
}

/** What the file says of an agent is changed there; what is taken from it is not the file's. */
function checkFile(before: KnownPrincipal, { id, team, roles }: NewPrincipal): void {
  if (before.source !== "file" || (before.team === team && sameTexts(before.roles, roles))) return;
  const reason = `team and roles of "${id}" are of the configuration file: change them there, or withdraw roles`;
  throw new AppError("failed_precondition", reason);
}

async function checkAdminsStay(client: ClientBase, { tenant, id }: NewPrincipal): Promise<void> {
  const admins = await readAdmins(client);
  if (admins.length === 0 || admins.some((admin) => admin.tenant !== tenant || admin.agent !== id)) return;
  const reason = `only tokens of "${id}" have the permission admin: add another one first`;
  throw new AppError("failed_precondition", reason);
}

async function remove(
  { authority, metrics, log }: Dependencies,
  { tenant, id, ...request }: policyV1.DeletePrincipalRequest,
): Promise<policyV1.DeletePrincipalResponse> {
  const actor = checkActor(request.actor);
  const state = await authority.change(actor, async (client) => {
    const isName = !`${tenant}${id}`.includes("\0");
    const before = isName ? await store.findPrincipal(client, { tenant, id }) : undefined;
    if (before === undefined)
      throw new AppError(
        "not_found",
        `nothing is kept of ${JSON.stringify(id)} in the tenant ${JSON.stringify(tenant)}`,
      );
    if (before.source === "file")
      throw new AppError("failed_precondition", `"${id}" is of the configuration file: remove it there, or disable it`);
    // Whoever makes an agent of that name again must not get tokens that others hold.
    const [token] = await readTokensOf(client, before);
    if (token !== undefined)
      throw new AppError("failed_precondition", `the token "${token.name}" stands for "${id}": revoke it first`);
    await store.removePrincipal(client, before);
    return ["principals"];
  });
  metrics.changes.inc({ kind: "delete_principal" });
  log.info({ tenant, principal: id, actor, revision: state.revision }, "principal deleted");
  return { revision: BigInt(state.revision) };
}

async function putRole(
  { authority, metrics, log }: Dependencies,
  request: policyV1.PutRoleRequest,
): Promise<policyV1.PutRoleResponse> {
  if (request.role === undefined) throw new AppError("invalid_argument", "role: is missing");
  const parsed = parseRole(request.role);
  if (!parsed.ok) throw new AppError("invalid_argument", parsed.reason);
  const role = parsed.value;
  const actor = checkActor(request.actor);
  const state = await authority.change(actor, async (client) => {
    const before = await store.findRole(client, role);
    if (before === undefined && (await store.countRoles(client)) >= ROLES_MAX)
      throw new AppError("failed_precondition", `there are ${ROLES_MAX} roles already`);
    if (before?.disabled === role.disabled && before.description === role.description) return [];
    await store.putRole(client, role, actor);
    return ["principals"];
  });
  metrics.changes.inc({ kind: "put_role" });
  log.info({ ...role, actor, revision: state.revision }, "role put");
  return { revision: BigInt(state.revision) };
}

function samePrincipal(before: KnownPrincipal, after: NewPrincipal): boolean {
  return (
    before.team === after.team &&
    before.disabled === after.disabled &&
    before.note === after.note &&
    sameTexts(before.roles, after.roles) &&
    sameTexts(before.withdrawnRoles, after.withdrawnRoles)
  );
}

function toKnown({
  source: _source,
  roles,
  withdrawnRoles,
  updatedAtMs,
  ...rest
}: KnownPrincipal): policyV1.KnownPrincipal {
  return { ...rest, roles: [...roles], withdrawnRoles: [...withdrawnRoles], updatedAtMs: BigInt(updatedAtMs) };
}
