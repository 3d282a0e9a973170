import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { publishAnswer } from "@tollgate/bus";
import { type FallbackTool, runnerOfQuestion } from "@tollgate/contracts";
import { eventually } from "@tollgate/testkit";
import { afterAll, describe, expect, test } from "vitest";
import { assignment, limitsOf } from "./assigning-registry.ts";
import { useRunner } from "./runner-fixture.ts";
import { useTempDir } from "./temp-dir.ts";
import type { CallOptions } from "./traffic.ts";

const countFile = join(useTempDir(), "count");
writeFileSync(countFile, "");
const env = { FIXTURE_COUNT_FILE: countFile };
const rule = (tool: string, fields: object) => ({
  tool,
  concurrency: 0,
  callTimeoutMs: 0,
  fallbacks: [],
  cachedResultMs: 0,
  risk: "",
  ...fields,
});
const { traffic, ask, call } = useRunner(() => [
  assignment({ env }),
  assignment({ serverId: "spare", env }),
  // Each crashes in one test only: what crashes again and again is not there for a while.
  ...["unlucky", "lost", "lost-too"].map((serverId) => assignment({ serverId, env })),
  assignment({ serverId: "modern", env: { ...env, FIXTURE_ERA: "modern" } }),
  assignment({ serverId: "absent", type: "command", command: "/no/such" }),
  assignment({
    serverId: "brief",
    env,
    limits: limitsOf({ callTimeoutMs: 300 }),
    toolRules: [rule("sleep", { callTimeoutMs: 20_000 })],
  }),
  ...["forgetful", "careful"].map((serverId) =>
    assignment({ serverId, env, toolRules: [rule("echo", { callTimeoutMs: 300, cachedResultMs: 600_000 })] }),
  ),
]);

const executions = (n: string) =>
  readFileSync(countFile, "utf8")
    .split("\n")
    .filter((line) => line === JSON.stringify(n)).length;

const decision = { allow: true, policies: ["spares"], revision: 3, reason: "allowed by spares" };
const fallback = (server: string, tool: string, retrySafe = false): FallbackTool => ({
  server,
  tool,
  retrySafe,
  decision,
});
const UNSAFE = { retrySafe: false };
const SAFE = { retrySafe: true };

describe("another server answers", () => {
  test.each([
    ["cannot be started", "absent", "server absent is unavailable"],
    ["is not there", "nobody", "server nobody is not run here any more"],
  ])("when the call's own %s", async (_name, server, reason) => {
    const args = { message: "m", big: 1 };
    const id = await traffic.send("other", { server, args, fallbacks: [fallback("spare", "echo")], ...UNSAFE });
    const { result } = await traffic.answer(id);
    expect(result).toMatchObject({ content: [{ text: "m" }], arguments: args });
    expect(result._meta).toEqual({
      received: expect.anything(),
      "tollgate/fallback": { server: "spare", tool: "echo", reason: expect.stringContaining(reason) },
    });
    const event = await traffic.outcome(id);
    expect(event).toMatchObject({
      outcome: "ok",
      server,
      tool: "other",
      decision: { policies: ["all"] },
      fallback: { server: "spare", tool: "echo", decision },
    });
    expect(event).not.toHaveProperty("attempts");
  });

  test("the first one that can, in their order; when none can, all say why", async () => {
    const fallbacks = [fallback("nobody", "echo"), fallback("absent", "echo"), fallback("spare", "fail")];
    const id = await traffic.send("echo", { server: "absent", fallbacks });
    expect((await traffic.answer(id)).result).toMatchObject({
      isError: true,
      _meta: { "tollgate/fallback": { server: "spare", reason: expect.stringMatching(/absent.*nobody.*absent/) } },
    });
    expect(await traffic.outcome(id)).toMatchObject({ outcome: "tool_error", fallback: { server: "spare" } });

    const inVain = await traffic.send("echo", { server: "absent", fallbacks: fallbacks.slice(0, 2) });
    expect((await traffic.answer(inVain)).error).toMatchObject({
      data: { code: "unavailable" },
      message: expect.stringMatching(/^server absent is unavailable.*; instead of it: server nobody is not run here/),
    });
    const event = await traffic.outcome(inVain);
    expect(event).toMatchObject({ outcome: "error" });
    expect(event).not.toHaveProperty("fallback");
  });

  test("when a call that may run again has brought its processes down, again and again", async () => {
    const id = await traffic.send("crash", { server: "unlucky", ...SAFE, fallbacks: [fallback("spare", "echo")] });
    expect((await traffic.answer(id)).result._meta["tollgate/fallback"]).toMatchObject({
      server: "spare",
      reason: expect.stringContaining("while it worked on the call"),
    });
    const event = await traffic.outcome(id);
    expect(event).toMatchObject({ outcome: "ok", fallback: { server: "spare" } });
    expect(event.attempts).toBeGreaterThanOrEqual(2);
  });

  test("with uris that lead to it", async () => {
    const fallbacks = [fallback("spare", "links")];
    const { result } = await ask("links", { server: "absent", prefixed: true, fallbacks });
    expect(result.content[0].uri).toBe("mcp+spare+fixture://one");
  });

  test("to a modern client as to a legacy one", async () => {
    const meta = {
      "io.modelcontextprotocol/protocolVersion": "2026-07-28",
      "io.modelcontextprotocol/clientCapabilities": { roots: {} },
    };
    const client = { era: "modern", capabilities: { roots: {} } } as const;
    for (const server of ["spare", "modern"]) {
      const { result } = await ask("echo", { server: "absent", client, meta, fallbacks: [fallback(server, "echo")] });
      expect(result).toMatchObject({ resultType: "complete", _meta: { "tollgate/fallback": { server } } });
      if (server === "modern") expect(result._meta.received["io.modelcontextprotocol/clientCapabilities"]).toEqual({});
    }
  });

  test("but cannot ask the client", async () => {
    const asking: CallOptions = {
      server: "absent",
      session: "s-1",
      client: { capabilities: { roots: {} } },
      args: { methods: ["roots/list"] },
    };
    const id = await traffic.send("ask", { ...asking, fallbacks: [fallback("spare", "ask")] });
    expect(JSON.parse((await traffic.answer(id)).result.content[0].text)).toMatchObject([{ error: { code: -32601 } }]);
    expect(traffic.replies(id)).toHaveLength(1);
    const wanting = await ask("ask", { ...asking, fallbacks: [fallback("modern", "ask")] });
    expect(wanting.error.message).toContain("which a fallback cannot ask");
  });
});

