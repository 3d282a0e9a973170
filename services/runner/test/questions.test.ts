import { followSession, publishAnswer } from "@tollgate/bus";
import { runnerOfQuestion } from "@tollgate/contracts";
import { openLife } from "@tollgate/service";
import { eventually, testLog, useInfrastructure } from "@tollgate/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RunningRunner } from "../src/service.ts";
import { assignment, type AssigningRegistry, startRegistry } from "./assigning-registry.ts";
import { useTempDir } from "./temp-dir.ts";
import { isRunning } from "./processes.ts";
import { startTestRunner } from "./test-runner.ts";
import { type CallOptions, useTraffic } from "./traffic.ts";

const infra = useInfrastructure();
const dir = useTempDir();
const traffic = useTraffic(infra);
const life = openLife(testLog);
let registry: AssigningRegistry;
let runner: RunningRunner;

beforeAll(async () => {
  registry = await startRegistry({ serviceKey: infra.serviceKey, life });
  registry.assign([
    assignment(),
    assignment({ serverId: "careful", clientCapabilities: ["sampling"] }),
    assignment({ serverId: "modern", env: { FIXTURE_ERA: "modern" } }),
  ]);
  runner = await startTestRunner({ infra, registry, dir });
});
afterAll(async () => {
  await runner.close();
  await life.close();
});

const ALL = { sampling: {}, elicitation: {}, roots: {} };
const METHODS = ["sampling/createMessage", "elicitation/create", "roots/list"];
/** Of a legacy client that can be asked everything. */
const asking = (session: string, options: CallOptions = {}): CallOptions => ({
  session,
  ...options,
  client: { capabilities: ALL, info: { name: "a client", version: "1" }, ...options.client },
});

/** What a call has asked so far. */
const asked = (callId: string) => traffic.replied(callId).filter(({ envelope }) => envelope.asks === true);
const askedOne = (callId: string, count = 1) =>
  eventually(() => {
    const found = asked(callId).map(({ frame }) => frame);
    expect(found).toHaveLength(count);
    return found;
  });

function answer(session: string, id: string, response: object): void {
  const frame = JSON.stringify({ jsonrpc: "2.0", id, ...response });
  publishAnswer(traffic.bus, runnerOfQuestion(id)!, { envelope: { session }, frame });
}

const textOf = async (callId: string) => JSON.parse((await traffic.answer(callId)).result.content[0].text);

