// What a server and its client say to each other while something runs: all of it over stdio, where each message is seen.
import { eventually } from "@tollgate/testkit";
import { afterEach, describe, expect, test } from "vitest";
import { startLegacyStdio, startModernStdio, startStdio, type StdioClient } from "./stdio-client.ts";

const open: StdioClient[] = [];
function kept<T extends StdioClient>(client: T): T {
  open.push(client);
  return client;
}
afterEach(async () => {
  await Promise.all(open.splice(0).map((client) => client.stop()));
});

const textOf = ({ result }: any): string => result.content[0].text;
const methods = ({ received }: StdioClient): string[] => received.map(({ method }) => method);

const TASKS = { extensions: { "io.modelcontextprotocol/tasks": {} } };
const ASKABLE = { sampling: {}, elicitation: { form: {}, url: {} }, roots: {} };
const ANSWERS: Readonly<Record<string, object>> = {
  "sampling/createMessage": { role: "assistant", content: { type: "text", text: "Paris" }, model: "m" },
  "roots/list": { roots: [{ uri: "file:///a", name: "a" }] },
  "elicitation/create": {
    action: "accept",
    content: { username: "u", email: "e", name: "Ann", ok: true, confirm: true },
  },
};

async function answeringClient() {
  const client = kept(await startLegacyStdio({ capabilities: ASKABLE }));
  for (const [method, answer] of Object.entries(ANSWERS)) client.answers.set(method, () => answer);
  return client;
}

