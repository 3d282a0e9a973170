import swagger from "@fastify/swagger";
import { fastify, type FastifyInstance } from "fastify";

const PREFIX = "/api/docs";

/** Its own scripts and styles, and what it asks for is of this gateway: nothing comes from elsewhere. */
const POLICY = {
  "default-src": ["'none'"],
  "script-src": ["'self'"],
  // Swagger UI sets styles of elements.
  "style-src": ["'self'", "'unsafe-inline'"],
  "img-src": ["'self'", "data:"],
  "connect-src": ["'self'"],
  "base-uri": ["'none'"],
  "form-action": ["'none'"],
  "frame-ancestors": ["'none'"],
};

/**
 * The reference of the management API, for people. The page is put together when it is asked for first: a gateway's start
 * does not wait for what is seldom read.
 */
export function registerDocs(api: FastifyInstance): void {
  let pages: Promise<FastifyInstance> | undefined;
  api.addHook("onClose", async () => pages?.then((opened) => opened.close()));
  for (const url of [PREFIX, `${PREFIX}/*`])
    api.get(url, { schema: { hide: true } }, async (request, reply) => {
      const opened = await (pages ??= openPages(api.swagger()));
      reply.hijack();
      opened.routing(request.raw, reply.raw);
    });
}

async function openPages(document: ReturnType<FastifyInstance["swagger"]>): Promise<FastifyInstance> {
  const { default: swaggerUi } = await import("@fastify/swagger-ui");
  const pages = fastify();
  // Its types know documents of OpenAPI 3.0 only.
  await pages.register(swagger, { mode: "static", specification: { document: document as never } });
  // Its types know documents of OpenAPI 3.0 only.
  await pages.register(swaggerUi, {
    routePrefix: PREFIX,
    staticCSP: POLICY,
    theme: { title: "Tollgate management API" },
    uiConfig: { docExpansion: "none", displayOperationId: true, filter: true, persistAuthorization: false },
  });
  await pages.ready();
  return pages;
}
