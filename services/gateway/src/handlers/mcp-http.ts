import { addAbortSignal, type Readable } from "node:stream";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { AppError, httpStatus } from "@tollgate/errors";
import { batchOf, parseFrame, RPC } from "@tollgate/mcp";
import type { Scope } from "../domain/catalogue.ts";
import { accepts, checkLegacyAccept, type Refusal } from "../domain/http-checks.ts";
import { openBatchResponse } from "./batch-response.ts";
import { errorText, openResponse, refuse } from "./call-response.ts";
import { openEventStream } from "./event-stream.ts";
import { isModern } from "./mcp.ts";
import { challengeFor, resolveCaller } from "./mcp-caller.ts";
import { toRefusal } from "./mcp-exchange.ts";
import { bodyOf, checkRoute, contextOf, type McpTransportOptions, scopeOf } from "./mcp-request.ts";
import { isEventStreamTransport, registerEventStreamTransport } from "./mcp-sse.ts";

const DRAIN_MAX_BYTES = 64 * 1024 * 1024;
const DRAIN_TIMEOUT_MS = 5_000;
const BATCH_MAX = 100;
/** The only revision with batches. */
const BATCH_REVISION = "2025-03-26";
const ROUTES = ["/mcp", "/mcp/:group", "/mcp/:group/:server"] as const;

type HttpError = Error & { statusCode?: number };

/** Streamable HTTP for MCP: one POST per message; the answer is JSON, or an event stream once a second message comes. */
export async function registerMcp(app: FastifyInstance, options: McpTransportOptions): Promise<void> {
  await app.register((scope, _options, done) => {
    // The body stays text: it is parsed once, and forwarded as it came.
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser(
      "application/json",
      { parseAs: "string", bodyLimit: options.bodyMaxBytes },
      (_request, body, parsed) => parsed(null, body),
    );
    scope.addHook("onRequest", async (request) => {
      const transport = isEventStreamTransport(request) ? "sse" : "http";
      const at = { scope: scopeOf(request.params as Partial<Scope>), transport } as const;
      request.caller = await resolveCaller(request.raw, at, options);
    });
    scope.setErrorHandler(async (error: HttpError, request, reply) => {
      if (error.statusCode === 413) await drain(request.raw);
      const refusal = refusalOf(error, request, options);
      // No request of JSON-RPC is known yet: the HTTP status is what the client has.
      return refuse(reply, null, error instanceof AppError ? { ...refusal, status: httpStatus(error.code) } : refusal);
    });
    for (const url of ROUTES) {
      scope.post(url, (request, reply) => post(request, reply, options));
      scope.delete(url, (request, reply) => endSession(request, reply, options));
      scope.get(url, (request, reply) => openStream(request, reply, options));
      registerEventStreamTransport(scope, url, options);
    }
    done();
  });
}

async function post(request: FastifyRequest, reply: FastifyReply, options: McpTransportOptions): Promise<FastifyReply> {
  const { mcp, calls, log } = options;
  const astray = checkRoute(request, options);
  if (astray) return refuse(reply, null, astray);
  const text = bodyOf(request);
  const parsed = parseFrame(text);
  if (!parsed.ok) {
    const batch = batchOf(text);
    if (batch) return postBatch(batch, request, reply, options);
    return refuse(reply, parsed.id, { status: 400, code: parsed.code, message: parsed.reason });
  }
  const { frame } = parsed;
  const modern = isModern(frame, request.headers);
  if (frame.kind === "request" && !modern) {
    const notAccepted = checkLegacyAccept(request.headers);
    if (notAccepted) return refuse(reply, frame.id, notAccepted);
  }
  const response = openResponse(request, reply, { modern, log });
  try {
    const answer = await mcp.handle(frame, contextOf(request, text), (call) => response.sinkFor(call));
    if (answer.kind === "call") response.waitFor(answer, () => calls.cancel(answer.callId));
    else response.answer(answer);
  } catch (error) {
    refuse(reply, frame.kind === "request" ? frame.id : null, refusalOf(error as Error, request, options));
  }
  // Answered by now, or later when the call's answer comes.
  return reply;
}