describe("a legacy server's questions to a legacy client", () => {
  test("reach the call that they belong to, and their answers the server", async () => {
    const id = await traffic.send("ask", asking("s-1", { args: { methods: METHODS } }));
    const questions = await askedOne(id, 3);
    expect(questions.map(({ method }) => method)).toEqual(METHODS);
    expect(questions[1].params).toMatchObject({ message: "Which?" });
    for (const question of questions) answer("s-1", question.id, { result: { of: question.method, exact: 1 } });
    expect(await textOf(id)).toEqual(METHODS.map((of) => ({ of, exact: 1 })));

    const marks = traffic.replied(id).map(({ envelope }) => envelope);
    expect(marks.map(({ place }) => place)).toEqual([1, 2, 3, 4]);
    expect(marks.map(({ owner }) => owner)).toEqual(Array(4).fill("acme\ntoken:dev\ns-1"));
    expect(marks.at(-1)).toMatchObject({ final: true, runner: runnerOfQuestion(questions[0].id) });
    expect(await traffic.outcome(id)).toMatchObject({ outcome: "ok" });
  });

  test("are not all that it hears: what its own session tells it unasked arrives as it was sent", async () => {
    const heard = async (session: string) => textOf(await traffic.send("heard", asking(session)));
    const methods = async (session: string) => (await heard(session)).map(({ method }: { method: string }) => method);
    expect(await methods("s-told")).toEqual(["notifications/initialized"]);
    expect(await methods("s-other")).toEqual(["notifications/initialized"]);
    const frame = '{"jsonrpc":"2.0","method":"notifications/roots/list_changed","params":{"x":1.0}}';
    const bound = await traffic.send("heard", asking("s-told"));
    await traffic.answer(bound);
    const holder = traffic.replied(bound).at(-1)!.envelope.runner!;
    publishAnswer(traffic.bus, holder, { envelope: { session: "s-told" }, frame });
    await eventually(async () => expect((await heard("s-told")).at(-1)).toEqual(JSON.parse(frame)));
    expect(await methods("s-other")).toEqual(["notifications/initialized"]);
  });

  test("end with its session: the process of its own is there no more, and another's is", async () => {
    const pidOf = async (session: string) => (await textOf(await traffic.send("client", asking(session)))).pid;
    const [ending, staying] = [await pidOf("s-ending"), await pidOf("s-staying")];
    expect(await pidOf("s-ending")).toBe(ending);
    const id = await traffic.send("client", asking("s-ending"));
    await traffic.answer(id);
    const holder = traffic.replied(id).at(-1)!.envelope.runner!;
    publishAnswer(traffic.bus, holder, { envelope: { session: "s-ending", ended: true }, frame: "{}" });
    await eventually(() => expect(isRunning(ending)).toBe(false));
    expect(await pidOf("s-staying")).toBe(staying);
  });

  test("may be answered with an error, and asked again and again", async () => {
    const id = await traffic.send("ask", asking("s-1", { args: { methods: ["roots/list"], rounds: 2 } }));
    const [first] = await askedOne(id);
    answer("s-1", first.id, { error: { code: -1, message: "no" } });
    const [, second] = await askedOne(id, 2);
    expect(second.id).not.toBe(first.id);
    answer("s-1", second.id, { result: { roots: [] } });
    expect(await textOf(id)).toEqual([{ error: { code: -1, message: "no" } }, { roots: [] }]);
  });

  test("are answered by the session that was asked, by no other", async () => {
    const id = await traffic.send("ask", asking("s-1", { args: { methods: ["roots/list"] } }));
    const [question] = await askedOne(id);
    answer("s-2", question.id, { result: { roots: ["of another"] } });
    answer("s-1", "tollgate-r-0-99", { result: { roots: ["of nothing"] } });
    answer("s-1", question.id, { result: { roots: ["own"] } });
    answer("s-1", question.id, { result: { roots: ["twice"] } });
    expect(await textOf(id)).toEqual([{ roots: ["own"] }]);
  });

  test("of two sessions with the same request id at once are not mixed up", async () => {
    const sessions = ["s-a", "s-b"];
    const options = (session: string) => asking(session, { args: { methods: ["roots/list"] }, requestId: 7 });
    const ids = await Promise.all(sessions.map((session) => traffic.send("ask", options(session))));
    for (const [i, id] of ids.entries()) {
      const [question] = await askedOne(id);
      answer(sessions[i]!, question.id, { result: { roots: [sessions[i]] } });
    }
    for (const [i, id] of ids.entries()) {
      expect(await textOf(id)).toEqual([{ roots: [sessions[i]] }]);
      expect(traffic.replied(id)[0]!.envelope.owner).toContain(sessions[i]!);
      expect((await traffic.answer(id)).id).toBe(7);
    }
  });

  test("while another call runs on the connection", async () => {
    const slow = await traffic.send("sleep", asking("s-1", { args: { ms: 400 } }));
    const id = await traffic.send("ask", asking("s-1", { args: { methods: ["roots/list"] } }));
    const [question] = await askedOne(id);
    answer("s-1", question.id, { result: { roots: [] } });
    expect(await textOf(id)).toEqual([{ roots: [] }]);
    expect(await traffic.answer(slow)).toMatchObject({ result: { content: [{ text: "slept" }] } });
  });

  test("outlive a younger call, which they may have been taken for", async () => {
    const id = await traffic.send("ask", asking("s-1", { args: { methods: ["roots/list"], rounds: 2 } }));
    const [first] = await askedOne(id);
    const younger = await traffic.send("progress", asking("s-1", { args: { steps: 60 }, meta: { progressToken: 1 } }));
    await eventually(() => expect(traffic.replied(younger)).not.toHaveLength(0));
    answer("s-1", first.id, { result: { roots: [] } });
    const [question] = await askedOne(younger);
    await traffic.answer(younger);
    answer("s-1", question.id, { result: { roots: ["in time"] } });
    expect(await textOf(id)).toEqual([{ roots: [] }, { roots: ["in time"] }]);
  });

  test("while none of its calls runs go to the session", async () => {
    const said: any[] = [];
    const onFrame = (frame: string) => said.push(JSON.parse(frame));
    const follower = await followSession(traffic.bus, { session: "s-1", after: undefined, onFrame });
    const notice = { method: "notifications/message", params: { level: "info", data: "later" } };
    const later = await traffic.send("say_later", asking("s-1", { args: { messages: [notice], ms: 100 } }));
    await traffic.answer(later);
    await eventually(() => expect(said).toMatchObject([notice]));
    await traffic.send("ask_later", asking("s-1", { args: { method: "roots/list", ms: 100 } }));
    await eventually(() => expect(said).toHaveLength(2));
    expect(said[1]).toMatchObject({ method: "roots/list" });
    answer("s-1", said[1].id, { result: { roots: ["late"] } });
    await eventually(async () => {
      expect(await textOf(await traffic.send("answers", asking("s-1")))).toMatchObject([
        { result: { roots: ["late"] } },
      ]);
    });
    await follower.stop();
  });

  test("are taken back", async () => {
    const id = await traffic.send("withdraw", asking("s-1", { args: { method: "elicitation/create", ms: 50 } }));
    await traffic.answer(id);
    const [question, notice] = traffic.replies(id);
    expect(notice).toMatchObject({
      method: "notifications/cancelled",
      params: { requestId: question.id, reason: "not needed" },
    });
  });

  test("are forgotten when the call ends: the server gets an error", async () => {
    const id = await traffic.send("ask", asking("s-1", { args: { methods: ["roots/list"] } }));
    await askedOne(id);
    await traffic.cancel(id);
    expect(await traffic.answer(id)).toMatchObject({ error: { data: { code: "cancelled" } } });
  });

  test("give people time: the deadline waits for them, and goes on afterwards", async () => {
    const deadline = Date.now() + 700;
    const id = await traffic.send("ask", asking("s-1", { args: { methods: ["roots/list"], rounds: 2 }, deadline }));
    const [first] = await askedOne(id);
    await eventually(() => expect(Date.now()).toBeGreaterThan(deadline + 500));
    answer("s-1", first.id, { result: {} });
    const [, second] = await askedOne(id, 2);
    answer("s-1", second.id, { result: {} });
    expect(await textOf(id)).toEqual([{}, {}]);
  });
});

