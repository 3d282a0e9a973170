// Tools that say something while they run: logs, progress, what changed, and that they were cancelled.
import { setTimeout as pause } from "node:timers/promises";
import type { ServerEvent } from "@modelcontextprotocol/server";
import { errorResult, textResult } from "../payloads.ts";
import type { ServerState } from "../state.ts";
import { NO_ARGUMENTS, numberOf, stringOf, type ToolContext, type ToolFixture } from "../tool.ts";

const STEP_MS = 50;
const RECONNECTION_MS = 4_000;
const CANCELLABLE_DEFAULT_MS = 30_000;

/** Only what the client's log level lets through; modern clients name theirs with each request. */
async function log({ request }: ToolContext, message: string): Promise<void> {
  // oxlint-disable-next-line typescript/no-deprecated -- logging is what this fixture is there for
  await request.log("info", message);
}

const withLogging: ToolFixture = {
  definition: { name: "test_tool_with_logging", description: "Logs three times.", inputSchema: NO_ARGUMENTS },
  call: async (_args, context) => {
    await log(context, "Tool execution started");
    await pause(STEP_MS);
    await log(context, "Tool processing data");
    await pause(STEP_MS);
    await log(context, "Tool execution completed");
    return textResult("Tool with logging executed successfully");
  },
};

const loggingTool: ToolFixture = {
  definition: { name: "test_logging_tool", description: "Logs once.", inputSchema: NO_ARGUMENTS },
  call: async (_args, context) => {
    await log(context, "test_logging_tool has run");
    return textResult("Logged, if the client wants it");
  },
};

const withProgress: ToolFixture = {
  definition: {
    name: "test_tool_with_progress",
    description: "Reports progress three times to whoever gives a token.",
    inputSchema: NO_ARGUMENTS,
  },
  call: async (_args, { request }) => {
    const progressToken = request._meta?.progressToken;
    for (const progress of [0, 50, 100]) {
      if (progress > 0) await pause(STEP_MS);
      if (progressToken === undefined) continue;
      const message = `Completed step ${progress} of 100`;
      await request.notify({
        method: "notifications/progress",
        params: { progressToken, progress, total: 100, message },
      });
    }
    return textResult(String(progressToken ?? "no progress token"));
  },
};

/** SEP-1699: the server ends the call's stream; the client comes back with the last event's id for the answer. */
const reconnection: ToolFixture = {
  definition: {
    name: "test_reconnection",
    description: "Closes the call's event stream and answers when the client is back.",
    inputSchema: NO_ARGUMENTS,
  },
  call: async (_args, { http }) => {
    http?.closeSSE?.();
    await pause(RECONNECTION_MS);
    return textResult("Reconnection test completed successfully");
  },
};

function trigger(what: "tool" | "prompt" | "resource"): ToolFixture {
  const kind = `${what}s_list_changed` as const;
  return {
    definition: {
      name: `test_trigger_${what}_change`,
      description: `Adds the ${what} that is called test_added_${what}, or takes it away again.`,
      inputSchema: NO_ARGUMENTS,
    },
    call: async (_args, { state }) => {
      state.added[what] = !state.added[what];
      state.events.publish({ kind } satisfies ServerEvent);
      return textResult(`test_added_${what} is ${state.added[what] ? "there" : "gone"}`);
    },
  };
}

const resourceUpdate: ToolFixture = {
  definition: {
    name: "test_trigger_resource_update",
    description: "Changes a resource and tells those who subscribed to it.",
    inputSchema: { type: "object", properties: { uri: { type: "string" } }, required: ["uri"] },
  },
  call: async (args, { state }) => {
    const uri = stringOf(args, "uri");
    const version = (state.versions.get(uri) ?? 0) + 1;
    state.versions.set(uri, version);
    state.events.publish({ kind: "resource_updated", uri });
    return textResult(`${uri} has version ${version}`);
  },
};

const cancellable: ToolFixture = {
  definition: {
    name: "test_cancellable",
    description: "Waits, and says on its standard error when it is cancelled.",
    inputSchema: { type: "object", properties: { milliseconds: { type: "integer", minimum: 0 } } },
  },
  call: async (args, { request, state }) => {
    const ms = args["milliseconds"] === undefined ? CANCELLABLE_DEFAULT_MS : numberOf(args, "milliseconds");
    const waited = await pause(ms, true, { signal: request.signal }).catch(() => false);
    if (waited) return textResult(`Waited ${ms} ms`);
    countCancelled(state);
    return errorResult("Cancelled");
  },
};

function countCancelled(state: ServerState): void {
  state.cancelledCalls += 1;
  process.stderr.write("test_cancellable was cancelled\n");
}

const cancelledCalls: ToolFixture = {
  definition: {
    name: "test_count_cancelled",
    description: "How many calls of test_cancellable this process has seen cancelled.",
    inputSchema: NO_ARGUMENTS,
  },
  call: async (_args, { state }) => textResult(String(state.cancelledCalls)),
};

export const notificationTools: readonly ToolFixture[] = [
  withLogging,
  loggingTool,
  withProgress,
  reconnection,
  trigger("tool"),
  trigger("prompt"),
  trigger("resource"),
  resourceUpdate,
  cancellable,
  cancelledCalls,
];
