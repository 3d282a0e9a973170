import { createSealers } from "@tollgate/mcp";
import { eventually } from "@tollgate/testkit";
import { describe, expect, test } from "vitest";
import { useInstallation } from "./installation.ts";
import { beginSession, postModern } from "./mcp-connections.ts";

const EXTENSION = {
  _meta: { "io.modelcontextprotocol/clientCapabilities": { extensions: { "io.modelcontextprotocol/tasks": {} } } },
};

const installation = useInstallation();

const taskId = (changes: object = {}) =>
  createSealers(installation.serviceKey).task.seal({
    tenant: "acme",
    principal: "dev",
    server: "one",
    runner: installation.runner.name,
    task: "task-1",
    tool: "echo",
    ...changes,
  });
const modern = (method: string, id: string, more: { token?: string; path?: string } = {}) =>
  postModern(installation.url(more.path), method, { taskId: id, ...EXTENSION }, more);

async function legacy(method: string, id: unknown, token = "token") {
  const session = await beginSession(installation, { token });
  return session.request(method, { taskId: id });
}

describe("a task", () => {
  test.each(["tasks/get", "tasks/result", "tasks/cancel"])(
    "is asked for with %s by the legacy client that has it, at the runner that has it, under its own id",
    async (method) => {
      const { runner } = installation;
      expect((await legacy(method, taskId())).last.result).toBeDefined();
      expect(runner.bound).toHaveLength(1);
      const { envelope, frame } = runner.bound[0]!;
      expect(JSON.parse(frame)).toMatchObject({ method, params: { taskId: "task-1" } });
      expect(envelope).toMatchObject({
        retrySafe: method !== "tasks/cancel",
        facts: { server: "one", tool: "echo", method },
      });
    },
  );

  test.each(["tasks/get", "tasks/update", "tasks/cancel"])(
    "is asked for with %s by the modern client that has it",
    async (method) => {
      expect(await modern(method, taskId())).toMatchObject({ status: 200, last: { result: {} } });
      expect(JSON.parse(installation.runner.bound[0]!.frame)).toMatchObject({ method, params: { taskId: "task-1" } });
    },
  );

  test.each<[string, () => string, string]>([
    ["of another principal", () => taskId({ principal: "colleague" }), "token"],
    ["asked for by another principal", () => taskId(), "colleague-token"],
    ["of another tenant", () => taskId({ tenant: "rival" }), "token"],
    ["of a server that is not there", () => taskId({ server: "three" }), "token"],
    ["under its server's own id", () => "task-1", "token"],
    ["that was tampered with", () => taskId().replace("tg1.", "tg1.A"), "token"],
    ["sealed for something else", () => createSealers(installation.serviceKey).state.seal({} as never), "token"],
    ["under no id", () => "", "token"],
  ])("%s is unknown, in either era", async (_what, make, token) => {
    const answers = [await legacy("tasks/get", make(), token), await modern("tasks/get", make(), { token })];
    for (const { last } of answers)
      expect(last.error).toMatchObject({ code: -32602, message: expect.stringMatching(/^unknown task/) });
    expect(installation.runner.calls).toEqual([]);
  });

  test("of a server that the route does not reach is unknown there", async () => {
    const { last } = await modern("tasks/get", taskId(), { path: "/mcp/plain" });
    expect(last.error).toMatchObject({ code: -32602 });
    expect((await modern("tasks/get", taskId(), { path: "/mcp/demo/one" })).status).toBe(200);
  });

  test("may be asked for by whoever may call its tool, and by nobody else", async () => {
    const { policy } = installation.around;
    policy.allow = ({ action }, { tool }) => !(action === "tools/call" && tool === "echo");
    policy.change();
    await eventually(async () =>
      expect((await modern("tasks/get", taskId())).last.error).toMatchObject({ code: -32003 }),
    );
    expect((await modern("tasks/get", taskId({ tool: "safe" }))).status).toBe(200);
    policy.allow = () => true;
    policy.change();
  });
});

test("what only the other era has is no method", async () => {
  expect(await modern("tasks/result", taskId())).toMatchObject({ status: 404, last: { error: { code: -32601 } } });
  expect((await legacy("tasks/update", taskId())).last.error).toMatchObject({ code: -32601 });
});

test("a list of tasks, which would show those of others, is not offered", async () => {
  const session = await beginSession(installation, { path: "/mcp/demo/one" });
  expect(session.opened.last.result.capabilities.tasks).toEqual({ cancel: {} });
  expect((await session.request("tasks/list")).last.error).toMatchObject({ code: -32601 });
});
