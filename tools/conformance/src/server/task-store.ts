import { randomUUID } from "node:crypto";
import {
  type CallToolResult,
  type InputRequests,
  ProtocolError,
  ProtocolErrorCode,
} from "@modelcontextprotocol/server";
import { errorResult } from "./payloads.ts";

const TASKS_MAX = 1_000;
const TTL_MS = 600_000;
const POLL_INTERVAL_MS = 100;

type TaskStatus = "working" | "input_required" | "completed" | "failed" | "cancelled";

/** What a task's work is given: to see that it is cancelled, and to ask its client. */
export interface TaskRun {
  readonly signal: AbortSignal;
  /** Parks the task as `input_required` until each request is answered; gives the answers by the requests' keys. */
  readonly ask: (requests: InputRequests) => Promise<Record<string, unknown>>;
}

export interface StoredTask {
  readonly taskId: string;
  readonly createdAt: string;
  lastUpdatedAt: string;
  status: TaskStatus;
  /** What it still asks its client for. */
  readonly pending: Map<string, InputRequests[string]>;
  result?: CallToolResult;
  error?: { code: number; message: string };
  readonly abort: AbortController;
  /** Ends with the next change of its status, or of what it asks for. */
  changed: PromiseWithResolvers<void>;
  answer?: (responses: Record<string, unknown>) => void;
}

/**
 * Tasks of both shapes, kept neutrally: 2025-11-25's (`{task: {ttl, …}}`, tasks/result) and the extension's of 2026-07-28
 * (flat, `ttlMs`, the result within tasks/get). A task works, asks and works again, and then is completed, failed or
 * cancelled for good.
 */
export class TaskStore {
  readonly #tasks = new Map<string, StoredTask>();

  /** The task is there before its work begins, so that whoever has its id finds it. */
  start(work: (run: TaskRun) => Promise<CallToolResult>, onChange?: (task: StoredTask) => void): StoredTask {
    const [oldest] = this.#tasks.keys();
    if (this.#tasks.size >= TASKS_MAX && oldest !== undefined) this.#tasks.delete(oldest);
    const now = new Date().toISOString();
    const task: StoredTask = {
      taskId: randomUUID(),
      createdAt: now,
      lastUpdatedAt: now,
      status: "working",
      pending: new Map(),
      abort: new AbortController(),
      changed: Promise.withResolvers(),
    };
    this.#tasks.set(task.taskId, task);
    const set = (status: TaskStatus): void => {
      change(task, status);
      onChange?.(task);
    };
    void execute(task, work, set);
    return task;
  }

  /** @throws ProtocolError -32602 for a task that it does not know. */
  get(taskId: string): StoredTask {
    const task = this.#tasks.get(taskId);
    if (task === undefined) throw new ProtocolError(ProtocolErrorCode.InvalidParams, `Unknown task ${taskId}`);
    return task;
  }

  list(): StoredTask[] {
    return [...this.#tasks.values()];
  }
}

export function isOver(task: StoredTask): boolean {
  return task.status !== "working" && task.status !== "input_required";
}

async function execute(
  task: StoredTask,
  work: (run: TaskRun) => Promise<CallToolResult>,
  set: (status: TaskStatus) => void,
): Promise<void> {
  const { signal } = task.abort;
  signal.addEventListener("abort", () => set("cancelled"), { once: true });
  try {
    const result = await work({ signal, ask: (requests) => ask(task, requests, set) });
    if (isOver(task)) return;
    task.result = result;
    set("completed");
  } catch (error) {
    if (isOver(task)) return;
    if (error instanceof ProtocolError) {
      task.error = { code: error.code, message: error.message };
      set("failed");
    } else {
      task.result = errorResult(error instanceof Error ? error.message : String(error));
      set("completed");
    }
  }
}

function ask(
  task: StoredTask,
  requests: InputRequests,
  set: (status: TaskStatus) => void,
): Promise<Record<string, unknown>> {
  const answered: Record<string, unknown> = {};
  const all = Promise.withResolvers<Record<string, unknown>>();
  for (const [key, request] of Object.entries(requests)) task.pending.set(key, request);
  task.answer = (responses) => {
    for (const [key, response] of Object.entries(responses)) if (task.pending.delete(key)) answered[key] = response;
    if (task.pending.size > 0) return set("input_required");
    delete task.answer;
    set("working");
    all.resolve(answered);
  };
  set("input_required");
  return all.promise;
}

function change(task: StoredTask, status: TaskStatus): void {
  task.status = status;
  task.lastUpdatedAt = new Date().toISOString();
  const { changed } = task;
  task.changed = Promise.withResolvers();
  changed.resolve();
}

/** 2025-11-25: schema `Task`. */
export function legacyTask(task: StoredTask) {
  const { taskId, status, createdAt, lastUpdatedAt } = task;
  return { taskId, status, createdAt, lastUpdatedAt, ttl: TTL_MS, pollInterval: POLL_INTERVAL_MS };
}

/** The tasks extension of 2026-07-28: schema `Task`, as tools/call answers it. */
export function modernTask(task: StoredTask) {
  const { taskId, status, createdAt, lastUpdatedAt } = task;
  return { taskId, status, createdAt, lastUpdatedAt, ttlMs: TTL_MS, pollIntervalMs: POLL_INTERVAL_MS };
}

/** The tasks extension of 2026-07-28: schema `DetailedTask`, as tasks/get answers it. */
export function detailedTask(task: StoredTask) {
  return {
    ...modernTask(task),
    ...(task.status === "input_required" && { inputRequests: Object.fromEntries(task.pending) }),
    ...(task.status === "completed" && { result: task.result }),
    ...(task.status === "failed" && { error: task.error }),
  };
}
