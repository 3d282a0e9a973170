import { spawn } from "node:child_process";
import { appendFileSync } from "node:fs";
import { ask, fail, type Message, modern, pause, reply, send, text } from "./fixture-protocol.ts";
import { MISBEHAVE, MISBEHAVING_TOOLS } from "./misbehaving-tools.ts";

const READ_ONLY = { readOnlyHint: true, idempotentHint: true };
export const TOOLS = [
  { name: "echo", annotations: READ_ONLY, "x-unknown": { kept: 1 } },
  { name: "count", description: "Appends a line to the count file, then waits `ms`; may not run twice." },
  { name: "tally", description: "How often this process has been called so, and its pid; may not run twice." },
  { name: "sleep", annotations: READ_ONLY, description: "Answers after `ms`; stops early when cancelled." },
  { name: "progress", annotations: READ_ONLY, description: "Reports progress `steps` times." },
  { name: "fail", description: "Answers with isError." },
  { name: "error", description: "Answers with a JSON-RPC error." },
  { name: "crash", description: "Ends the process without an answer." },
  { name: "garbage", description: "Writes lines that are no JSON-RPC, then answers." },
  { name: "flood", description: "Writes one line of `bytes`." },
  { name: "env", annotations: READ_ONLY, description: "Its environment, its pid and that of a child it has started." },
  { name: "client", annotations: READ_ONLY, description: "Its pid, and what `initialize` said of the client." },
  { name: "say", annotations: READ_ONLY, description: "Writes `messages`, then answers." },
  { name: "say_later", description: "Answers, and writes `messages` `ms` later." },
  {
    name: "ask",
    description: "Asks the client each of `methods` at once, in `rounds` rounds, and answers with what it got.",
  },
  { name: "ask_later", description: "Answers, and asks the client for `method` `ms` later; see `answers`." },
  { name: "answers", description: "What came of what ask_later has asked." },
  { name: "heard", description: "What its client has told it unasked." },
  { name: "withdraw", description: "Asks the client for `method`, and takes that back after `ms`." },
  { name: "links", annotations: READ_ONLY, description: "Answers with a resource and a link to one." },
  { name: "task", description: "Answers with a task, done after `ms`.", execution: { taskSupport: "optional" } },
  ...MISBEHAVING_TOOLS,
].map((tool) => ({ inputSchema: { type: "object" }, ...tool }));

const cancelled = new Set<unknown>();
export const cancel = (requestId: unknown): void => void cancelled.add(requestId);

let initialized: unknown;
let tallied = 0;
export const rememberClient = (params: unknown): void => {
  initialized = params;
};

const ASKED: Record<string, object | undefined> = {
  "sampling/createMessage": { messages: [{ role: "user", content: { type: "text", text: "?" } }], maxTokens: 10 },
  "elicitation/create": { message: "Which?", requestedSchema: { type: "object", properties: {} } },
  "roots/list": undefined,
};
const late: unknown[] = [];

/** A tool's answer; for each tool a function, so that this reads like the list above. */
const RUN: Record<string, (message: Message, args: Record<string, any>) => unknown> = {
  echo: ({ id, params }, args) =>
    text(id, String(args["message"]), { arguments: args, _meta: { received: params?._meta } }),
  async count({ id }, args) {
    appendFileSync(process.env["FIXTURE_COUNT_FILE"] ?? "/dev/null", `${JSON.stringify(args["n"])}\n`);
    await pause(args["ms"]);
    text(id, "counted");
  },
  tally: ({ id }) => text(id, JSON.stringify({ tally: ++tallied, pid: process.pid })),
  async sleep({ id }, args) {
    for (let left = Number(args["ms"]); left > 0 && !cancelled.has(id); left -= 20) await pause(Math.min(20, left));
    if (cancelled.delete(id)) process.stderr.write(`cancelled ${String(id)}\n`);
    text(id, "slept");
  },
  async progress({ id, params }, args) {
    const progressToken = params?._meta?.["progressToken"];
    for (let step = 1; step <= Number(args["steps"]); step++) {
      if (progressToken !== undefined)
        send({ method: "notifications/progress", params: { progressToken, progress: step, total: args["steps"] } });
      await pause(5);
    }
    text(id, "done");
  },
  fail: ({ id }) => text(id, "it did not work", { isError: true }),
  error: ({ id }) => fail(id, -32050, "own error", { kept: true }),
  crash: () => process.exit(3),
  garbage({ id }) {
    process.stdout.write('not json\n{"jsonrpc":"1.0"}\n[1,2]\n{"jsonrpc":"2.0","id":999999,"result":{}}\n');
    text(id, "after the garbage");
  },
  flood: ({ id }, args) => text(id, "x".repeat(Number(args["bytes"]))),
  env({ id }) {
    const child = spawn("sleep", ["300"], { stdio: "ignore" });
    text(id, JSON.stringify({ env: process.env, pid: process.pid, child: child.pid }));
  },
  client: ({ id }) => text(id, JSON.stringify({ pid: process.pid, initialized })),
  async say({ id }, { messages, ms }) {
    for (const message of messages) send(message);
    await pause(ms);
    text(id, "said");
  },
  async say_later({ id }, { messages, ms }) {
    text(id, "later");
    await pause(ms);
    for (const message of messages) send(message);
  },
  ask: (message, args) => (modern ? askInResult(message, args) : askInRequests(message, args)),
  async ask_later({ id }, { method, ms }) {
    text(id, "later");
    await pause(ms);
    late.push(await ask(method, ASKED[method]).answer);
  },
  answers: ({ id }) => text(id, JSON.stringify(late)),
  heard: ({ id }) => text(id, JSON.stringify(heard)),
  async withdraw({ id }, { method, ms }) {
    const question = ask(method, ASKED[method]);
    await pause(ms);
    send({ method: "notifications/cancelled", params: { requestId: question.id, reason: "not needed" } });
    text(id, "withdrawn");
  },
  links: ({ id }) =>
    reply(id, {
      content: [
        { type: "resource_link", uri: "fixture://one", name: "one" },
        { type: "resource", resource: { uri: "ui://app", text: '{"uri":"fixture://kept"}' } },
      ],
    }),
  task: (message, args) => startTask(message, args),
  ...MISBEHAVE,
};

