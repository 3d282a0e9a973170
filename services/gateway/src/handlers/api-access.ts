import { AppError } from "@tollgate/errors";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { AdminAction } from "../domain/admin-actions.ts";
import type { Callers } from "./callers.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /**
     * What a route of the management API does, as policies name it; `own`: every known caller may, and the handler shows
     * it nothing but its own.
     */
    action?: AdminAction | "own";
  }
}

/** Nobody gets at a route of the API without being known, and allowed what the route says that it does. */
export function guardApi(api: FastifyInstance, { callers }: { callers: Callers }): void {
  api.addHook("onRoute", ({ method, url, config }) => {
    if (config?.action === undefined) throw new Error(`the route ${String(method)} ${url} does not say its action`);
  });
  api.addHook("onRequest", async (request) => {
    request.caller = await callers.identify(request.raw, { transport: "api" });
    const { action } = request.routeOptions.config;
    if (action !== "own") requireAdmin(request, action!);
  });
}

/** For what only some callers of a route may. */
export function mayDo({ caller }: FastifyRequest, _action: AdminAction): Promise<boolean> {
  return Promise.resolve(caller!.principal.permissions.includes("admin"));
}

function requireAdmin({ caller }: FastifyRequest, action: AdminAction): void {
  const { id, permissions } = caller!.principal;
  if (permissions.includes("admin")) return;
  throw new AppError("permission_denied", `${id} lacks the permission "admin"`, { details: { action } });
}
