import { addAbortSignal, type Readable } from "node:stream";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { AppError, httpStatus } from "@tollgate/errors";
import { eraOf, parseFrame, RPC } from "@tollgate/mcp";
import type { Log } from "@tollgate/service";
import type { Policy, Principal } from "../clients/policy.ts";
import type { Registry } from "../clients/registry.ts";
import { checkScope, type Scope } from "../domain/catalogue.ts";
import { bearerToken, checkLegacyAccept, isOriginAllowed, type Refusal } from "../domain/http-checks.ts";
import { openResponse, refuse } from "./call-response.ts";
import type { Calls } from "./calls.ts";
import type { Mcp } from "./mcp.ts";
import { toRefusal } from "./mcp-exchange.ts";
import type { Refuse } from "./refusals.ts";

const DRAIN_MAX_BYTES = 64 * 1024 * 1024;
const DRAIN_TIMEOUT_MS = 5_000;
const ROUTES = ["/mcp", "/mcp/:group", "/mcp/:group/:server"] as const;

type HttpError = Error & { statusCode?: number };

interface Caller {
  readonly principal: Principal;
  readonly revision: number;
  readonly authenticate: () => Principal | Promise<Principal>;
}

declare module "fastify" {
  interface FastifyRequest {
    /** Set once the request's token has been resolved. */
    caller: Caller | null;
  }
}

export interface McpHttpOptions {
  readonly mcp: Mcp;
  readonly calls: Calls;
  readonly refuse: Refuse;
  readonly policy: Policy;
  readonly registry: Registry;
  readonly allowedOrigins: readonly string[];
  readonly bodyMaxBytes: number;
  readonly log: Log;
}

/** Streamable HTTP for MCP: one POST per message; the answer is JSON, or an event stream once a second message comes. */
export async function registerMcp(app: FastifyInstance, options: McpHttpOptions): Promise<void> {
  await app.register((scope, _options, done) => {
    // The body stays text: it is parsed once, and forwarded as it came.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser(
      "application/json",
      { parseAs: "string", bodyLimit: options.bodyMaxBytes },
      (_request, body, parsed) => parsed(null, body),
    );
    scope.addHook("onRequest", (request) => authenticate(request, options));
    scope.setErrorHandler(async (error: HttpError, request, reply) => {
      if (error.statusCode === 413) await drain(request.raw);
      const refusal = refusalOf(error, request, options);
      // No request of JSON-RPC is known yet: the HTTP status is what the client has.
      return refuse(reply, null, error instanceof AppError ? { ...refusal, status: httpStatus(error.code) } : refusal);
    });
    for (const url of ROUTES) {
      scope.post(url, (request, reply) => post(request, reply, options));
      scope.delete(url, (request, reply) => endSession(request, reply, options));
      // A client may ask for a stream before it has a session: it is told at once, never left to wait.
      scope.get(url, (_request, reply) => refuse(reply.header("allow", "POST, DELETE"), null, NO_STREAM));
    }
    done();
  });
}

async function authenticate(request: FastifyRequest, { policy, allowedOrigins }: McpHttpOptions): Promise<void> {
  const { origin, authorization } = request.headers;
  if (!isOriginAllowed(origin, allowedOrigins))
    throw new AppError("permission_denied", `the origin ${origin} may not call this gateway`);
  const token = bearerToken(authorization);
  const { revision } = policy;
  const resolved = policy.authenticate(token);
  const principal = resolved instanceof Promise ? await resolved : resolved;
  if (!principal.permissions.includes("mcp"))
    throw new AppError("permission_denied", `token ${principal.id} lacks the permission "mcp"`);
  request.caller = { principal, revision, authenticate: () => policy.authenticate(token) };
}

async function post(request: FastifyRequest, reply: FastifyReply, options: McpHttpOptions): Promise<FastifyReply> {
  const { mcp, calls, registry, log } = options;
  const scope = scopeOf(request);
  const astray = checkScope(registry.catalogue, scope);
  if (astray !== undefined) return refuse(reply, null, { status: 404, code: RPC.invalidParams, message: astray });
  const text = typeof request.body === "string" ? request.body : "";
  const parsed = parseFrame(text);
  if (!parsed.ok) return refuse(reply, parsed.id, { status: 400, code: parsed.code, message: parsed.reason });
  const { frame } = parsed;
  if (frame.kind === "request" && eraOf(frame.params) === "legacy") {
    const notAccepted = checkLegacyAccept(request.headers);
    if (notAccepted) return refuse(reply, frame.id, notAccepted);
  }
  const response = openResponse(request, reply, log);
  try {
    const context = { ...request.caller!, scope, headers: request.headers, bytes: Buffer.byteLength(text) };
    const answer = await mcp.handle(frame, context, (call) => response.sinkFor(call));
    if (answer.kind === "call") response.cancelOnClose(answer, () => calls.cancel(answer.callId));
    else response.answer(answer);
  } catch (error) {
    refuse(reply, frame.kind === "request" ? frame.id : null, refusalOf(error as Error, request, options));
  }
  // Answered by now, or later when the call's answer comes.
  return reply;
}

async function endSession(
  request: FastifyRequest,
  reply: FastifyReply,
  { mcp }: McpHttpOptions,
): Promise<FastifyReply> {
  const id = request.headers["mcp-session-id"];
  const refusal = (status: number, message: string) =>
    refuse(reply, null, { status, code: RPC.invalidRequest, message });
  if (typeof id !== "string") return refusal(400, "DELETE needs the header Mcp-Session-Id");
  if (await mcp.endSession(id, request.caller!.principal)) return reply.code(200).send();
  return refusal(404, "the session is not known or has ended");
}

function refusalOf(error: HttpError, request: FastifyRequest, options: McpHttpOptions): Refusal {
  const { bodyMaxBytes, log } = options;
  if (error instanceof AppError) {
    if (error.code === "internal") log.error({ err: error }, "request failed");
    if (error.code === "unauthenticated")
      options.refuse({ tenant: "unknown", code: "unauthenticated", reason: error.message, method: "" });
    return toRefusal(error);
  }
  const status = error.statusCode ?? 500;
  if (status === 413)
    return { status, code: RPC.invalidRequest, message: `the body is larger than ${bodyMaxBytes} bytes` };
  if (status === 415) return { status, code: RPC.invalidRequest, message: "Content-Type has to be application/json" };
  if (status < 500) return { status, code: RPC.invalidRequest, message: error.message };
  log.error({ err: error, url: request.url }, "request failed");
  return { ...toRefusal(error), status: 500 };
}

const NO_STREAM: Refusal = {
  status: 405,
  code: RPC.methodNotFound,
  message: "this endpoint offers no stream of its own; send messages with POST",
};

function scopeOf(request: FastifyRequest): Scope {
  const { group, server } = request.params as { group?: string; server?: string };
  return { group, server };
}

/**
 * Reads the rest of a body that is too large, within bounds: a connection that is closed while its client still writes
 * breaks before the client has read why.
 */
async function drain(body: Readable): Promise<void> {
  const signal = AbortSignal.timeout(DRAIN_TIMEOUT_MS);
  let bytes = 0;
  try {
    for await (const chunk of addAbortSignal(signal, body)) {
      bytes += (chunk as Buffer).length;
      if (bytes > DRAIN_MAX_BYTES) return;
    }
  } catch {
    // Too slow, or gone: the answer goes out all the same.
  }
}
