import { addAbortSignal, type Readable } from "node:stream";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { AppError } from "@tollgate/errors";
import { eraOf, parseFrame, type RequestFrame, type RequestId, RPC } from "@tollgate/mcp";
import type { Log } from "@tollgate/service";
import type { Policy, Principal } from "../clients/policy.ts";
import type { Registry } from "../clients/registry.ts";
import { checkScope, type Scope } from "../domain/catalogue.ts";
import { bearerToken, checkLegacyAccept, isOriginAllowed, type Refusal } from "../domain/http-checks.ts";
import type { Calls, CallSink } from "./calls.ts";
import { type Mcp, type McpAnswer, toRefusal } from "./mcp.ts";

const DRAIN_MAX_BYTES = 64 * 1024 * 1024;
const DRAIN_TIMEOUT_MS = 5_000;
const STREAM_BUFFER_MAX_BYTES = 8 * 1024 * 1024;
const ROUTES = ["/mcp", "/mcp/:group", "/mcp/:group/:server"] as const;

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

/** Streamable HTTP for MCP: one POST per message; the answer is JSON, or an event stream once a second message comes. */
export async function registerMcp(
  app: FastifyInstance,
  options: {
    mcp: Mcp;
    calls: Calls;
    policy: Policy;
    registry: Registry;
    allowedOrigins: readonly string[];
    bodyMaxBytes: number;
    log: Log;
  },
): Promise<void> {
  const { mcp, calls, policy, registry, log } = options;

  await app.register((scope, _options, done) => {
    // The body stays text: it is parsed once, and forwarded as it came.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser(
      "application/json",
      { parseAs: "string", bodyLimit: options.bodyMaxBytes },
      (_request, body, parsed) => parsed(null, body),
    );
    scope.addHook("onRequest", authenticate);
    scope.setErrorHandler(async (error: Error & { statusCode?: number }, request, reply) => {
      if (error.statusCode === 413) await drain(request.raw);
      return refuse(reply, null, refusalOf(error, request));
    });
    for (const url of ROUTES) {
      scope.post(url, post);
      scope.delete(url, endSession);
      // A client may ask for a stream before it has a session: it is told at once, never left to wait.
      scope.get(url, (_request, reply) => refuse(reply.header("allow", "POST, DELETE"), null, NO_STREAM));
    }
    done();
  });

  async function authenticate(request: FastifyRequest): Promise<void> {
    if (!isOriginAllowed(request.headers.origin, options.allowedOrigins)) {
      throw new AppError("permission_denied", `the origin ${request.headers.origin} may not call this gateway`, {
        details: { http: 403 },
      });
    }
    const token = bearerToken(request.headers.authorization);
    const { revision } = policy;
    const resolved = policy.authenticate(token);
    const principal = resolved instanceof Promise ? await resolved : resolved;
    if (!principal.permissions.includes("mcp")) {
      throw new AppError("permission_denied", `token ${principal.id} lacks the permission "mcp"`, {
        details: { http: 403 },
      });
    }
    request.caller = { principal, revision, authenticate: () => policy.authenticate(token) };
  }

  async function post(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
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
    const stream = openResponse(request, reply, log);
    try {
      const context = { ...request.caller!, scope, headers: request.headers, bytes: Buffer.byteLength(text) };
      const answer = await mcp.handle(frame, context, (call) => stream.sinkFor(call));
      if (answer.kind === "call") stream.cancelOnClose(answer, () => calls.cancel(answer.callId));
      else stream.answer(answer);
    } catch (error) {
      refuse(reply, frame.kind === "request" ? frame.id : null, refusalOf(error as Error, request));
    }
    // Answered by now, or later when the call's answer comes.
    return reply;
  }

  async function endSession(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const id = request.headers["mcp-session-id"];
    if (typeof id !== "string")
      return refuse(reply, null, {
        status: 400,
        code: RPC.invalidRequest,
        message: "DELETE needs the header Mcp-Session-Id",
      });
    if (await mcp.endSession(id, request.caller!.principal)) return reply.code(200).send();
    return refuse(reply, null, {
      status: 404,
      code: RPC.invalidRequest,
      message: "the session is not known or has ended",
    });
  }

  function refusalOf(error: Error & { statusCode?: number }, request: FastifyRequest): Refusal {
    if (error instanceof AppError) {
      if (error.code === "internal") log.error({ err: error }, "request failed");
      if (error.code === "unauthenticated") recordUnauthenticated(error.message);
      const refusal = toRefusal(error);
      return typeof error.details["http"] === "number" ? { ...refusal, status: error.details["http"] } : refusal;
    }
    const status = error.statusCode ?? 500;
    if (status === 413)
      return { status, code: RPC.invalidRequest, message: `the body is larger than ${options.bodyMaxBytes} bytes` };
    if (status === 415) return { status, code: RPC.invalidRequest, message: "Content-Type has to be application/json" };
    if (status < 500) return { status, code: RPC.invalidRequest, message: error.message };
    log.error({ err: error, url: request.url }, "request failed");
    return { ...toRefusal(error), status: 500 };
  }

  function recordUnauthenticated(reason: string): void {
    calls.refuse({ tenant: "unknown", code: "unauthenticated", reason, method: "" });
  }
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