describe("a legacy client", () => {
  test("is asked by requests of the server's own", async () => {
    const client = await answeringClient();
    expect(textOf(await client.call("test_sampling", { prompt: "Why?" }))).toBe("LLM response: Paris");
    expect(textOf(await client.call("test_elicitation", { message: "Who?" }))).toContain("action=accept");
    expect(textOf(await client.call("test_list_roots"))).toBe('[{"uri":"file:///a","name":"a"}]');
    expect(textOf(await client.call("test_elicitation_url"))).toBe("URL elicitation completed: action=accept");
    expect(methods(client)).toEqual([
      "sampling/createMessage",
      "elicitation/create",
      "roots/list",
      "elicitation/create",
      "notifications/elicitation/complete",
    ]);
    const [sampling, elicitation, , url, complete] = client.received;
    expect(sampling.params).toMatchObject({
      messages: [{ role: "user", content: { type: "text", text: "Why?" } }],
      maxTokens: 100,
    });
    expect(elicitation.params).toMatchObject({
      message: "Who?",
      requestedSchema: { type: "object", required: ["username", "email"] },
    });
    expect(url.params).toMatchObject({ mode: "url", url: "https://example.com/sign-in" });
    expect(complete.params.elicitationId).toBe(url.params.elicitationId);
  });

  test("that cannot answer is not asked", async () => {
    const client = kept(await startLegacyStdio());
    for (const tool of ["test_sampling", "test_elicitation", "test_list_roots", "test_elicitation_url"])
      expect((await client.call(tool, { prompt: "p", message: "m" })).result.isError).toBe(true);
    expect(client.received).toEqual([]);
    expect((await client.call("test_url_elicitation_required")).error).toMatchObject({ code: -32042 });
  });

  test("gets logs from the level that it has set, and progress with its own token", async () => {
    const client = kept(await startLegacyStdio());
    await client.call("test_tool_with_logging");
    expect(client.received.map(({ params }) => params)).toEqual([
      { level: "info", data: "Tool execution started" },
      { level: "info", data: "Tool processing data" },
      { level: "info", data: "Tool execution completed" },
    ]);
    client.received.length = 0;
    await client.request("logging/setLevel", { level: "error" });
    await client.call("test_tool_with_logging");
    expect(client.received).toEqual([]);
    await client.call("test_tool_with_progress", {}, { _meta: { progressToken: 7 } });
    expect(
      client.received.map(({ params: { progressToken, progress, total } }) => [progressToken, progress, total]),
    ).toEqual([
      [7, 0, 100],
      [7, 50, 100],
      [7, 100, 100],
    ]);
  });

  test("is told what changed, and of a resource that it subscribed to", async () => {
    const client = kept(await startLegacyStdio());
    const uri = "test://watched-resource";
    await client.call("test_trigger_resource_update", { uri });
    await client.request("resources/subscribe", { uri });
    await client.call("test_trigger_resource_update", { uri });
    await client.request("resources/unsubscribe", { uri });
    await client.call("test_trigger_resource_update", { uri });
    for (const what of ["tool", "prompt", "resource"]) await client.call(`test_trigger_${what}_change`);
    expect(methods(client)).toEqual([
      "notifications/resources/updated",
      "notifications/tools/list_changed",
      "notifications/prompts/list_changed",
      "notifications/resources/list_changed",
    ]);
    expect(client.received[0].params).toEqual({ uri });
    const { result } = await client.request("resources/read", { uri });
    expect(result.contents[0].text).toBe("Watched resource content, version 3");
    expect(textOf(await client.call("test_added_tool"))).toBe("The added tool");
  });

  test("cancels a call, which is not answered", async () => {
    const client = kept(await startLegacyStdio());
    let answered = false;
    void client
      .request("tools/call", { name: "test_cancellable", arguments: {} }, "long")
      .then(() => (answered = true))
      .catch(() => undefined);
    client.notify("notifications/cancelled", { requestId: "long" });
    await eventually(() => expect(client.errors()).toContain("test_cancellable was cancelled"));
    expect(textOf(await client.call("test_count_cancelled"))).toBe("1");
    expect(answered).toBe(false);
  });

  test("runs a tool as a task when it asks for that, and is asked while it waits for the result", async () => {
    const client = await answeringClient();
    const { result: started } = await client.call("confirm_delete", { filename: "f" }, { task: { ttl: 60_000 } });
    expect(Object.keys(started)).toEqual(["task"]);
    expect(started.task).toMatchObject({ status: expect.any(String), ttl: 600_000, pollInterval: 100 });
    const { taskId } = started.task;
    const { result } = await client.request("tasks/result", { taskId });
    const related = { "io.modelcontextprotocol/related-task": { taskId } };
    expect(result).toMatchObject({ content: [{ text: expect.stringContaining("f: ") }], _meta: related });
    expect(client.received.find(({ method }) => method === "elicitation/create").params._meta).toEqual(related);
    expect((await client.request("tasks/get", { taskId })).result).toMatchObject({ taskId, status: "completed" });
    expect((await client.request("tasks/list")).result.tasks).toHaveLength(1);
    expect((await client.request("tasks/cancel", { taskId })).error.code).toBe(-32602);
    expect((await client.call("confirm_delete", { filename: "f" })).error.code).toBe(-32601);
  });

  test.each(["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])("is offered %s at the most", async (revision) => {
    const client = kept(await startLegacyStdio({ args: ["--revision", revision] }));
    expect(client.initialized.result.protocolVersion).toBe(revision);
    expect((await client.request("server/discover")).error.code).toBe(-32601);
  });
});

