// What a server gets to see of its client: for tests of what passes on the way, and of what must not.
import { CLIENT_INFO_META_KEY } from "@modelcontextprotocol/server";
import { NO_ARGUMENTS, type ToolContext, type ToolFixture } from "../tool.ts";
import { declaredCapabilities } from "./input-required.ts";

const echoMeta: ToolFixture = {
  definition: {
    name: "test_echo_meta",
    title: "Echo",
    description: "Answers with the _meta, the session and the HTTP headers that it has received.",
    inputSchema: NO_ARGUMENTS,
    outputSchema: {
      type: "object",
      properties: { _meta: { type: "object" }, session: { type: "object" }, headers: { type: "object" } },
      required: ["_meta", "session", "headers"],
    },
    annotations: { readOnlyHint: true, idempotentHint: true },
    _meta: { "example.com/owner": "conformance" },
    // No revision knows it: it must arrive all the same.
    "x-unknown": { kept: [1, 2.5, "three"] },
  },
  call: async (_args, context) => {
    const { request, http, sessionId } = context;
    const headers = Object.fromEntries(http?.req?.headers ?? []);
    const structuredContent = {
      _meta: { ...request._meta, ...request.envelope },
      session: { id: sessionId ?? null, era: context.era, ...clientOf(context) },
      headers,
    };
    return { content: [{ type: "text", text: JSON.stringify(structuredContent) }], structuredContent };
  },
};

function clientOf(context: ToolContext) {
  const { request, server } = context;
  const envelope = request.envelope as Record<string, unknown> | undefined;
  return {
    // oxlint-disable-next-line typescript/no-deprecated -- a legacy client has said it when it connected
    revision: server.getNegotiatedProtocolVersion() ?? null,
    // oxlint-disable-next-line typescript/no-deprecated -- as above
    clientInfo: envelope?.[CLIENT_INFO_META_KEY] ?? server.getClientVersion() ?? null,
    clientCapabilities: declaredCapabilities(context),
  };
}

const added: ToolFixture = {
  definition: {
    name: "test_added_tool",
    description: "Is there after test_trigger_tool_change.",
    inputSchema: NO_ARGUMENTS,
  },
  call: async () => ({ content: [{ type: "text", text: "The added tool" }] }),
};

export const echoTools: readonly ToolFixture[] = [echoMeta];
export const addedTool: ToolFixture = added;
