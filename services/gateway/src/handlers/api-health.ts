import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { requestHealth } from "@tollgate/bus";
import type { ServerHealth } from "@tollgate/contracts";
import { callUnary } from "@tollgate/service";
import type { Server } from "../domain/catalogue.ts";
import { stateOf, totalsOf } from "../domain/server-health.ts";
import * as schema from "./api-health-schemas.ts";
import { actorOf, type ApiOptions, checkBus, serverOf, TIMEOUT_MS } from "./api-options.ts";
import { idParam } from "./api-schemas.ts";

/** How long runners have to answer; those that are busy for longer are left out. */
const HEALTH_WAIT_MS = 300;

/** How a server is now, as its runners say, and its restart. */
export function registerHealth(app: FastifyInstance, options: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const { registry, clients, metadata } = options;
  const tags = ["health"];
  const params = idParam;
  api.get(
    "/api/v1/servers/:id/health",
    {
      config: { action: "admin/servers/read" },
      schema: {
        tags,
        summary: "How a server is now",
        description: "Its state, and that of its processes in each runner. Times are Unix milliseconds.",
        params,
        response: { 200: schema.health },
      },
    },
    async (request) => {
      const server = serverOf(registry, request.params.id);
      const { id, status, reason, enabled, generation } = server.info;
      const { runners, note } = await askRunners(server, options);
      const state = enabled ? (stateOf(runners) ?? ("unknown" as const)) : ("disabled" as const);
      return { server: id, status, reason, state, generation: Number(generation), runners, note };
    },
  );
  api.get(
    "/api/v1/servers/:id/metrics",
    {
      config: { action: "admin/servers/read" },
      schema: {
        tags,
        summary: "A server's figures",
        description: "Over all runners, since they have the server. Prometheus finds them at each service's /metrics.",
        params,
        response: { 200: schema.metrics },
      },
    },
    async (request) => {
      const server = serverOf(registry, request.params.id);
      const { runners, note } = await askRunners(server, options);
      const latencies = runners.map(({ runner, calls }) => ({ runner, durationMs: calls.durationMs }));
      return { server: server.info.id, ...totalsOf(runners), runners: latencies, note };
    },
  );
  api.post(
    "/api/v1/servers/:id/restart",
    {
      config: { action: "admin/servers/write" },
      schema: {
        tags,
        summary: "Restart a server",
        description: "Its processes are replaced one after the other, new ones first: no call fails.",
        params,
        response: { 202: schema.restarted },
      },
    },
    async (request, reply) => {
      const asked = { serverId: request.params.id, actor: actorOf(request), address: request.caller!.address };
      const client = clients.registry;
      const unary = { metadata, timeoutMs: TIMEOUT_MS, service: "registry" };
      const { generation } = await callUnary(client.restartServer.bind(client), asked, unary);
      return reply.code(202).send({ server: asked.serverId, generation: Number(generation) });
    },
  );
}

async function askRunners(
  { info: { id, group, enabled } }: Server,
  { bus, log }: ApiOptions,
): Promise<{ runners: ServerHealth[]; note?: string }> {
  if (!enabled) return { runners: [], note: "the server is disabled: no runner has it" };
  checkBus(bus);
  const answers = await requestHealth(bus, { group, server: id, waitMs: HEALTH_WAIT_MS });
  const runners = answers.filter((answer) => {
    const known = schema.isServerHealth(answer);
    if (!known) log.warn({ server: id }, "a runner tells a server's health in a way that is not known here");
    return known;
  });
  if (runners.length === 0) return { runners, note: `no runner of the group "${group}" has answered for it` };
  return { runners: runners.toSorted((a, b) => a.runner.localeCompare(b.runner)) };
}
