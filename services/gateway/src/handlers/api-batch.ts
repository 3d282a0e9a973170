import { AppError } from "@tollgate/errors";
import { parseJson } from "@tollgate/mcp";
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import type { InnerAnswer, InnerRequests } from "./api-inner.ts";

const REQUESTS_MAX = 100;
/** Of all answers' bodies together: those that do not fit are left out. */
const BODIES_MAX_BYTES = 8 * 1024 * 1024;
const PATH_MAX_CHARS = 8_192;
const ID_MAX_CHARS = 128;
const HEADER_MAX_CHARS = 1_024;

const header = z.string().max(HEADER_MAX_CHARS).optional();
const asked = z.strictObject({
  id: z
    .string()
    .max(ID_MAX_CHARS)
    .optional()
    .meta({ description: "Comes back with the answer; else its place, from 0" }),
  method: z.enum(["GET", "POST", "PUT", "PATCH", "DELETE"]),
  path: z
    .string()
    .max(PATH_MAX_CHARS)
    .regex(/^\/api\/v1\/[\x21-\x7e]*$/, "has to be a path of this API: /api/v1/…")
    .meta({ description: "With its query" }),
  headers: z
    .strictObject({ "if-match": header, "if-none-match": header, "idempotency-key": header, accept: header })
    .optional(),
  body: z.unknown().optional(),
});
const body = z
  .strictObject({
    requests: z.array(asked).min(1).max(REQUESTS_MAX),
    stopOnError: z
      .boolean()
      .default(false)
      .meta({ description: "The requests after the first that is refused or fails are not made, and have no answer" }),
  })
  .meta({
    examples: [
      {
        requests: [
          { id: "role", method: "PUT", path: "/api/v1/roles/reviewer", body: { description: "Reads" } },
          { method: "GET", path: "/api/v1/roles?limit=10" },
        ],
        stopOnError: true,
      },
    ],
  });
const answers = z.object({
  items: z.array(
    z.object({
      id: z.string(),
      status: z
        .number()
        .int()
        .meta({ examples: [200] }),
      headers: z.record(z.string(), z.string()).meta({ examples: [{ "content-type": "application/json" }] }),
      body: z.unknown().meta({ description: "JSON, or a text; null where there is none", examples: [{}] }),
      bodyOmitted: z.boolean().meta({ description: "It would have been too much for one answer" }),
    }),
  ),
});

/** Several requests in one, made one after the other: each is decided, and recorded, by itself. No transaction. */
export function registerBatch(app: FastifyInstance, inner: InnerRequests): void {
  app.withTypeProvider<ZodTypeProvider>().post(
    "/api/v1/batch",
    {
      config: { action: "own", alone: true },
      schema: {
        tags: ["combined"],
        operationId: "batch",
        summary: "Several requests in one",
        description:
          "Made one after the other, each as if it had been sent alone; what was done stays done when a later one fails. Not for answers that are streamed.",
        body,
        response: { 200: answers },
      },
    },
    async (request, reply) => {
      const { requests, stopOnError } = request.body;
      const items: z.infer<typeof answers>["items"] = [];
      let bytes = 0;
      for (const [at, { id = String(at), path, headers = {}, ...rest }] of requests.entries()) {
        // Nobody would hear of what is done from here on.
        if (reply.raw.destroyed) break;
        const given = Object.entries(headers).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]));
        const answer = await inner.send(request.caller!, {
          ...rest,
          path: pathOf(path),
          headers: Object.fromEntries(given) as Record<string, string>,
        });
        bytes += Buffer.byteLength(answer.text);
        const bodyOmitted = bytes > BODIES_MAX_BYTES;
        items.push({
          id,
          status: answer.status,
          headers: answer.headers,
          body: bodyOmitted ? null : bodyOf(answer),
          bodyOmitted,
        });
        if (stopOnError && answer.status >= 400) break;
      }
      return { items };
    },
  );
}

/** With its dots resolved, as the router will see it. @throws {AppError} invalid_argument */
function pathOf(path: string): string {
  const { pathname, search } = new URL(path, "http://localhost");
  if (pathname.startsWith("/api/v1/")) return pathname + search;
  throw new AppError("invalid_argument", `${path} is not a path of this API`);
}

function bodyOf({ headers, text }: InnerAnswer): unknown {
  if (text === "") return null;
  return /json($|;)/.test(headers["content-type"] ?? "") ? parseJson(text) : text;
}
