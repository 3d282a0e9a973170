import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { parseFrame, RPC } from "@tollgate/mcp";
import { errorText, refuse, resultText } from "./call-response.ts";
import { openEventStream } from "./event-stream.ts";
import { type McpAnswer, noStreamHere, toRefusal } from "./mcp-exchange.ts";
import { bodyOf, checkRoute, contextOf, type McpTransportOptions } from "./mcp-request.ts";

const SESSION_ID = /^[A-Za-z0-9_-]{16,64}$/;

/**
 * HTTP+SSE (MCP 2024-11-05): one stream for all that the server says, whose first event names the place for POSTs. A
 * POST may come to another replica: its answers go over the session's stream, as what servers say unasked does.
 */
export function registerEventStreamTransport(app: FastifyInstance, route: string, options: McpTransportOptions): void {
  app.get(`${route}/sse`, (request, reply) => open(request, reply, options));
  app.post(`${route}/messages`, (request, reply) => post(request, reply, options));
}

export function isEventStreamTransport({ routeOptions }: FastifyRequest): boolean {
  return /\/(?:sse|messages)$/.test(routeOptions.url ?? "");
}

async function open(request: FastifyRequest, reply: FastifyReply, options: McpTransportOptions): Promise<FastifyReply> {
  const { streams, newSessionId, mcp } = options;
  const astray = checkRoute(request, options);
  if (astray) return refuse(reply, null, astray);
  const id = newSessionId();
  const context = contextOf(request, "");
  const stream = openEventStream(reply);
  const opened = streams.open(
    { id, session: undefined },
    { context, outlet: { ...stream, send: (frame) => stream.send(frame) } },
  );
  if (!opened) {
    stream.close();
    return reply;
  }
  stream.onClose(() => {
    opened.close();
    mcp
      .endSession(id, context.principal)
      .catch((error: unknown) => options.log.warn({ err: error }, "a session stays"));
  });
  await opened.ready;
  const { pathname } = new URL(request.url, "http://local");
  stream.event("endpoint", `${pathname.slice(0, -"/sse".length)}/messages?session_id=${id}`);
  return reply;
}

async function post(request: FastifyRequest, reply: FastifyReply, options: McpTransportOptions): Promise<FastifyReply> {
  const { mcp, toSession } = options;
  const refusal = (status: number, message: string, code: number = RPC.invalidRequest) =>
    refuse(reply, null, { status, code, message });
  const astray = checkRoute(request, options);
  if (astray) return refuse(reply, null, astray);
  const { session_id: id } = request.query as { session_id?: unknown };
  if (typeof id !== "string" || !SESSION_ID.test(id)) return refusal(400, "the query has to name the session_id");
  const text = bodyOf(request);
  const parsed = parseFrame(text);
  if (!parsed.ok) return refusal(400, parsed.reason, parsed.code);
  const { frame } = parsed;
  const begins = frame.kind === "request" && frame.method === "initialize";
  if (!begins && !(await mcp.findSession(id, request.caller!.principal)))
    return refusal(404, "the session is not known or has ended");
  void reply.code(202).send();
  const send = (answer: string) => toSession(id, answer);
  const fail = (error: unknown) => frame.kind === "request" && send(errorText(frame.id, toRefusal(error)));
  const context = { ...contextOf(request, text), sessionId: id };
  try {
    const answer = await mcp.handle(frame, context, () => ({ onFrame: send, onFinal: send, onFailure: fail }));
    if (answer.kind === "stream" && frame.kind === "request") send(errorText(frame.id, noStreamHere(frame)));
    answerOn(answer, send);
  } catch (error) {
    fail(error);
  }
  return reply;
}

/** What has been answered at once, on a transport that is one stream; calls answer through their sinks. */
export function answerOn(answer: McpAnswer, send: (frame: string) => void): void {
  if (answer.kind === "result") send(resultText(answer.id, answer.result));
  if (answer.kind === "error" && answer.id !== null) send(errorText(answer.id, answer.error));
}
