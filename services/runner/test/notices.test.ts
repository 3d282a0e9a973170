import { publishInterest, subscribeUpdates } from "@tollgate/bus";
import type { ResourceUpdate } from "@tollgate/contracts";
import { createSealers } from "@tollgate/mcp";
import { eventually } from "@tollgate/testkit";
import { beforeAll, describe, expect, test } from "vitest";
import { assignment } from "./assigning-registry.ts";
import { useRunner } from "./runner-fixture.ts";
import type { CallOptions } from "./traffic.ts";

const { traffic, ask, call, registry, ...fixture } = useRunner(() => [
  assignment(),
  assignment({ serverId: "modern", env: { FIXTURE_ERA: "modern" } }),
]);

const log = (level: string, data = level) => ({ method: "notifications/message", params: { level, data } });
const OWN_KIND = { method: "notifications/of/its/own", params: { exact: 1, big: "12345678901234567890" } };
const bound = (session: string, options: CallOptions = {}): CallOptions => ({
  session,
  ...options,
  client: { capabilities: { roots: {} }, ...options.client },
});

async function say(messages: object[], options: CallOptions = {}): Promise<any[]> {
  const id = await traffic.send("say", { args: { messages }, ...options });
  await traffic.answer(id);
  return traffic.replies(id).slice(0, -1);
}
const stateOf = async (options: CallOptions = {}) => {
  const read = { method: "resources/read", params: { uri: "fixture://state" }, ...options };
  return JSON.parse((await ask("", read)).result.contents[0].text);
};

describe("what a server says during a call", () => {
  test("reaches it in order, whatever it is, with places that go on to the answer", async () => {
    const id = await traffic.send("say", { args: { messages: [log("info"), OWN_KIND, log("error")] } });
    await traffic.answer(id);
    const replied = traffic.replied(id);
    expect(replied.map(({ frame }) => frame.method)).toEqual([
      "notifications/message",
      OWN_KIND.method,
      "notifications/message",
      undefined,
    ]);
    expect(replied[1]!.frame).toEqual({ jsonrpc: "2.0", ...OWN_KIND });
    expect(replied.map(({ envelope }) => [envelope.place, envelope.final])).toEqual([
      [1, false],
      [2, false],
      [3, false],
      [4, true],
    ]);
  });

  test("is one frame without a place where it says nothing", async () => {
    const id = await traffic.send("echo");
    await traffic.answer(id);
    expect(Object.keys(traffic.replied(id)[0]!.envelope)).toEqual(["id", "final"]);
  });

  test("on a shared connection is dropped while calls of several clients run", async () => {
    const theirs = await traffic.send("sleep", { args: { ms: 600 }, principal: "token:other" });
    expect(await say([log("info")])).toEqual([]);
    // One client's calls all may hear it; the newest does.
    await traffic.answer(theirs);
    const own = await traffic.send("sleep", { args: { ms: 300 } });
    expect(await say([log("info")])).toHaveLength(1);
    await traffic.answer(own);
    expect(traffic.replies(own)).toHaveLength(1);
  });

  test("on a session's own connection is never another's", async () => {
    const other = await traffic.send("sleep", bound("s-2", { args: { ms: 500 } }));
    expect(await say([log("info")], bound("s-1"))).toHaveLength(1);
    await traffic.answer(other);
    expect(traffic.replies(other)).toHaveLength(1);
  });

  test("progress of two sessions with the same id and token does not get mixed up", async () => {
    const options = (steps: number) => ({ args: { steps }, requestId: 1, meta: { progressToken: 1 } });
    const ids = await Promise.all([
      traffic.send("progress", { ...options(2), session: "s-a" }),
      traffic.send("progress", { ...options(4), session: "s-b" }),
    ]);
    for (const id of ids) await traffic.answer(id);
    const seen = ids.map((id) => traffic.replies(id).map((frame) => frame.params?.progress));
    expect(seen).toEqual([
      [1, 2, undefined],
      [1, 2, 3, 4, undefined],
    ]);
  });
});

