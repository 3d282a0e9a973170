import {
  CLIENT_CAPABILITIES_META_KEY,
  MissingRequiredClientCapabilityError,
  type ProtocolEra,
  ProtocolError,
  ProtocolErrorCode,
  type McpServer,
  type ServerContext,
} from "@modelcontextprotocol/server";
import * as z from "zod";
import { detailedTask, isOver, legacyTask, type StoredTask, type TaskStore } from "./task-store.ts";

export const TASKS_EXTENSION = "io.modelcontextprotocol/tasks";
const RELATED_TASK = "io.modelcontextprotocol/related-task";

type Server = McpServer["server"];

const NoParams = z.looseObject({});
const TaskId = z.looseObject({ taskId: z.string() });

export function serveTasks(server: Server, era: ProtocolEra, tasks: TaskStore): void {
  if (era === "legacy") serveLegacy(server, tasks);
  else serveExtension(server, tasks);
}

/** 2025-11-25, basic/utilities/tasks. */
function serveLegacy(server: Server, tasks: TaskStore): void {
  server.setRequestHandler("tasks/get", { params: TaskId }, ({ taskId }) => legacyTask(tasks.get(taskId)));
  server.setRequestHandler("tasks/list", { params: NoParams }, () => ({ tasks: tasks.list().map(legacyTask) }));
  server.setRequestHandler("tasks/cancel", { params: TaskId }, ({ taskId }) => {
    const task = tasks.get(taskId);
    if (isOver(task)) throw new ProtocolError(ProtocolErrorCode.InvalidParams, `Task ${taskId} is ${task.status}`);
    task.abort.abort();
    return legacyTask(task);
  });
  server.setRequestHandler("tasks/result", { params: TaskId }, async ({ taskId }, context) => {
    const task = tasks.get(taskId);
    const related = { [RELATED_TASK]: { taskId } };
    while (!isOver(task)) {
      // What the task asks for reaches a legacy client while it waits for the result.
      if (task.status === "input_required") await askClient(task, related, context);
      else await task.changed.promise;
    }
    if (task.error !== undefined) throw new ProtocolError(task.error.code, task.error.message);
    if (task.result === undefined)
      throw new ProtocolError(ProtocolErrorCode.InvalidParams, `Task ${taskId} is ${task.status}`);
    return { ...task.result, _meta: { ...task.result._meta, ...related } };
  });
}

async function askClient(task: StoredTask, _meta: Record<string, unknown>, { mcpReq }: ServerContext): Promise<void> {
  for (const [key, { method, params }] of Array.from(task.pending)) {
    const response = await mcpReq.send({ method, params: { ...params, _meta } });
    task.answer?.({ [key]: response });
  }
}

/** The extension of 2026-07-28 (SEP-2663). */
function serveExtension(server: Server, tasks: TaskStore): void {
  server.setRequestHandler("tasks/get", { params: TaskId }, ({ taskId }, context) => {
    refuseUnaware(context);
    return detailedTask(tasks.get(taskId));
  });
  server.setRequestHandler("tasks/update", { params: TaskId }, ({ taskId }, context) => {
    refuseUnaware(context);
    // The SDK takes the answers out of any request's parameters, as it does for a tool that is called again.
    tasks.get(taskId).answer?.(context.mcpReq.inputResponses ?? {});
    return {};
  });
  server.setRequestHandler("tasks/cancel", { params: TaskId }, ({ taskId }, context) => {
    refuseUnaware(context);
    const task = tasks.get(taskId);
    if (!isOver(task)) task.abort.abort();
    return {};
  });
}

function refuseUnaware({ mcpReq }: ServerContext): void {
  const envelope = mcpReq.envelope as Record<string, { extensions?: Record<string, unknown> }> | undefined;
  if (envelope?.[CLIENT_CAPABILITIES_META_KEY]?.extensions?.[TASKS_EXTENSION] !== undefined) return;
  throw new MissingRequiredClientCapabilityError({ requiredCapabilities: { extensions: { [TASKS_EXTENSION]: {} } } });
}