describe("what a client did not say it can do", () => {
  test("it is not asked for; nor what the server may not use", async () => {
    const refused = { error: { code: -32601, message: expect.stringContaining("does not support") } };
    for (const options of [
      { args: { methods: ["roots/list"] } },
      asking("s-3", { args: { methods: ["roots/list"] }, client: { capabilities: { sampling: {} } } }),
      asking("s-3", { args: { methods: ["roots/list"] }, server: "careful" }),
    ]) {
      const id = await traffic.send("ask", options);
      expect(await textOf(id)).toEqual([refused]);
      expect(asked(id)).toEqual([]);
    }
  });

  test("the server is not told of", async () => {
    const client = async (options: CallOptions) => textOf(await traffic.send("client", options));
    expect((await client(asking("s-4", { server: "careful" }))).initialized).toMatchObject({
      capabilities: { sampling: {} },
      clientInfo: { name: "a client", version: "1" },
      protocolVersion: "2025-11-25",
    });
    const shared = (await client({})).initialized;
    expect(shared.clientInfo.name).toBe("tollgate");
    expect(Object.keys(shared.capabilities)).toEqual(["sampling", "elicitation", "roots"]);
    expect((await client({ server: "careful" })).initialized.capabilities).toEqual({ sampling: {} });
  });
});

describe("connections", () => {
  const pid = async (options: CallOptions) => (await textOf(await traffic.send("client", options))).pid;

  test("are a session's own where its client can be asked, and the tenant's elsewhere", async () => {
    const [one, again, other, shared, sharedToo] = [
      await pid(asking("s-5")),
      await pid(asking("s-5")),
      await pid(asking("s-6")),
      await pid({ session: "s-7" }),
      await pid({}),
    ];
    expect(again).toBe(one);
    expect(new Set([one, other, shared]).size).toBe(3);
    expect(sharedToo).toBe(shared);
    // The same session id of another principal is another session.
    expect(await pid(asking("s-5", { principal: "token:other" }))).not.toBe(one);
  });

  test("of a session that are lost are opened anew", async () => {
    const before = await pid(asking("s-8"));
    await traffic.answer(await traffic.send("crash", asking("s-8")));
    expect(await pid(asking("s-8"))).not.toBe(before);
  });
});