describe("no other server answers", () => {
  test.each([
    ["fail", { result: { isError: true } }],
    ["error", { error: { code: -32050 } }],
  ])("what its own has answered: %s", async (tool, answer) => {
    const id = await traffic.send(tool, { ...SAFE, fallbacks: [fallback("spare", "echo")] });
    expect(await traffic.answer(id)).toMatchObject(answer);
    expect(await traffic.outcome(id)).not.toHaveProperty("fallback");
  });

  test("a call that may have run already", async () => {
    const id = await traffic.send("crash", { server: "lost", ...UNSAFE, fallbacks: [fallback("spare", "count")] });
    expect((await traffic.answer(id)).error.data.code).toBe("outcome_unknown");
    expect(await traffic.outcome(id)).toMatchObject({ outcome: "unknown" });
  });

  test("after a fallback that may have run already", async () => {
    const fallbacks = [fallback("lost-too", "crash"), fallback("spare", "count")];
    const id = await traffic.send("count", {
      server: "absent",
      args: { n: "after" },
      fallbacks,
      ...SAFE,
    });
    expect((await traffic.answer(id)).error).toMatchObject({ data: { code: "outcome_unknown" } });
    expect(await traffic.outcome(id)).toMatchObject({
      outcome: "unknown",
      fallback: { server: "lost-too", tool: "crash" },
    });
    await call("env");
    expect(executions("after")).toBe(0);
  });

  test("a request for a task", async () => {
    const { error } = await ask("task", {
      server: "absent",
      params: { task: {} },
      fallbacks: [fallback("spare", "task")],
    });
    expect(error.data.code).toBe("unavailable");
  });
});

