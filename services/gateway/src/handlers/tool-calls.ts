import { AppError } from "@tollgate/errors";
import { type Era, type RequestFrame, setParam } from "@tollgate/mcp";
import type { Policy, Principal } from "../clients/policy.ts";
import type { Registry } from "../clients/registry.ts";
import { findTool, type Tool } from "../domain/catalogue.ts";
import type { Calls, CallSink } from "./calls.ts";
import { decide } from "./decisions.ts";
import { invalidParams, type McpAnswer, type McpContext } from "./mcp-exchange.ts";
import type { Refuse } from "./refusals.ts";
import { startCallTrace } from "./tracing.ts";

/** What is known of the client beside its principal. */
export interface McpClient {
  readonly era: Era;
  readonly protocol: string;
  /** `name/version`. */
  readonly client: string;
  readonly session?: string;
}

/** @throws {AppError} when the call is not let in */
export type CallTool = (
  frame: RequestFrame,
  context: McpContext,
  client: McpClient,
  sink: CallSink,
) => Promise<McpAnswer>;

/** `tools/call`: the tool is found, the call is decided and let in. */
export function createToolCalls(options: {
  policy: Policy;
  registry: Registry;
  calls: Calls;
  refuse: Refuse;
}): CallTool {
  const { policy, registry, calls, refuse } = options;
  return async (frame, context, client, sink) => {
    const name = frame.params?.["name"];
    if (typeof name !== "string") return invalidParams(frame, '"params.name" has to be a string');
    const args = frame.params?.["arguments"];
    if (args !== undefined && (typeof args !== "object" || args === null || Array.isArray(args)))
      return invalidParams(frame, '"params.arguments" has to be an object');
    const found = findTool(registry.catalogue, context.scope, name);
    if (!found) return invalidParams(frame, `unknown tool: ${name}`);
    const { server, tool } = found;
    const renamed = setParam(frame, ["name"], tool.name);
    if (!renamed.ok) return invalidParams(frame, renamed.reason);

    const { principal, decisions } = await decide(policy, context, [tool]);
    const decision = decisions[0]!;
    const facts = factsOf(principal, tool, frame, client);
    if (!decision.allow) {
      refuse({ ...facts, code: "denied", reason: decision.reason, decision });
      throw new AppError("permission_denied", `${name}: ${decision.reason}`);
    }
    const { status, reason } = server.info;
    if (status !== "ready") throw new AppError("unavailable", `server ${server.info.id} is ${status}: ${reason}`);
    const meta = frame.params?.["_meta"] as { traceparent?: unknown } | null | undefined;
    const tracing = startCallTrace(name, context.headers["traceparent"] ?? meta?.traceparent);
    const callId = calls.start({
      frame: renamed.text,
      retrySafe: tool.retrySafe,
      facts: {
        ...facts,
        protocol: client.protocol,
        decision,
        requestBytes: context.bytes,
        ...(tracing.traceparent === undefined ? {} : { traceparent: tracing.traceparent }),
        ...(client.session === undefined ? {} : { session: client.session }),
      },
      sink: {
        onProgress: (text) => sink.onProgress(text),
        onFinal: (text) => (tracing.end(), sink.onFinal(text)),
        onFailure: (error) => (tracing.end(error.code), sink.onFailure(error)),
      },
    });
    return { kind: "call", era: client.era, callId };
  };
}

function factsOf(principal: Principal, tool: Tool, frame: RequestFrame, { client }: McpClient) {
  return {
    principal: principal.id,
    tenant: principal.tenant,
    team: principal.team,
    client,
    group: tool.group,
    server: tool.server,
    tool: tool.name,
    method: frame.method,
  };
}