describe("log messages", () => {
  const all = ["debug", "info", "warning", "error"].map((level) => log(level));
  const levels = (frames: any[]) => frames.map(({ params }) => params.level);

  test("reach a legacy client from its own level on, a modern one only if it asks", async () => {
    const legacy = (logLevel: string) => say(all, { client: { logLevel } });
    expect(levels(await legacy("warning"))).toEqual(["warning", "error"]);
    expect(levels(await legacy("debug"))).toEqual(["debug", "info", "warning", "error"]);
    expect(levels(await say(all, { client: { era: "modern", logLevel: "error" } }))).toEqual(["error"]);
    expect(await say(all, { client: { era: "modern" } })).toEqual([]);
  });

  test("are what the server is told to write: the chattiest level of all, or a session's own", async () => {
    const level = async (logLevel: string, options: CallOptions = {}) =>
      (await stateOf({ ...options, client: { ...options.client, logLevel } })).logLevel;
    const tenant = "loggers";
    expect(await level("warning", { tenant })).toBe("warning");
    expect(await level("info", { tenant })).toBe("info");
    expect(await level("error", { tenant })).toBe("info");
    expect(await level("error", bound("s-3"))).toBe("error");
    expect(await level("debug", bound("s-3"))).toBe("debug");
    expect(await level("error", bound("s-3"))).toBe("error");
  });

  test("the level of one client does not silence another's on the shared connection", async () => {
    const tenant = "loggers";
    const set = { method: "logging/setLevel", params: { level: "emergency" }, tenant };
    expect((await ask("", set)).result).toEqual({});
    expect((await stateOf({ tenant })).logLevel).toBe("info");
  });
});

describe("changed lists", () => {
  const reportsOf = (server: string) => registry().reports.filter(({ serverId }) => serverId === server);

  test.each([
    ["fixture", "prompts"],
    ["modern", "resources"],
  ])("of the %s server are reported anew: %s", async (server, list) => {
    const before = reportsOf(server).length;
    await say([{ method: `notifications/${list}/list_changed` }], { server, session: "s-1" });
    await eventually(() => expect(reportsOf(server).length).toBe(before + 1));
    expect(reportsOf(server).at(-1)).toMatchObject({
      status: "ready",
      protocol: server === "modern" ? "2026-07-28" : "2025-11-25",
      instructions: "Be gentle.",
      capabilities: expect.stringContaining('"listChanged":true'),
      promptDefinitions: ['{"name":"greet","arguments":[{"name":"who"}]}'],
      resourceDefinitions: [expect.stringContaining("fixture://one"), expect.stringContaining("fixture://two")],
      resourceTemplateDefinitions: [expect.stringContaining("fixture://item/{id}")],
    });
  });

  test("are never passed on to a call, and are listened for", async () => {
    expect(await say([{ method: "notifications/tools/list_changed" }])).toEqual([]);
    const client = { era: "legacy" } as const;
    expect((await stateOf({ server: "modern", client })).listening).toEqual([
      { toolsListChanged: true, promptsListChanged: true, resourcesListChanged: true },
    ]);
  });
});

describe("updates of resources", () => {
  const updates: { envelope: ResourceUpdate; frame: string }[] = [];
  beforeAll(() => subscribeUpdates(traffic.bus, (update) => updates.push(update)));
  const want = (server: string, uris: string[], session?: string) =>
    publishInterest(traffic.bus, "demo", {
      tenant: "watchers",
      server,
      uris,
      ...(session === undefined ? {} : { session }),
    });
  const updated = (uri: string) => ({ method: "notifications/resources/updated", params: { uri } });

  test.each(["fixture", "modern"])("of the %s server are subscribed to while wanted, and told", async (server) => {
    const tenant = "watchers";
    want(server, ["fixture://one"]);
    want(server, ["fixture://two"], "s-9");
    await eventually(async () => {
      const { subscribed, listening } = await stateOf({ server, tenant });
      const resources = server === "modern" ? listening.at(-1)?.resourceSubscriptions : subscribed;
      expect(resources).toEqual(["fixture://one", "fixture://two"]);
      if (server === "modern") expect(listening).toHaveLength(1);
    });
    updates.length = 0;
    expect(await say([updated("fixture://one")], { server, tenant })).toEqual([]);
    await eventually(() =>
      expect(updates.map(({ envelope }) => envelope)).toEqual([{ tenant, server, uri: "fixture://one" }]),
    );
    expect(JSON.parse(updates[0]!.frame)).toMatchObject(updated("fixture://one"));
  });

  test("a session's own connection is subscribed as well, and its updates are for the session", async () => {
    const tenant = "watchers";
    const own = bound("s-9", { tenant });
    want("fixture", ["fixture://two"], "s-9");
    await eventually(async () => expect((await stateOf(own)).subscribed).toEqual(["fixture://two"]));
    updates.length = 0;
    await say([updated("fixture://two")], own);
    await eventually(() =>
      expect(updates.map(({ envelope }) => envelope)).toEqual([
        { tenant, server: "fixture", uri: "fixture://two", session: "s-9" },
      ]),
    );
  });

  test("one that does not want them any more does not take them from others", async () => {
    const tenant = "watchers";
    const unsubscribe = { method: "resources/unsubscribe", params: { uri: "fixture://one" }, tenant };
    expect((await ask("", unsubscribe)).result).toEqual({});
    expect((await stateOf({ tenant })).subscribed).toContain("fixture://one");
  });
});