function refuse(reply: FastifyReply, id: RequestId | null, { status, code, message, data }: Refusal): FastifyReply {
  if (reply.sent) return reply;
  if (status === 401)
    void reply.header("www-authenticate", `Bearer error="invalid_token", error_description=${JSON.stringify(message)}`);
  if (typeof data?.["retryAfterSeconds"] === "number") void reply.header("retry-after", data["retryAfterSeconds"]);
  const body = { jsonrpc: "2.0", id, error: { code, message, ...(data === undefined ? {} : { data }) } };
  return reply.code(status).type("application/json").send(JSON.stringify(body));
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

interface OpenResponse {
  answer(answer: Exclude<McpAnswer, { kind: "call" }>): void;
  sinkFor(frame: RequestFrame): CallSink;
  /** A modern client cancels by closing its response; a legacy one that went away is no cancellation. */
  cancelOnClose(answer: McpAnswer & { kind: "call" }, cancel: () => void): void;
}

/** One POST's response: plain JSON as long as one message is all there is, an event stream from the second on. */
function openResponse(request: FastifyRequest, reply: FastifyReply, log: Log): OpenResponse {
  let streaming = false;
  let done = false;

  function sendJson(text: string): void {
    done = true;
    void reply.type("application/json").send(text);
  }

  function beginStream(): void {
    streaming = true;
    void reply.hijack();
    reply.raw.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache, no-transform" });
  }

  function writeEvent(frame: string): void {
    // Whoever does not read is cut off before it fills the memory.
    if (reply.raw.writableLength > STREAM_BUFFER_MAX_BYTES) return void reply.raw.destroy();
    reply.raw.write(`event: message\ndata: ${frame}\n\n`);
  }

  return {
    answer(answer) {
      if (answer.kind === "accepted") return void reply.code(202).send();
      if (answer.kind === "error") return void refuse(reply, answer.id, answer.error);
      if (answer.session !== undefined) void reply.header("mcp-session-id", answer.session);
      sendJson(`{"jsonrpc":"2.0","id":${JSON.stringify(answer.id)},"result":${answer.result}}`);
    },
    sinkFor: (frame) => ({
      onProgress(text) {
        if (done || reply.raw.destroyed) return;
        if (!streaming) beginStream();
        writeEvent(text);
      },
      onFinal(text) {
        if (!streaming) return sendJson(text);
        done = true;
        writeEvent(text);
        reply.raw.end();
      },
      onFailure(error) {
        done = true;
        const refusal = toRefusal(error);
        if (!streaming) return void refuse(reply, frame.id, refusal);
        const { code, message, data } = refusal;
        writeEvent(JSON.stringify({ jsonrpc: "2.0", id: frame.id, error: { code, message, data } }));
        reply.raw.end();
      },
    }),
    cancelOnClose({ era }, cancel) {
      request.raw.socket.setKeepAlive(true);
      reply.raw.once("close", () => {
        if (done || era !== "modern") return;
        done = true;
        log.debug("the client closed the response of a call");
        cancel();
      });
    },
  };
}
