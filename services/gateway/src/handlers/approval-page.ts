import { readFile } from "node:fs/promises";
import { isCallId } from "@tollgate/contracts";
import { AppError, toProblem } from "@tollgate/errors";
import type { FastifyInstance, FastifyReply } from "fastify";

const FILES = { "approval.js": "text/javascript", "approval.css": "text/css" } as const;
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/**
 * `GET /approvals/{id}`, for people. The page itself says nothing of any approval: it asks the API, with the token that
 * its user gives it.
 */
export async function registerApprovalPage(app: FastifyInstance): Promise<void> {
  const read = (name: string) => readFile(new URL(`../../page/${name}`, import.meta.url), "utf8");
  const page = await read("approval.html");
  app.get<{ Params: { id: string } }>("/approvals/:id", (request, reply) => {
    if (isCallId(request.params.id)) return send(reply, "text/html", page);
    const problem = toProblem(new AppError("not_found", "there is no such page"));
    return reply.code(404).type("application/problem+json").send(JSON.stringify(problem));
  });
  for (const [name, type] of Object.entries(FILES)) {
    const text = await read(name);
    app.get(`/approvals/${name}`, (_request, reply) => send(reply, type, text));
  }
}

function send(reply: FastifyReply, type: string, text: string): FastifyReply {
  return reply
    .headers({
      "content-security-policy": POLICY,
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "cache-control": "no-store",
    })
    .type(`${type}; charset=utf-8`)
    .send(text);
}
