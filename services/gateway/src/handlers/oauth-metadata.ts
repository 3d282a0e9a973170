import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { type ProtectedResource, resourceMetadata, routeOf, WELL_KNOWN } from "../domain/protected-resource.ts";

const MAX_AGE_SECONDS = 60;

/**
 * Where a client that has no token yet learns who gives it one (RFC 9728). Open to everybody, pages of other sites too:
 * it says nothing that depends on who asks.
 */
export function registerOauthMetadata(app: FastifyInstance, resource: ProtectedResource): void {
  function answer(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const path = request.url.split("?")[0]!;
    const metadata = resourceMetadata(resource, routeOf(resource, path));
    void reply.header("access-control-allow-origin", "*");
    if (metadata === undefined) return reply.code(404).send({ error: "not_found" });
    return reply.header("cache-control", `public, max-age=${MAX_AGE_SECONDS}`).send(metadata);
  }
  for (const url of [WELL_KNOWN, `${WELL_KNOWN}/*`]) {
    app.get(url, answer);
    // Clients in browsers send MCP-Protocol-Version along, for which browsers ask beforehand.
    app.options(url, (_request, reply) =>
      reply
        .headers({
          "access-control-allow-origin": "*",
          "access-control-allow-methods": "GET",
          "access-control-allow-headers": "*",
          "access-control-max-age": String(MAX_AGE_SECONDS),
        })
        .code(204)
        .send(),
    );
  }
}
