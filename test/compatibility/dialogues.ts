// Features where a server speaks unasked, or asks its client something.
import { setTimeout as delay } from "node:timers/promises";
import { eventually } from "@tollgate/testkit";
import { expect } from "vitest";
import { type Cell, contentOf, type Feature, isModern, older, readList, since, textOf } from "./cell.ts";

const WATCHED = "test://watched-resource";
const call = (name: string, more: object = {}) => ({ name, arguments: {}, ...more });

/** Frames before the answer to this request, as Streamable HTTP has them on the request's own stream. */
function before({ plain }: Cell, id: string): any[] {
  return plain.received
    .filter(({ place, message }) => place === id && "method" in message)
    .map(({ message }) => message);
}

async function checkLogging(cell: Cell): Promise<void> {
  const { plain, client, server } = cell;
  if (!isModern(client))
    expect(await plain.request("logging/setLevel", { level: "info" })).toMatchObject({ result: {} });
  const meta = isModern(client) ? { _meta: { "io.modelcontextprotocol/logLevel": "info" } } : {};
  const id = `log-${server}`;
  const answer = await plain.request("tools/call", call("test_tool_with_logging", meta), { id });
  expect(textOf(answer)).toBe("Tool with logging executed successfully");
  const logs = before(cell, id).filter(({ method }) => method === "notifications/message");
  expect(logs.map(({ params }) => [params.level, params.data])).toEqual(
    ["Tool execution started", "Tool processing data", "Tool execution completed"].map((data) => ["info", data]),
  );
}

async function checkProgress(cell: Cell): Promise<void> {
  const id = `progress-${cell.server}`;
  const progressToken = `token of ${cell.client}`;
  const params = call("test_tool_with_progress", { _meta: { progressToken } });
  await cell.plain.request("tools/call", params, { id });
  const progress = before(cell, id).filter(({ method }) => method === "notifications/progress");
  expect(progress.map(({ params: each }) => each)).toEqual(
    [0, 50, 100].map((step) => ({
      progressToken,
      progress: step,
      total: 100,
      message: `Completed step ${step} of 100`,
    })),
  );
}

/** Until the server has seen one: a call that is cancelled before it reaches the server never runs. */
async function checkCancellation({ plain, client, server }: Cell): Promise<void> {
  const count = async () => Number(textOf(await plain.request("tools/call", call("test_count_cancelled"))));
  const counted = await count();
  let attempt = 0;
  await eventually(async () => {
    const leaving = new AbortController();
    const id = `cancel-${server}-${(attempt += 1)}`;
    const params = { name: "test_cancellable", arguments: { milliseconds: 5_000 } };
    const slow = plain.request("tools/call", params, { id, signal: leaving.signal });
    slow.catch(() => undefined);
    await delay(100);
    if (isModern(client)) leaving.abort();
    else await plain.notify("notifications/cancelled", { requestId: id, reason: "enough" });
    await eventually(async () => expect(await count()).toBe(counted + 1), { timeoutMs: 1_000 });
  });
}

/** Until the client hears of it: what is wanted has to have reached the server first. */
async function checkSubscription(cell: Cell): Promise<void> {
  const { plain, client } = cell;
  const leave = isModern(client) ? await plain.subscribe({ resourceSubscriptions: [WATCHED] }) : undefined;
  if (!leave) expect(await plain.request("resources/subscribe", { uri: WATCHED })).toMatchObject({ result: {} });
  await eventually(async () => {
    await plain.request("tools/call", { name: "test_trigger_resource_update", arguments: { uri: WATCHED } });
    await eventually(() => expect(plain.notices("notifications/resources/updated")[0]?.params.uri).toBe(WATCHED), {
      timeoutMs: 1_000,
    });
  });
  leave?.();
  if (leave) return;
  expect(await plain.request("resources/unsubscribe", { uri: WATCHED })).toMatchObject({ result: {} });
}

async function checkListChanged(cell: Cell): Promise<void> {
  const { plain, client } = cell;
  const wanted = { toolsListChanged: true, promptsListChanged: true, resourcesListChanged: true };
  const leave = isModern(client) ? await plain.subscribe(wanted) : undefined;
  const lists = { tool: "tools", prompt: "prompts", resource: "resources" } as const;
  for (const [what, list] of Object.entries(lists)) {
    const method = `notifications/${list}/list_changed`;
    const toggle = async (there: boolean) => {
      const heard = plain.notices(method).length;
      await plain.request("tools/call", call(`test_trigger_${what}_change`));
      await eventually(() => expect(plain.notices(method).length).toBeGreaterThan(heard));
      const names = (await readList(plain, `${list}/list`, list)).map((each: any) => each.name);
      expect(names.includes(what === "resource" ? "test_added_resource" : `test_added_${what}`)).toBe(there);
    };
    await toggle(true);
    await toggle(false);
  }
  leave?.();
}

/** What the client was asked last by this method. */
function askedFor({ able }: Cell, method: string, about: (params: any) => boolean = () => true): any {
  return able.asked.findLast((each) => each.method === method && about(each.params ?? {}))?.params;
}

