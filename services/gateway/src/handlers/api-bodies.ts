import type { FastifyInstance } from "fastify";
import { parseJson } from "@tollgate/mcp";

/** As fastify reads them, which refuses `__proto__`, but for keys with escapes: some writers escape all that is not ASCII. */
export function readBodies(api: FastifyInstance): void {
  const check = api.getDefaultJsonParser("error", "error");
  api.addContentTypeParser("application/json", { parseAs: "string" }, (request, body: string, done) => {
    void check(request, body, (error) => (error ? done(error) : done(null, parseJson(body))));
  });
}