describe("a modern client", () => {
  test("is told what a tool needs, and calls it again", async () => {
    const client = kept(startModernStdio(ASKABLE));
    const first = await client.call("test_input_required_result_elicitation");
    expect(first.result).toMatchObject({
      resultType: "input_required",
      inputRequests: {
        user_name: {
          method: "elicitation/create",
          params: {
            message: "What is your name?",
            requestedSchema: { type: "object", properties: { name: { type: "string" } }, required: ["name"] },
          },
        },
      },
    });
    const inputResponses = { user_name: { action: "accept", content: { name: "Alice" } } };
    const second = await client.call("test_input_required_result_elicitation", {}, { inputResponses });
    expect(second.result).toMatchObject({ resultType: "complete", content: [{ type: "text", text: "Hello, Alice!" }] });
    expect((await client.call("test_elicitation_url")).result.inputRequests.sign_in.params).toEqual({
      mode: "url",
      message: "Please sign in",
      url: "https://example.com/sign-in",
    });
  });

  test("must bring a tool's state back as it was", async () => {
    const client = kept(startModernStdio(ASKABLE));
    const tool = "test_input_required_result_tampered_state";
    const { requestState } = (await client.call(tool)).result;
    const inputResponses = { confirm: { action: "accept", content: { ok: true } } };
    const whole = await client.call(tool, {}, { inputResponses, requestState });
    expect(textOf(whole)).toBe("integrity-ok");
    const changed = await client.call(tool, {}, { inputResponses, requestState: `${requestState}x` });
    expect(changed.error.code).toBe(-32602);
  });

  test("that does not say it can be asked is refused", async () => {
    const client = kept(startModernStdio());
    const { error } = await client.call("test_missing_capability");
    expect(error).toMatchObject({ code: -32021, data: { requiredCapabilities: { sampling: {} } } });
  });

  test("sees its _meta arrive", async () => {
    const client = kept(startModernStdio({ roots: {} }));
    const { result } = await client.call("test_echo_meta", {}, { _meta: { "example.com/a": [1], progressToken: "p" } });
    expect(result.structuredContent).toEqual({
      _meta: {
        "example.com/a": [1],
        progressToken: "p",
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": { roots: {} },
      },
      session: {
        id: null,
        era: "modern",
        revision: "2026-07-28",
        clientInfo: null,
        clientCapabilities: { roots: {} },
      },
      headers: {},
    });
  });

  test("listens to what it asked for", async () => {
    const client = kept(startModernStdio());
    void client
      .request("subscriptions/listen", { notifications: { toolsListChanged: true } }, "listen:0")
      .catch(() => undefined);
    await eventually(() => expect(methods(client)).toEqual(["notifications/subscriptions/acknowledged"]));
    await client.call("test_trigger_prompt_change");
    await client.call("test_trigger_tool_change");
    expect(methods(client).slice(1)).toEqual(["notifications/tools/list_changed"]);
    expect(client.received[1].params._meta["io.modelcontextprotocol/subscriptionId"]).toBe("listen:0");
  });

  test("that knows tasks gets one", async () => {
    const client = kept(startModernStdio(TASKS));
    const { result: started } = await client.call("test_task", { milliseconds: 10 });
    expect(started).toStrictEqual({
      resultType: "task",
      taskId: expect.any(String),
      status: "working",
      createdAt: expect.any(String),
      lastUpdatedAt: expect.any(String),
      ttlMs: 600_000,
      pollIntervalMs: 100,
      _meta: expect.anything(),
    });
    const { taskId } = started;
    await eventually(async () =>
      expect((await client.request("tasks/get", { taskId })).result).toMatchObject({
        status: "completed",
        result: { content: [{ type: "text", text: "The task took 10 ms" }] },
      }),
    );
    expect((await client.request("tasks/result", { taskId })).error.code).toBe(-32601);
  });

  test("that knows no tasks gets a result", async () => {
    const client = kept(startModernStdio());
    expect(textOf(await client.call("test_task", { milliseconds: 1 }))).toBe("The task took 1 ms");
    expect((await client.call("failing_job")).error.code).toBe(-32021);
  });
});

test("pages have the size that is asked for, and leave nothing out", async () => {
  const client = kept(await startLegacyStdio({ args: ["--page-size", "2"] }));
  for (const [method, key] of [
    ["tools/list", "tools"],
    ["prompts/list", "prompts"],
    ["resources/list", "resources"],
  ] as const) {
    const names: string[] = [];
    let cursor: string | undefined;
    do {
      const { result } = await client.request(method, cursor === undefined ? {} : { cursor });
      expect(result[key].length).toBeLessThanOrEqual(2);
      names.push(...result[key].map(({ name }: any) => name));
      cursor = result.nextCursor;
    } while (cursor !== undefined);
    expect(new Set(names).size).toBe(names.length);
    expect(names.length).toBeGreaterThan(2);
  }
});

test("a server of both eras takes the first message's; one of one era refuses the other", async () => {
  const both = kept(startStdio("--era", "both"));
  const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "t", version: "1" } };
  expect((await both.request("initialize", params)).result.protocolVersion).toBe("2025-11-25");
  const modern = kept(startModernStdio());
  const { supportedVersions } = (await modern.request("server/discover")).result;
  expect(supportedVersions).toEqual(["2026-07-28"]);
  const strict = kept(startStdio("--era", "modern"));
  expect((await strict.request("initialize", params)).error.code).toBe(-32022);
});
