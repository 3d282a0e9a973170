// What every client is asked to do, whatever it is: its driver gives the operations that it has, and what came of each step is
// printed as one line of JSON. Plain JavaScript: the clients are installed here alone, and nothing is compiled against them.
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";

const STEP_TIMEOUT_MS = 30_000;
const CLOSE_TIMEOUT_MS = 5_000;
/** By then a call of the tool that waits for half a minute has reached it. */
const BEFORE_CANCEL_MS = 500;
const CANCEL_TIMEOUT_MS = 10_000;
const NOTICE_TIMEOUT_MS = 10_000;
const CHECK_MS = 50;
const SUBSCRIPTION_ID = "io.modelcontextprotocol/subscriptionId";
const WATCHED = "test://watched-resource";
/** What clients keep of what servers tell them unasked. */
export const NOTICES = ["notifications/message", "notifications/resources/updated"];

/** What clients answer when servers ask. */
export const ANSWERS = {
  elicitation: { action: "accept", content: { username: "ada", email: "ada@example.com" } },
  sampling: { role: "assistant", content: { type: "text", text: "Four." }, model: "test", stopReason: "endTurn" },
  roots: { roots: [{ uri: "file:///project", name: "Project" }] },
};

/**
 * The task comes on standard input: `{era, url | command, args, env; token, toolPrefix, uriPrefix, steps}`. `connect` gives
 * the client's operations, `steps` are the names of those that it is asked for.
 */
export async function drive(connect) {
  const task = JSON.parse(readFileSync(0, "utf8"));
  const report = {};
  const client = await within(STEP_TIMEOUT_MS, connect(task));
  for (const step of task.steps) {
    report[step] = await within(STEP_TIMEOUT_MS, STEPS[step](client, task)).catch((error) => ({ failed: said(error) }));
  }
  await within(CLOSE_TIMEOUT_MS, client.close());
  process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit());
}

const STEPS = {
  revision: async (client) => client.revision(),
  tools: async (client) => names(await client.tools()),
  prompts: async (client) => names(await client.prompts()),
  resources: async (client) => uris(await client.resources()),
  templates: async (client) => (await client.templates()).map((each) => each.uriTemplate).toSorted(),
  call: (client, task) => call(client, task, "greet", { name: "World" }),
  content: (client, task) => call(client, task, "test_multiple_content_types"),
  failure: (client, task) => call(client, task, "test_error_handling"),
  /** A protocol error: the client says so in its own way, and goes on. */
  refusal: (client, task) =>
    call(client, task, "no_such_tool").then(
      () => "accepted",
      () => "refused",
    ),
  prompt: async (client, { toolPrefix }) => {
    const args = { arg1: "hello", arg2: "world" };
    return (await client.prompt(`${toolPrefix}test_prompt_with_arguments`, args)).messages;
  },
  resource: async (client, { uriPrefix }) => (await client.read(`${uriPrefix}test://static-text`)).contents,
  template: async (client, { uriPrefix }) => (await client.read(`${uriPrefix}test://template/123/data`)).contents,
  completion: async (client, { toolPrefix }) => {
    const ref = { type: "ref/prompt", name: `${toolPrefix}test_prompt_with_arguments` };
    return (await client.complete(ref, { name: "arg1", value: "test" })).completion.values;
  },
  progress: async (client, task) => {
    const seen = [];
    const onprogress = ({ progress, total, message }) => seen.push({ progress, total, message });
    await call(client, task, "test_tool_with_progress", {}, { onprogress });
    // The last one comes together with the answer, and then the first line of the SDK does not show it.
    return seen.slice(0, 2);
  },
  elicitation: (client, task) => call(client, task, "test_elicitation", { message: "Who are you?" }),
  sampling: (client, task) => call(client, task, "test_sampling", { prompt: "What is 2 + 2?" }),
  roots: (client, task) => call(client, task, "test_list_roots"),
  logging: async (client, task) => {
    await client.logLevel("info");
    await call(client, task, "test_tool_with_logging");
    return heard(client, "notifications/message", 3, ({ data }) => data);
  },
  /**
   * Who has subscribed is told of the resource under the uri that it knows. It changes until that is heard: a subscription may
   * be on its way still when it is answered.
   */
  updates: async (client, task) => {
    await client.subscribe(`${task.uriPrefix}${WATCHED}`);
    const trigger = () => call(client, task, "test_trigger_resource_update", { uri: WATCHED });
    // A legacy client has made no subscription that could have an id; whoever carries one on might take it for a request's.
    const read = ({ uri, _meta }) => (task.era === "legacy" && _meta?.[SUBSCRIPTION_ID] ? `${uri}, marked` : uri);
    return heard(client, "notifications/resources/updated", 1, read, trigger);
  },
  cancel,
};

async function call(client, { toolPrefix }, name, args = {}, options = {}) {
  const { content, isError = false } = await client.call(`${toolPrefix}${name}`, args, options);
  return { content, isError };
}

/** What the first of the client's notifications of this method say, once there are so many. */
async function heard(client, method, count, read, meanwhile) {
  const until = Date.now() + NOTICE_TIMEOUT_MS;
  for (;;) {
    await meanwhile?.();
    const values = client.notices.filter((notice) => notice.method === method).map(({ params }) => read(params));
    if (values.length >= count || Date.now() > until) return values.slice(0, count);
    await pause(CHECK_MS);
  }
}

async function cancel(client, task) {
  const count = async () => Number((await call(client, task, "test_count_cancelled")).content[0].text);
  const before = await count();
  const leaving = new AbortController();
  const outcome = call(client, task, "test_cancellable", {}, { signal: leaving.signal }).then(
    () => "answered",
    () => "given up",
  );
  setTimeout(() => leaving.abort(), BEFORE_CANCEL_MS);
  const until = Date.now() + CANCEL_TIMEOUT_MS;
  while ((await count()) === before) {
    if (Date.now() > until) return `${await outcome}, and the server was not told`;
    await pause(CHECK_MS);
  }
  return `${await outcome}, and the server was told`;
}

const names = (items) => items.map((each) => each.name).toSorted();
const uris = (items) => items.map((each) => each.uri).toSorted();

/** Every page of a list. */
export async function allPages(field, page) {
  const items = [];
  let cursor;
  do {
    const result = await page(cursor === undefined ? {} : { cursor });
    items.push(...result[field]);
    cursor = result.nextCursor;
  } while (cursor !== undefined);
  return items;
}

function within(limitMs, promise) {
  const { promise: late, reject } = Promise.withResolvers();
  const timer = setTimeout(() => reject(new Error(`nothing came within ${limitMs} ms`)), limitMs);
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function said(error) {
  const cause = error.cause === undefined ? "" : `; ${said(error.cause)}`;
  return `${error.name ?? "Error"}: ${error.message ?? error}${cause}`;
}