async function postBatch(
  texts: readonly string[],
  request: FastifyRequest,
  reply: FastifyReply,
  options: McpTransportOptions,
): Promise<FastifyReply> {
  const { mcp } = options;
  const refusal = (status: number, message: string) =>
    refuse(reply, null, { status, code: RPC.invalidRequest, message });
  const id = request.headers["mcp-session-id"];
  const open = typeof id === "string" ? await mcp.findSession(id, request.caller!.principal) : undefined;
  if (open?.session.protocol !== BATCH_REVISION)
    return refusal(400, `batches are part of MCP ${BATCH_REVISION} only; send one message at a time`);
  if (texts.length === 0 || texts.length > BATCH_MAX) return refusal(400, `a batch has 1 to ${BATCH_MAX} messages`);
  const parsed = texts.map((text) => parseFrame(text));
  const expected = parsed.filter((each) => !each.ok || each.frame.kind === "request").length;
  if (expected === 0) void reply.code(202).send();
  const batch = openBatchResponse(reply, expected);
  await Promise.all(
    parsed.map(async (each, i) => {
      if (!each.ok) return batch.add(errorText(each.id, { code: each.code, message: each.reason }));
      try {
        const answer = await mcp.handle(each.frame, contextOf(request, texts[i]!), (call) => batch.sinkFor(call));
        batch.answer(each.frame, answer);
      } catch (error) {
        if (each.frame.kind === "request")
          batch.add(errorText(each.frame.id, refusalOf(error as Error, request, options)));
      }
    }),
  );
  return reply;
}

/** GET: what a session is told outside of its calls, or the rest of a call's stream. */
async function openStream(
  request: FastifyRequest,
  reply: FastifyReply,
  options: McpTransportOptions,
): Promise<FastifyReply> {
  const { mcp, streams } = options;
  const { headers } = request;
  const refusal = (status: number, message: string) =>
    refuse(reply, null, { status, code: RPC.invalidRequest, message });
  const astray = checkRoute(request, options);
  if (astray) return refuse(reply, null, astray);
  if (!accepts(headers.accept, "text/event-stream")) return refusal(406, "Accept has to name text/event-stream");
  const id = headers["mcp-session-id"];
  // A client may ask for a stream before it has a session: it is told at once, never left to wait.
  if (typeof id !== "string") {
    void reply.header("allow", "POST");
    return refusal(405, "a stream is part of a session: send initialize first, then its Mcp-Session-Id");
  }
  const open = await mcp.findSession(id, request.caller!.principal);
  if (!open) return refusal(404, "the session is not known or has ended; send initialize again");
  const last = headers["last-event-id"];
  const context = contextOf(request, "");
  const stream = openEventStream(reply, { held: true });
  const resumed = typeof last === "string" ? await streams.resume(open, last, { context, outlet: stream }) : undefined;
  const opened =
    resumed ??
    streams.open(open, { context, outlet: stream, lastEventId: typeof last === "string" ? last : undefined });
  if (!opened) {
    stream.close();
    return reply;
  }
  stream.onClose(() => opened.close());
  // From when its client sees that it is open nothing is missed.
  await opened.ready.catch(() => undefined);
  stream.begin();
  return reply;
}

async function endSession(
  request: FastifyRequest,
  reply: FastifyReply,
  { mcp }: McpTransportOptions,
): Promise<FastifyReply> {
  const id = request.headers["mcp-session-id"];
  const refusal = (status: number, message: string) =>
    refuse(reply, null, { status, code: RPC.invalidRequest, message });
  if (typeof id !== "string") return refusal(400, "DELETE needs the header Mcp-Session-Id");
  if (await mcp.endSession(id, request.caller!.principal)) return reply.code(200).send();
  return refusal(404, "the session is not known or has ended");
}

function refusalOf(error: HttpError, request: FastifyRequest, options: McpTransportOptions): Refusal {
  const { bodyMaxBytes, log } = options;
  if (error instanceof AppError) {
    if (error.code === "internal") log.error({ err: error }, "request failed");
    const challenge = challengeFor(error, request, options.resource);
    return { ...toRefusal(error), ...(challenge === undefined ? {} : { challenge }) };
  }
  const status = error.statusCode ?? 500;
  if (status === 413)
    return { status, code: RPC.invalidRequest, message: `the body is larger than ${bodyMaxBytes} bytes` };
  if (status === 415) return { status, code: RPC.invalidRequest, message: "Content-Type has to be application/json" };
  if (status < 500) return { status, code: RPC.invalidRequest, message: error.message };
  log.error({ err: error, url: request.url }, "request failed");
  return { ...toRefusal(error), status: 500 };
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
