import {
  type CallToolRequestParams,
  type CallToolResult,
  CLIENT_CAPABILITIES_META_KEY,
  fromJsonSchema,
  type InputRequiredResult,
  MissingRequiredClientCapabilityError,
  ProtocolError,
  ProtocolErrorCode,
} from "@modelcontextprotocol/server";
import { errorResult } from "./payloads.ts";
import { legacyTask, modernTask, type StoredTask } from "./task-store.ts";
import { TASKS_EXTENSION } from "./task-methods.ts";
import type { ToolArguments, ToolContext, ToolFixture } from "./tool.ts";

/** @throws ProtocolError when there is no such tool, or the client may not call it as it does. */
export async function callTool(
  tools: readonly ToolFixture[],
  { name, arguments: args = {}, task: asked }: CallToolRequestParams,
  context: ToolContext,
): Promise<CallToolResult | InputRequiredResult> {
  const tool = tools.find(({ definition }) => definition.name === name);
  if (tool === undefined) throw new ProtocolError(ProtocolErrorCode.InvalidParams, `Tool ${name} not found`);
  const invalid = await whyInvalid(tool, args);
  if (invalid !== undefined)
    return errorResult(`Input validation error: Invalid arguments for tool ${name}: ${invalid}`);
  try {
    if (!becomesTask(tool, asked !== undefined, context)) return await tool.call(args, context);
    return tool.task?.before?.(context) ?? startTask(tool, args, context);
  } catch (error) {
    if (error instanceof ProtocolError) throw error;
    return errorResult(error instanceof Error ? error.message : String(error));
  }
}

async function whyInvalid({ definition }: ToolFixture, args: ToolArguments): Promise<string | undefined> {
  const outcome = await fromJsonSchema(definition.inputSchema)["~standard"].validate(args);
  return outcome.issues?.map(({ message }) => message).join("; ");
}

/** A legacy client asks for a task; to a modern one that knows tasks, every tool that can be one is one. */
function becomesTask({ task, definition }: ToolFixture, isAskedFor: boolean, { era, request }: ToolContext): boolean {
  if (task === undefined) return false;
  if (era === "legacy") {
    if (isAskedFor || task.support === "optional") return isAskedFor;
    throw new ProtocolError(ProtocolErrorCode.MethodNotFound, `${definition.name} is called as a task only`);
  }
  const envelope = request.envelope as Record<string, { extensions?: Record<string, unknown> }> | undefined;
  if (envelope?.[CLIENT_CAPABILITIES_META_KEY]?.extensions?.[TASKS_EXTENSION] !== undefined) return true;
  if (task.support === "optional") return false;
  throw new MissingRequiredClientCapabilityError({ requiredCapabilities: { extensions: { [TASKS_EXTENSION]: {} } } });
}

function startTask({ task: fixture }: ToolFixture, args: ToolArguments, context: ToolContext): CallToolResult {
  const { era, server, state } = context;
  const tell = (task: StoredTask): void => {
    server.notification({ method: "notifications/tasks/status", params: legacyTask(task) }).catch(() => undefined);
  };
  const task = state.tasks.start((run) => fixture!.run(args, run, context), era === "legacy" ? tell : undefined);
  // The SDK wants every tool's result to have content; it is taken out again where the message leaves.
  const content: CallToolResult["content"] = [];
  return era === "legacy" ? { content, task: legacyTask(task) } : { content, resultType: "task", ...modernTask(task) };
}
