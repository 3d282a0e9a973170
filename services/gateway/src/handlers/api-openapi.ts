import swagger from "@fastify/swagger";
import type { FastifyInstance } from "fastify";
import { createJsonSchemaTransform } from "fastify-type-provider-zod";
import { z } from "zod";
import { completeDocument, type OpenApiDocument } from "../domain/openapi-document.ts";

const DESCRIPTION = `What administrators and their tools use of Tollgate. Errors are problem details (RFC 9457) with stable codes. Lists take \`limit\`, \`cursor\` and, where they are at hand as a whole, \`sort\` and \`q\`. Changes take \`If-Match\` and \`Idempotency-Key\`. The gateway's README says more.`;

const TAGS: Readonly<Record<string, string>> = {
  catalogue: "Groups, servers, tool sets, search over tools",
  tools: "Servers' tools: versions, decisions on them, what could mislead in them",
  state: "Documents like tollgate.yaml, and where the file is not what is in force",
  tenants: "Tenants with plans of their own",
  health: "How servers are now, and their restart",
  approvals: "Calls that people approve of first",
  policies: "Who may do what; tests of it",
  tokens: "Secrets with which callers come in",
  principals: "Agents and users",
  roles: "What is kept of roles",
  limits: "How much may be called",
  audit: "The record, its proofs, exports and retention",
  metering: "Usage, prices and cost",
  combined: "Several requests in one, and reads as GraphQL",
  "dead letters": "What could not be processed",
  secrets: "What servers need and nobody sees",
  sessions: "Sessions of MCP clients",
};

/** Describes every route that is registered after it. The document is whole once the gateway is ready. */
export async function registerOpenApi(api: FastifyInstance): Promise<void> {
  await api.register(swagger, {
    // Unions keep all their options, and schemas their examples, also where what is sent is read into something else.
    transform: createJsonSchemaTransform({
      zodToJsonConfig: {
        override({ zodSchema, jsonSchema }) {
          const examples = z.globalRegistry.get(zodSchema)?.["examples"];
          if (Array.isArray(examples)) jsonSchema.examples = examples;
        },
      },
    }),
    transformObject: (document) => {
      if (!("openapiObject" in document)) throw new Error("the document is to be one of OpenAPI 3.1");
      completeDocument(document.openapiObject as OpenApiDocument);
      return document.openapiObject;
    },
    stripBasePath: false,
    openapi: {
      openapi: "3.1.0",
      info: { title: "Tollgate management API", version: "1", description: DESCRIPTION },
      servers: [{ url: "/", description: "The gateway that this document is from" }],
      tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
      components: {
        securitySchemes: {
          bearer: {
            type: "http",
            scheme: "bearer",
            description: "A token with the permission admin, or one that policies allow the action",
          },
        },
      },
      security: [{ bearer: [] }],
    },
  });
  let text: string | undefined;
  api.get("/api/v1/openapi.json", { schema: { hide: true } }, (_request, reply) =>
    reply.type("application/json; charset=utf-8").send((text ??= JSON.stringify(api.swagger()))),
  );
}