export async function callTool(message: Message): Promise<void> {
  const { id, params } = message;
  const run = RUN[String(params?.["name"])];
  if (run) await run(message, params?.arguments ?? {});
  else fail(id, -32602, `unknown tool ${String(params?.["name"])}`);
}

async function askInRequests({ id, params }: Message, args: Record<string, any>): Promise<void> {
  const { methods, rounds = 1, progress, strict } = args;
  const got: unknown[] = [];
  for (let round = 0; round < rounds; round++) {
    const answers = await Promise.all(methods.map((method: string) => ask(method, ASKED[method]).answer));
    got.push(...answers.map(({ result, error }: Message) => result ?? { error }));
    if (strict && answers.some(({ error }) => error !== undefined)) return text(id, "stuck", { isError: true });
    const { progressToken } = params?._meta ?? {};
    if (progress) send({ method: "notifications/progress", params: { progressToken, progress: round } });
  }
  text(id, JSON.stringify(got));
}

/** 2026-07-28: what it wants to know is in a result, and what it knows already in the state that comes back. */
function askInResult({ id, params }: Message, { methods, rounds = 1 }: Record<string, any>): void {
  const state = JSON.parse(params?.["requestState"] ?? '{"round":0,"got":[]}') as { round: number; got: unknown[] };
  const got = [...state.got, ...Object.values(params?.["inputResponses"] ?? {})];
  if (state.round === rounds) return text(id, JSON.stringify(got));
  const wanted = methods.map((method: string, i: number) => [`k${i}`, { method, params: ASKED[method] }]);
  const requestState = JSON.stringify({ round: state.round + 1, got });
  const inputRequests = wanted.length === 0 ? {} : { inputRequests: Object.fromEntries(wanted) };
  reply(id, { resultType: "input_required", ...inputRequests, requestState });
}

const tasks = new Map<string, { status: string; taskId: string }>();

async function startTask({ id, params }: Message, args: Record<string, any>): Promise<void> {
  if (!modern && params?.["task"] === undefined) return text(id, "without a task");
  const task = { taskId: `task-${tasks.size + 1}`, status: "working" };
  tasks.set(task.taskId, task);
  reply(id, modern ? { resultType: "task", ...task } : { task });
  await pause(args["ms"]);
  task.status = "completed";
  send({ method: modern ? "notifications/tasks" : "notifications/tasks/status", params: task });
}

export function answerTask({ id, method, params }: Message): void {
  if (method === "tasks/list") return reply(id, { tasks: [...tasks.values()] });
  const task = tasks.get(String(params?.["taskId"]));
  if (!task) return fail(id, -32602, `unknown task ${String(params?.["taskId"])}`);
  if (method === "tasks/cancel") task.status = "cancelled";
  if (method !== "tasks/result") return reply(id, task);
  const _meta = { "io.modelcontextprotocol/related-task": { taskId: task.taskId } };
  text(id, "the task's result", { _meta });
}

const heard: Message[] = [];
export function hear(notice: Message): void {
  heard.push(notice);
}
