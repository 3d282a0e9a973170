// Tools that may run as a task: the tasks of 2025-11-25, which a client asks for, and the extension of 2026-07-28, where
// the server decides. Their names are those that the suite's scenarios of the extension call.
import { setTimeout as pause } from "node:timers/promises";
import { inputRequired, ProtocolError, ProtocolErrorCode } from "@modelcontextprotocol/server";
import { errorResult, textResult } from "../payloads.ts";
import type { TaskRun } from "../task-store.ts";
import {
  NO_ARGUMENTS,
  numberOf,
  stringOf,
  type ToolArguments,
  type ToolContext,
  type ToolDefinition,
  type ToolFixture,
} from "../tool.ts";
import { elicit, elicited } from "./input-required.ts";

const FAILING_MS = 1_000;
/** Of a call that is no task: who waits for a task's minute there waits for nothing. */
const PLAIN_MAX_SECONDS = 2;

const greet: ToolFixture = {
  definition: {
    name: "greet",
    description: "Greets; never as a task.",
    inputSchema: { type: "object", properties: { name: { type: "string" } }, required: ["name"] },
  },
  call: async (args) => textResult(`Hello, ${stringOf(args, "name")}!`),
};

/** A tool that does the same as a task and as a plain call. */
function optional(
  definition: ToolDefinition,
  run: (args: ToolArguments, signal: AbortSignal) => ReturnType<TaskTool["run"]>,
) {
  return {
    definition,
    call: (args, { request }) => run(args, request.signal),
    task: { support: "optional", run: (args, { signal }) => run(args, signal) },
  } satisfies ToolFixture;
}

type TaskTool = NonNullable<ToolFixture["task"]>;

function required(definition: ToolDefinition, task: Omit<TaskTool, "support">): ToolFixture {
  return {
    definition,
    call: async () => errorResult(`${definition.name} runs as a task only`),
    task: { support: "required", ...task },
  };
}

const slowCompute: ToolFixture = {
  definition: {
    name: "slow_compute",
    description: `Answers after some seconds; when it is no task, after ${PLAIN_MAX_SECONDS} at the most.`,
    inputSchema: {
      type: "object",
      properties: { seconds: { type: "number", minimum: 0 }, label: { type: "string" } },
    },
  },
  call: (args, { request }) => compute(args, Math.min(numberOf(args, "seconds"), PLAIN_MAX_SECONDS), request.signal),
  task: { support: "optional", run: (args, { signal }) => compute(args, numberOf(args, "seconds"), signal) },
};

async function compute(args: ToolArguments, seconds: number, signal: AbortSignal) {
  await pause(seconds * 1000, undefined, { signal });
  return textResult(`slow_compute ${stringOf(args, "label")} took ${seconds} s`);
}

const testTask = optional(
  {
    name: "test_task",
    description: "Answers after some milliseconds.",
    inputSchema: { type: "object", properties: { milliseconds: { type: "integer", minimum: 0 } } },
  },
  async (args, signal) => {
    const ms = numberOf(args, "milliseconds");
    await pause(ms, undefined, { signal });
    return textResult(`The task took ${ms} ms`);
  },
);

const protocolErrorJob = optional(
  { name: "protocol_error_job", description: "Fails with a protocol error.", inputSchema: NO_ARGUMENTS },
  async () => {
    throw new ProtocolError(ProtocolErrorCode.InternalError, "protocol_error_job has failed");
  },
);

const failingJob = required(
  { name: "failing_job", description: "Fails after a second, as a tool does.", inputSchema: NO_ARGUMENTS },
  {
    run: async (_args, { signal }) => {
      await pause(FAILING_MS, undefined, { signal });
      return errorResult("failing_job has failed");
    },
  },
);

const confirmDelete = required(
  {
    name: "confirm_delete",
    description: "Asks before it deletes (nothing).",
    inputSchema: { type: "object", properties: { filename: { type: "string" } } },
  },
  {
    run: async (args, { ask }) => {
      const filename = stringOf(args, "filename");
      const answers = await ask({ confirm: elicit(`Delete ${filename}?`, "confirm", "boolean") });
      return textResult(`${filename}: ${JSON.stringify(answers["confirm"])}`);
    },
  },
);

async function askTwice(_args: ToolArguments, { ask }: TaskRun) {
  const answers = await ask({ first: elicit("First?", "name"), second: elicit("Second?", "name") });
  return textResult(JSON.stringify(answers));
}

const multiInput = required(
  { name: "multi_input", description: "Asks two things at once.", inputSchema: NO_ARGUMENTS },
  { run: askTwice },
);

/** Asks first, and is a task only then. */
const inputThenTask = required(
  { name: "test_tool_with_task", description: "Asks for a name, then greets in a task.", inputSchema: NO_ARGUMENTS },
  {
    before: (context) =>
      nameOf(context) === undefined
        ? inputRequired({ inputRequests: { user_name: elicit("What is your name?", "name") } })
        : undefined,
    run: async (_args, _run, context) => textResult(`Hello, ${nameOf(context)}!`),
  },
);

function nameOf(context: ToolContext): string | undefined {
  const name = elicited(context, "user_name", "name");
  return typeof name === "string" ? name : undefined;
}

export const taskTools: readonly ToolFixture[] = [
  greet,
  slowCompute,
  testTask,
  protocolErrorJob,
  failingJob,
  confirmDelete,
  multiInput,
  inputThenTask,
];