async function checkSampling(cell: Cell): Promise<void> {
  const prompt = `What of ${cell.server}?`;
  const answer = await cell.able.request("tools/call", { name: "test_sampling", arguments: { prompt } });
  expect(textOf(answer)).toBe(`LLM response: sampled "${prompt}"`);
  const params = askedFor(cell, "sampling/createMessage", ({ messages }) => messages[0].content.text === prompt);
  expect(params).toMatchObject({
    messages: [{ role: "user", content: { type: "text", text: prompt } }],
    maxTokens: 100,
  });
}

async function checkForm(cell: Cell): Promise<void> {
  const message = `Who are you, to ${cell.server}?`;
  const answer = await cell.able.request("tools/call", { name: "test_elicitation", arguments: { message } });
  const content = '{"username":"ada","email":"ada@example.com"}';
  expect(textOf(answer)).toBe(`User response: action=accept, content=${content}`);
  expect(askedFor(cell, "elicitation/create", (each) => each.message === message)).toMatchObject({
    requestedSchema: { type: "object", required: ["username", "email"] },
  });
}

/** A server that asks what its client cannot answer gets that said, and so does the client. */
const refusedToAsk = (name: string, args: object) => async (cell: Cell) => {
  const { result, error } = await cell.able.request("tools/call", { name, arguments: args });
  if (error === undefined) expect(result).toMatchObject({ isError: true });
  else expect(error).toMatchObject({ code: expect.any(Number), message: expect.any(String) });
};

async function checkTask(cell: Cell): Promise<void> {
  const { able, client } = cell;
  const wanted = isModern(client) ? {} : { task: { ttl: 60_000 } };
  const name = "test_task";
  const started = contentOf(await able.request("tools/call", { name, arguments: { milliseconds: 30 }, ...wanted }));
  const { taskId } = (isModern(client) ? started : started["task"]) as { taskId: string };
  const done = await eventually(async () => {
    const task = contentOf(await able.request("tasks/get", { taskId }));
    expect(task).toMatchObject({ taskId, status: "completed" });
    return task;
  });
  const result = isModern(client) ? done["result"] : contentOf(await able.request("tasks/result", { taskId }));
  expect(result).toMatchObject({ content: [{ type: "text", text: "The task took 30 ms" }] });
}

export const DIALOGUES: readonly Feature[] = [
  { name: "logging", alone: true, check: checkLogging },
  { name: "progress", check: checkProgress },
  { name: "cancellation", alone: true, check: checkCancellation },
  { name: "resource subscriptions", check: checkSubscription },
  { name: "list changes", alone: true, check: checkListChanged },
  { name: "sampling", check: checkSampling },
  {
    name: "roots",
    async check(cell) {
      const answer = await cell.able.request("tools/call", call("test_list_roots"));
      expect(JSON.parse(textOf(answer))).toEqual([{ uri: "file:///project", name: "project" }]);
    },
  },
  {
    name: "elicitation: form",
    impossible: since("2025-06-18"),
    check: checkForm,
    otherwise: (cell) =>
      cell.client < "2025-06-18" ? refusedToAsk("test_elicitation", { message: "?" })(cell) : Promise.resolve(),
  },
  {
    name: "elicitation: url",
    impossible: since("2025-11-25"),
    async check(cell) {
      expect(textOf(await cell.able.request("tools/call", call("test_elicitation_url")))).toBe(
        "URL elicitation completed: action=accept",
      );
      expect(askedFor(cell, "elicitation/create", ({ mode }) => mode === "url")).toMatchObject({
        message: "Please sign in",
        url: "https://example.com/sign-in",
      });
    },
    otherwise: (cell) =>
      cell.client < "2025-11-25" ? refusedToAsk("test_elicitation_url", {})(cell) : Promise.resolve(),
  },
  {
    name: "several rounds of questions (input_required)",
    impossible: (cell) =>
      older(cell) < "2025-06-18" ? "the questions are elicitations, which came with 2025-06-18" : undefined,
    async check({ able }) {
      const rounds = await able.request("tools/call", call("test_input_required_result_multi_round"));
      expect(textOf(rounds)).toBe("Ada likes green");
      const several = await able.request("tools/call", call("test_input_required_result_multiple_inputs"));
      expect(textOf(several)).toMatch(/^sampled "Generate a greeting" Ada, 1 root\(s\)$/);
      const prompt = await able.request("prompts/get", { name: "test_input_required_result_prompt" });
      const text = "Use the following context: the user's own";
      expect(contentOf(prompt)["messages"]).toEqual([{ role: "user", content: { type: "text", text } }]);
    },
  },
  {
    name: "tasks",
    impossible(cell) {
      if (older(cell) < "2025-11-25") return "came with 2025-11-25";
      const same = isModern(cell.client) === isModern(cell.server);
      return same
        ? undefined
        : "the tasks of 2025-11-25 and the extension of 2026-07-28 have no equivalent in each other";
    },
    check: checkTask,
    async otherwise({ able }) {
      const answer = await able.request("tools/call", { name: "test_task", arguments: { milliseconds: 1 } });
      expect(textOf(answer)).toBe("The task took 1 ms");
    },
  },
];
