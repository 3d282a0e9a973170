import { AppError } from "@tollgate/errors";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { Policy, Principal, Ruling } from "../clients/policy.ts";
import type { AdminAction } from "../domain/admin-actions.ts";
import type { Subject } from "../domain/targets.ts";
import type { InnerRequests } from "./api-inner.ts";
import type { Caller, Callers } from "./callers.ts";
import { decide } from "./decisions.ts";
import type { Refuse } from "./refusals.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /**
     * What a route of the management API does, as policies name it; `own`: every known caller may, and the handler shows
     * it nothing but its own.
     */
    action?: AdminAction | "own";
    /** Not as a part of another request: its answer lasts, or has parts itself. */
    alone?: true;
    /** It changes nothing, whatever its method and action say. */
    reads?: true;
  }
}

/** The installation as a whole. */
const INSTALLATION: Subject = { group: "", server: "", name: "", sandboxed: false, environment: "", risk: "LOW" };

/** Nobody gets at a route of the API without being known, and allowed what the route says that it does. */
export function guardApi(
  api: FastifyInstance,
  { callers, policy, refuse, inner }: { callers: Callers; policy: Policy; refuse: Refuse; inner: InnerRequests },
): void {
  api.addHook("onRoute", ({ method, url, config }) => {
    if (config?.action === undefined) throw new Error(`the route ${String(method)} ${url} does not say its action`);
  });
  api.addHook("onRequest", async (request) => {
    const asking = inner.callerOf(request);
    const { action, alone } = request.routeOptions.config;
    if (asking !== undefined && alone) throw new AppError("invalid_argument", "cannot be a part of another request");
    request.caller = asking ?? (await callers.identify(request.raw, { transport: "api" }));
    if (action !== "own") await requireAction(request, action!, { policy, refuse });
  });
}

/** For what only some callers of a route may. */
export async function mayDo(policy: Policy, request: FastifyRequest, action: AdminAction): Promise<boolean> {
  return (await rule(policy, request, action)).decision.allow;
}

/** @throws {AppError} `permission_denied`, and writes it down */
export async function requireAction(
  request: FastifyRequest,
  action: AdminAction,
  { policy, refuse }: { policy: Policy; refuse: Refuse },
): Promise<void> {
  const { decision, stepUp } = await rule(policy, request, action);
  if (decision.allow) return;
  const { principal, address } = request.caller!;
  const { id, tenant, team } = principal;
  const { reason } = decision;
  refuse({ principal: id, tenant, team, client: "", address, decision, code: "denied", reason, method: action });
  const details = { action, ...(stepUp === undefined ? {} : { stepUp }) };
  throw new AppError("permission_denied", `${id} may not ${action}: ${reason}`, { details });
}

/**
 * Whether the caller may still do it, and as who: for answers that last. Its credentials are looked at anew.
 * @throws {AppError} unauthenticated; unavailable
 */
export async function ruleAnew(
  policy: Policy,
  caller: Caller,
  action: AdminAction,
): Promise<{ principal: Principal; ruling: Ruling }> {
  const { principal, rulings } = await decide(policy, { ...caller, revision: -1 }, action, {
    subjects: [INSTALLATION],
  });
  return { principal, ruling: rulings[0]! };
}

async function rule(policy: Policy, { caller }: FastifyRequest, action: AdminAction): Promise<Ruling> {
  const { rulings } = await decide(policy, caller!, action, { subjects: [INSTALLATION] });
  return rulings[0]!;
}

/** The permission `admin` is for all tenants; what a policy allows beside it ends at one's own. */
export function isOfTenant({ tenant, permissions }: Principal, wanted: string): boolean {
  return tenant === wanted || permissions.includes("admin");
}

/**
 * Whose records are shown to one who has asked for those of this tenant, or of all where it is empty; the answer may be
 * empty as well.
 * @throws {AppError} permission_denied
 */
export function tenantShown({ caller }: Pick<FastifyRequest, "caller">, wanted: string): string {
  const { principal } = caller!;
  if (isOfTenant(principal, wanted)) return wanted;
  if (wanted === "") return principal.tenant;
  throw new AppError("permission_denied", `${principal.id} may see the records of its own tenant only`);
}