describe("the time that a server has for a call", () => {
  test("ends it, and says which limit that was", async () => {
    const id = await traffic.send("count", {
      server: "brief",
      args: { n: "brief", ms: 60_000 },
      fallbacks: [fallback("spare", "count")],
    });
    expect((await traffic.answer(id)).error).toMatchObject({
      data: { code: "deadline_exceeded" },
      message: "server brief did not answer within 0.3 s, its limits.call_timeout",
    });
    const event = await traffic.outcome(id);
    expect(event).toMatchObject({ outcome: "timeout" });
    expect(event.durationMs).toBeLessThan(20_000);
    expect(executions("brief")).toBe(1);
  });

  test("is that of the tool where it has its own", async () => {
    const { result } = await ask("sleep", { server: "brief", args: { ms: 700 } });
    expect(result.content[0].text).toBe("slept");
  });

  test("stands still while the client is asked something", async () => {
    const session = "s-asked";
    const asking: CallOptions = { session, client: { capabilities: { roots: {} } }, args: { methods: ["roots/list"] } };
    const id = await traffic.send("ask", { server: "brief", ...asking });
    const question = await eventually(() => {
      const [first] = traffic.replies(id);
      expect(first).toMatchObject({ method: "roots/list" });
      return first.id as string;
    });
    // Begun later, and over before the answer.
    const meanwhile = await ask("count", { server: "brief", args: { n: "meanwhile", ms: 60_000 } });
    expect(meanwhile.error.data.code).toBe("deadline_exceeded");
    const frame = JSON.stringify({ jsonrpc: "2.0", id: question, result: { roots: [] } });
    publishAnswer(traffic.bus, runnerOfQuestion(question)!, { envelope: { session }, frame });
    expect(JSON.parse((await traffic.answer(id)).result.content[0].text)).toEqual([{ roots: [] }]);
  });

  test("leaves another server what is left of the deadline, where a second run does no harm", async () => {
    const id = await traffic.send("count", {
      server: "brief",
      args: { n: "twice", ms: 900 },
      fallbacks: [fallback("spare", "count")],
      ...SAFE,
    });
    const { result } = await traffic.answer(id);
    expect(result._meta["tollgate/fallback"].reason).toContain("limits.call_timeout");
    expect(await traffic.outcome(id)).toMatchObject({ outcome: "ok", attempts: 2, fallback: { server: "spare" } });
  });
});

describe("an earlier result", () => {
  const stopped: number[] = [];
  afterAll(() => {
    for (const pid of stopped) process.kill(pid, "SIGCONT");
  });
  /** From now on its process does not answer any more. */
  async function hang(server: string): Promise<void> {
    const { pid } = await call("env", { server });
    stopped.push(pid);
    process.kill(pid, "SIGSTOP");
  }
  const kept = (message: string, options: CallOptions = {}): CallOptions => ({
    server: "forgetful",
    args: { message, a: 1 },
    ...SAFE,
    ...options,
  });

  test("is given when nothing else answers, to the same principal for the same arguments, and says so", async () => {
    await ask("echo", kept("first"));
    await ask("echo", kept("unsafe", UNSAFE));
    const before = await traffic.outcome(await traffic.send("echo", kept("first")));
    await hang("forgetful");

    const recorded = { args: { a: 1, message: "first" }, requestId: "r", record: ["result"] } as const;
    const id = await traffic.send("echo", kept("first", recorded));
    const answer = await traffic.answer(id);
    expect(answer).toMatchObject({ id: "r", result: { content: [{ text: "first" }], arguments: { a: 1 } } });
    const { at, ageSeconds } = answer.result._meta["tollgate/cached"];
    expect(Date.parse(at)).toBeGreaterThanOrEqual(before.startedAt!);
    expect(ageSeconds).toBeGreaterThanOrEqual(0);
    const event = await traffic.outcome(id);
    expect(event).toMatchObject({ outcome: "ok", fallback: { cachedAt: Date.parse(at) } });
    expect(event).not.toHaveProperty("reason");
    expect(event.resultHash).toBe(before.resultHash);
    expect(event.recorded).toMatchObject({ result: expect.any(String) });

    const modern = await ask("echo", kept("first", { client: { era: "modern", capabilities: {} } }));
    expect(modern.result).toMatchObject({ resultType: "complete", _meta: { "tollgate/cached": { at } } });

    const others = [
      kept("second"),
      kept("unsafe", UNSAFE),
      kept("unsafe"),
      kept("first", { principal: "token:other" }),
    ];
    const answers = await Promise.all(others.map((options) => ask("echo", options)));
    for (const { error } of answers) expect(error.data.code).toMatch(/deadline_exceeded|unavailable/);
  });

  test("comes after the fallbacks", async () => {
    await ask("echo", kept("x", { server: "careful" }));
    await hang("careful");
    const options = kept("x", { server: "careful" });
    const answered = await ask("echo", { ...options, fallbacks: [fallback("spare", "echo")] });
    expect(Object.keys(answered.result._meta)).toContain("tollgate/fallback");
    const id = await traffic.send("echo", { ...options, fallbacks: [fallback("absent", "echo")] });
    expect((await traffic.answer(id)).result._meta).toHaveProperty(["tollgate/cached"]);
    expect(await traffic.outcome(id)).toMatchObject({ outcome: "ok", fallback: { cachedAt: expect.any(Number) } });
  });
});
