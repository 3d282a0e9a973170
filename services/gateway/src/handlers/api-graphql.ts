import { AppError, type Problem } from "@tollgate/errors";
import { parseJson } from "@tollgate/mcp";
import { fastify, type FastifyInstance, type FastifyRequest } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import type { GraphQLError as QueryError } from "graphql";
import { z } from "zod";
import { answerOf, type GraphqlField, toGraphql } from "../domain/graphql-schema.ts";
import type { OpenApiDocument } from "../domain/openapi-document.ts";
import type { InnerRequests } from "./api-inner.ts";
import type { Caller } from "./callers.ts";

const QUERY_MAX_CHARS = 32_768;
const BODY_MAX_BYTES = 128 * 1024;
const NAME_MAX_CHARS = 128;
/** What tools ask of the schema itself goes this deep. */
const DEPTH_MAX = 16;
const PARSING = { maxLexicalTokens: 2_000 };
/** Of one query, by how many reads of the API its fields are answered. */
const READS_MAX = 50;
const EXAMPLE = "{ listPolicies(limit: 5) { items { id effect } nextCursor } }";

const query = z
  .string()
  .min(1)
  .max(QUERY_MAX_CHARS)
  .meta({ examples: [EXAMPLE] });
const operationName = z.string().max(NAME_MAX_CHARS).nullish();
const body = z
  .strictObject({
    query,
    operationName,
    variables: z.record(z.string(), z.unknown()).nullish(),
    extensions: z.record(z.string(), z.unknown()).nullish(),
  })
  .meta({ examples: [{ query: EXAMPLE }] });
const querystring = z.strictObject({
  query,
  operationName: operationName.unwrap().unwrap().optional(),
  variables: z.string().max(QUERY_MAX_CHARS).optional().meta({ description: "JSON" }),
});
const answer = z.object({
  data: z
    .record(z.string(), z.unknown())
    .nullable()
    .meta({ examples: [{ listPolicies: { items: [], nextCursor: null } }] }),
  errors: z.array(z.record(z.string(), z.unknown())).optional(),
});

type Mistake = Pick<QueryError, "message"> & Partial<Pick<QueryError, "locations" | "path" | "extensions">>;

/** What arguments and the members that stand for them are. */
type Values = Readonly<Record<string, string | number | boolean | null | undefined>>;

interface Context {
  readonly caller: Caller;
  reads: number;
}

/**
 * The same reads as GraphQL: each field is answered by its route, for the caller, so what may be read, what is recorded
 * and what is bounded is the same. The engine is loaded with the first query.
 */
export function registerGraphql(app: FastifyInstance, inner: InnerRequests): void {
  const api = app.withTypeProvider<ZodTypeProvider>();
  let engine: ReturnType<typeof openEngine> | undefined;
  app.addHook("onClose", async () => engine?.then(({ app: opened }) => opened.close()));
  const shared = { config: { action: "own", alone: true, reads: true }, bodyLimit: BODY_MAX_BYTES } as const;
  const described = {
    tags: ["combined"],
    summary: "Reads, as GraphQL",
    description: `Each read of this API is a field of Query, by the name of its operation. At most ${READS_MAX} of them in a query, and ${DEPTH_MAX} levels; a field that is refused is null, and an error has its problem.`,
    response: { 200: answer },
  };

  async function execute(request: FastifyRequest, asked: z.infer<typeof body>): Promise<z.infer<typeof answer>> {
    const {
      app: opened,
      parse,
      GraphQLError,
    } = await (engine ??= openEngine(app.swagger() as unknown as OpenApiDocument, inner));
    const context: Context = { caller: request.caller!, reads: 0 };
    try {
      // Mercurius takes JSON for a parsed query: nothing gets there that was not parsed here.
      parse(asked.query, PARSING);
      const { data, errors } = await opened.graphql(
        asked.query,
        context,
        asked.variables ?? {},
        asked.operationName ?? undefined,
      );
      return { data: data ?? null, ...(errors === undefined ? {} : { errors: errors.map(toShown) }) };
    } catch (error) {
      const mistakes = error instanceof GraphQLError ? [error] : (error as { errors?: readonly Mistake[] }).errors;
      if (mistakes === undefined) throw error;
      // Of the query itself.
      return { data: null, errors: mistakes.map(toShown) };
    }
  }

  api.post("/api/v1/graphql", { ...shared, schema: { ...described, operationId: "queryGraphql", body } }, (request) =>
    execute(request, request.body),
  );
  api.get(
    "/api/v1/graphql",
    { ...shared, schema: { ...described, operationId: "getGraphql", querystring } },
    (request) => {
      const { variables, ...rest } = request.query;
      return execute(request, { ...rest, ...(variables === undefined ? {} : { variables: variablesOf(variables) }) });
    },
  );
}

function variablesOf(text: string): Record<string, unknown> {
  try {
    return z.record(z.string(), z.unknown()).parse(JSON.parse(text));
  } catch {
    throw new AppError("invalid_argument", "variables: has to be a JSON object");
  }
}

/** As the GraphQL specification has it, section 7.1.2. */
function toShown({ message, locations, path, extensions }: Mistake): Record<string, unknown> {
  const where = { ...(locations === undefined ? {} : { locations }), ...(path === undefined ? {} : { path }) };
  return { message, ...where, extensions: { code: "invalid_argument", ...extensions } };
}

async function openEngine(document: OpenApiDocument, inner: InnerRequests) {
  const [{ default: mercurius }, { parse, GraphQLError }] = await Promise.all([import("mercurius"), import("graphql")]);
  const { sdl, fields } = toGraphql(document, (operation, path) => {
    const isAlone = operation.operationId === "getGraphql";
    return path.startsWith("/api/v1/") && !isAlone && answerOf(operation) !== undefined;
  });
  const resolvers: Record<string, Record<string, unknown>> = {};
  for (const field of fields)
    (resolvers[field.type] ??= {})[field.field] = (parent: Values | undefined, given: Values, context: unknown) =>
      read(field, { parent, given }, { context: context as Context, inner });
  const engine = fastify();
  await engine.register(mercurius, {
    schema: sdl,
    resolvers: resolvers as never,
    routes: false,
    queryDepth: DEPTH_MAX,
    graphql: { parseOptions: PARSING },
  });
  await engine.ready();
  return { app: engine, parse, GraphQLError };
}

async function read(
  { path, fromParent }: GraphqlField,
  asked: { parent: Values | undefined; given: Values },
  { context, inner }: { context: Context; inner: InnerRequests },
): Promise<unknown> {
  context.reads += 1;
  if (context.reads > READS_MAX) throw failure("payload_too_large", `a query has at most ${READS_MAX} reads`);
  const values = new Map(Object.entries(asked.given));
  for (const [parameter, member] of Object.entries(fromParent)) values.set(parameter, asked.parent?.[member]);
  const at = path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = String(values.get(name));
    values.delete(name);
    return encodeURIComponent(value.toWellFormed());
  });
  const search = new URLSearchParams();
  for (const [name, value] of values) if (value !== undefined && value !== null) search.set(name, String(value));
  const { status, text } = await inner.send(context.caller, { method: "GET", path: `${at}?${search.toString()}` });
  if (status < 400) return parseJson(text);
  const { code, detail, ...problem } = JSON.parse(text) as Problem;
  throw failure(code, detail, problem);
}

/** GraphQL takes an error's extensions from whatever is thrown. */
function failure(code: string, detail: string, problem: object = {}): Error {
  return Object.assign(new Error(detail), { extensions: { ...problem, code } });
}
