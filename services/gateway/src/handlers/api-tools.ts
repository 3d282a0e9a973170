import { AppError } from "@tollgate/errors";
import { callUnary } from "@tollgate/service";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { tagged } from "./api-etags.ts";
import { actorOf, type ApiOptions, serverOf, TIMEOUT_MS } from "./api-options.ts";
import { pageOf } from "./api-pages.ts";
import * as schema from "./api-tools-schemas.ts";

const tags = ["tools"];
const PATH = "/api/v1/servers/:id/tools";

/** The tools of a server, the versions of their definitions, and what people decide on them. */
export function registerTools(app: FastifyInstance, options: ApiOptions): void {
  registerReading(app, options);
  registerDecisions(app, options);
  registerRegistration(app, options);
}

function registerReading(app: FastifyInstance, options: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const config = { action: "admin/servers/read" } as const;
  const { registry } = options;
  const toolsOf = (id: string) => {
    const { items, withheld } = serverOf(registry, id);
    return [...items.tool.values(), ...withheld.values()].map(schema.toTool);
  };
  api.get(
    PATH,
    {
      config,
      schema: {
        tags,
        summary: "A server's tools, also those that are withheld",
        params: schema.serverParam,
        querystring: schema.toolQuery,
        response: { 200: schema.tools },
      },
    },
    (request) => {
      const { hold, certification, risk } = request.query;
      const found = toolsOf(request.params.id).filter(
        (tool) =>
          (hold === undefined || tool.hold === hold) &&
          (certification === undefined || tool.certification === certification) &&
          (risk === undefined || tool.risk === risk),
      );
      return pageOf(found, { ...request.query, keyOf: ({ name }) => name });
    },
  );
  api.get(
    `${PATH}/:tid`,
    {
      config,
      schema: { tags, summary: "One tool", params: schema.toolParams, response: { 200: schema.shownTool } },
    },
    (request, reply) => {
      const { id, tid } = request.params;
      const found = toolsOf(id).find(({ name }) => name === tid);
      if (found === undefined) throw new AppError("not_found", `server "${id}" has no tool "${tid}"`);
      return tagged(reply, found);
    },
  );
  api.get(
    `${PATH}/:tid/versions`,
    {
      config,
      schema: {
        tags,
        summary: "The versions of a tool's definition",
        description: "Those that are kept: the newest 100, and what is served, reported or approved.",
        params: schema.toolParams,
        querystring: schema.versionQuery,
        response: { 200: schema.versions },
      },
    },
    async (request) => {
      const { id: serverId, tid: tool } = request.params;
      const client = options.clients.tools;
      const answer = await callUnary(client.listToolVersions.bind(client), { serverId, tool }, unaryOf(options));
      const keyOf = ({ version }: { version: number }) => String(version).padStart(10, "0");
      return pageOf(answer.versions.map(schema.toVersion), { ...request.query, keyOf });
    },
  );
}

function registerDecisions(app: FastifyInstance, options: ApiOptions): void {
  const client = options.clients.tools;
  app.withTypeProvider<ZodTypeProvider>().post(
    `${PATH}/:tid/decisions`,
    {
      config: { action: "admin/tools/decide" },
      schema: {
        tags,
        summary: "Decide on a version of a tool: submit, approve, reject or retire it",
        description:
          "draft → submitted → approved → retired. Approving serves it, retires what was served before, and takes its findings as they are; it names the version that was looked at. What is rejected is a draft again, and stays held.",
        params: schema.toolParams,
        body: schema.decision,
        response: { 200: schema.shownVersion },
      },
    },
    async (request) => {
      const { id: serverId, tid: tool } = request.params;
      const { decision, version = 0, comment } = request.body;
      const asked = { serverId, tool, decision, version, comment, ...authorOf(request) };
      const answer = await callUnary(client.decideTool.bind(client), asked, unaryOf(options));
      return schema.toVersion(answer.version!);
    },
  );
}

function registerRegistration(app: FastifyInstance, options: ApiOptions): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  const config = { action: "admin/servers/write" } as const;
  const client = options.clients.tools;
  api.post(
    PATH,
    {
      config,
      schema: {
        tags,
        summary: "Register a tool: an operation of a connector, or one that was removed",
        params: schema.serverParam,
        body: schema.registration,
        response: { 201: schema.registered },
      },
    },
    async (request, reply) => {
      const { id: serverId } = request.params;
      const asked = { serverId, tool: JSON.stringify(request.body), ...authorOf(request) };
      const { tool } = await callUnary(client.registerTool.bind(client), asked, unaryOf(options));
      const { tool: name, version, certification, hold, reason } = tool!;
      const path = `/api/v1/servers/${encodeURIComponent(serverId)}/tools/${encodeURIComponent(name)}`;
      return reply.code(201).header("location", path).send({ name, version, certification, hold, reason });
    },
  );
  api.delete(
    `${PATH}/:tid`,
    {
      config,
      schema: {
        tags,
        summary: "Remove a tool: nobody is offered it until it is registered again",
        params: schema.toolParams,
        response: { 204: z.null() },
      },
    },
    async (request, reply) => {
      const { id: serverId, tid: tool } = request.params;
      await callUnary(client.removeTool.bind(client), { serverId, tool, ...authorOf(request) }, unaryOf(options));
      void reply.code(204);
      return null;
    },
  );
}

function unaryOf({ metadata }: ApiOptions) {
  return { metadata, timeoutMs: TIMEOUT_MS, service: "registry" };
}

function authorOf(request: FastifyRequest): { actor: string; address: string } {
  return { actor: actorOf(request), address: request.caller!.address };
}