describe("what servers give out", () => {
  const open = (id: string) => createSealers(fixture.serviceKey).task.open(id);

  test("tasks of a session: sealed ids, on a connection of its own", async () => {
    const task = { session: "s-1", params: { task: { ttl: 1000 } } };
    const { result } = await ask("task", { ...task, args: { ms: 50 } });
    const { taskId, status } = result.task;
    expect(status).toBe("working");
    expect(open(taskId)).toEqual({
      tenant: "acme",
      principal: "token:dev",
      server: "fixture",
      runner: expect.stringMatching(/^r-/),
      session: "s-1",
      task: "task-1",
      tool: "task",
    });
    const of = (method: string) => ask("task", { session: "s-1", method, params: { taskId: "task-1" } });
    expect((await of("tasks/get")).result.taskId).toBe(taskId);
    expect((await of("tasks/list")).result.tasks).toMatchObject([{ taskId }]);
    const { _meta } = (await of("tasks/result")).result;
    expect(_meta["io.modelcontextprotocol/related-task"].taskId).toBe(taskId);
    // Another session has tasks of its own.
    const other = await ask("", { session: "s-2", method: "tasks/list" });
    expect(other.result.tasks).toEqual([]);
    expect((await call("client", { session: "s-1" })).pid).toBeGreaterThan(0);
  });

  test("news of a task: with the sealed id", async () => {
    const options = { session: "s-4", params: { task: {} }, args: { ms: 100 } };
    const made = await ask("task", options);
    const id = await traffic.send("sleep", { ...options, args: { ms: 400 } });
    await traffic.answer(id);
    expect(traffic.replies(id)[0]).toMatchObject({
      method: "notifications/tasks/status",
      params: { status: "completed" },
    });
    const { task } = open(traffic.replies(id)[0].params.taskId)!;
    expect(task).toBe(open(made.result.task.taskId)!.task);
  });

  test("tasks of modern servers", async () => {
    const meta = { "io.modelcontextprotocol/protocolVersion": "2026-07-28" };
    const { result } = await ask("task", { server: "modern", client: { era: "modern" }, meta });
    expect(result.resultType).toBe("task");
    expect(open(result.taskId)).toMatchObject({ task: "task-1", runner: expect.stringMatching(/^r-/) });
  });

  test("uris, where several servers are behind the client's route", async () => {
    const prefixed = true;
    const links = (await ask("links", { prefixed })).result.content;
    expect(links[0].uri).toBe("mcp+fixture+fixture://one");
    expect(links[1].resource).toEqual({ uri: "ui://mcp+fixture+app", text: '{"uri":"fixture://kept"}' });
    const prompt = await ask("greet", { prefixed, method: "prompts/get", params: { name: "greet" } });
    expect(prompt.result.messages[0].content.resource.uri).toBe("mcp+fixture+fixture://one");
    const read = { method: "resources/read", params: { uri: "fixture://two" } };
    expect((await ask("", { prefixed, ...read })).result.contents[0].uri).toBe("mcp+fixture+fixture://two");
    expect((await ask("", read)).result.contents[0].uri).toBe("fixture://two");
    const ref = { type: "ref/prompt", name: "greet" };
    const complete = { method: "completion/complete", params: { ref, argument: { name: "who", value: "a" } } };
    expect((await ask("", { prefixed, ...complete })).result.completion.values).toEqual(["a!"]);
  });
});
