import { eventually } from "@tollgate/testkit";
import { questionId } from "@tollgate/contracts";
import { expect, test } from "vitest";
import { principal } from "./controlled-policy.ts";
import { useInstallation } from "./installation.ts";
import { beginSession, type ClientSession, cutStreamsAfterEach, readEvents } from "./mcp-connections.ts";

const REQUEST_TIMEOUT_MS = 500;
/** After the request's own time, and what the gateway grants a runner beyond it. */
const PAST_DEADLINE_MS = REQUEST_TIMEOUT_MS + 4_500;

const installation = useInstallation({ replicas: 2, settings: { requestTimeoutMs: REQUEST_TIMEOUT_MS } });
cutStreamsAfterEach();

const question = (number: number) => ({
  jsonrpc: "2.0",
  id: questionId(installation.runner.name, number),
  method: "elicitation/create",
  params: { message: "sure?" },
});
const answerTo = (number: number, result: object = { action: "accept" }) => ({
  jsonrpc: "2.0",
  id: questionId(installation.runner.name, number),
  result,
});

async function ask(session: ClientSession) {
  const { runner } = installation;
  runner.onCall = () => undefined;
  const streaming = session.stream("tools/call", { name: "one__echo" });
  const call = await eventually(() => (expect(runner.calls).toHaveLength(1), runner.calls[0]!));
  runner.send(call, question(1), { place: 1, asks: true });
  const reader = await streaming;
  await eventually(() => expect(reader.messages).toEqual([question(1)]));
  return { call, reader };
}

test("a server's question moves the call's deadline: people take longer than programs", async () => {
  const { runner } = installation;
  const { call, reader } = await ask(await beginSession(installation));
  const until = Date.now() + PAST_DEADLINE_MS;
  const progress = { jsonrpc: "2.0", method: "notifications/progress", params: { progress: 1 } };
  let place = 2;
  // The connection is kept busy: it is the call's time that is looked at.
  await eventually(
    () => {
      if (place < 500) runner.send(call, progress, { place: place++ });
      expect(Date.now()).toBeGreaterThan(until);
    },
    { timeoutMs: 2 * PAST_DEADLINE_MS },
  );
  expect(reader.ended).toBe(false);
  runner.answer(call, { done: true }, { place });
  await eventually(() => expect(reader.messages.at(-1).result).toEqual({ done: true }));
}, 30_000);

test("an answer reaches the runner that asked, through any replica, as the client wrote it", async () => {
  const session = await beginSession(installation);
  const { call } = await ask(session);
  const answers = [answerTo(1), { ...answerTo(1), result: undefined, error: { code: -1, message: "no" } }];
  for (const [replica, answer] of answers.entries())
    expect(await session.post(answer, 1 - replica)).toMatchObject({ status: 202, text: "" });
  // Each came over its replica's own connection: which is first is nobody's promise.
  const relayed = answers.map((answer) => ({ envelope: { session: session.id }, frame: JSON.stringify(answer) }));
  await eventually(() => {
    expect(installation.runner.answers).toHaveLength(2);
    expect(installation.runner.answers).toEqual(expect.arrayContaining(relayed));
  });
  installation.runner.answer(call);
});

test("an answer from elsewhere comes with the session it is from, or not at all", async () => {
  const { runner } = installation;
  const session = await beginSession(installation);
  const { call } = await ask(session);
  const colleague = await beginSession(installation, { token: "colleague-token" });
  expect((await colleague.post(answerTo(1))).status).toBe(202);
  // Under a session that is not the sender's, under one that is nobody's, and under none.
  const as = (token: string, headers: object) =>
    readEvents(installation.url(), {
      method: "POST",
      token,
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(answerTo(1, { stolen: true })),
    });
  for (const headers of [{ "mcp-session-id": session.id }, { "mcp-session-id": "nobody's" }, {}])
    expect((await as("colleague-token", headers)).status).toBe(202);
  await session.post(answerTo(2));
  await eventually(() => expect(runner.answers.at(-1)?.frame).toBe(JSON.stringify(answerTo(2))));
  expect(runner.answers.map(({ envelope }) => envelope.session)).toEqual([colleague.id, session.id]);
  runner.answer(call);
});

test("answers that are to nothing are accepted, and go nowhere", async () => {
  const session = await beginSession(installation);
  for (const id of [0, "ping-1", "tollgate-r-", "tollgate-r-x y-1", "tollgate-*-1", null]) {
    const { status, text } = await session.post({ jsonrpc: "2.0", id, result: {} });
    expect([id, status, text]).toEqual([id, 202, ""]);
  }
  await session.post(answerTo(3));
  await eventually(() => expect(installation.runner.answers).toHaveLength(1));
});

test("what a client tells its servers reaches the runners that hold its connections, and no other", async () => {
  const { runner } = installation;
  const session = await beginSession(installation);
  const notice = { jsonrpc: "2.0", method: "notifications/roots/list_changed" };
  expect((await session.post(notice)).status).toBe(202);
  runner.onCall = (call) => runner.answer(call, {}, { runner: runner.name });
  await session.request("tools/call", { name: "one__echo" });
  // Told to the second replica, which has to learn whose connection it is.
  await eventually(async () => {
    await session.post(notice, 1);
    expect(runner.answers.at(-1)).toEqual({ envelope: { session: session.id }, frame: JSON.stringify(notice) });
  });
  // From then on the session's calls to this server are for that runner.
  await session.request("tools/call", { name: "one__echo" }, { replica: 1 });
  expect(runner.bound).toHaveLength(1);
  await session.request("tools/call", { name: "two__echo" }, { replica: 1 });
  expect(runner.bound).toHaveLength(1);
  // When it ends its connections are needed no more.
  expect(await session.end(1)).toBe(200);
  await eventually(() =>
    expect(runner.answers.at(-1)).toEqual({ envelope: { session: session.id, ended: true }, frame: "{}" }),
  );
});

test("a call is cancelled through another replica than took it, by its own session only", async () => {
  const { runner } = installation;
  runner.onCall = () => undefined;
  const [session, other] = [await beginSession(installation), await beginSession(installation)];
  const waiting = session.request("tools/call", { name: "one__echo" }, { id: "slow" });
  const call = await eventually(() => (expect(runner.calls).toHaveLength(1), runner.calls[0]!));
  const cancel = (whose: ClientSession, requestId: unknown) =>
    whose.post({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId } }, 1);
  await cancel(other, "slow");
  await cancel(session, "fast");
  expect((await cancel(session, "slow")).status).toBe(202);
  await eventually(() => expect(runner.cancelled).toEqual([call.envelope.id]));
  runner.answer(call);
  await waiting;
});

test("a call that is cancelled while it is being decided is cancelled all the same", async () => {
  const { runner, around } = installation;
  runner.onCall = () => undefined;
  around.policy.tokens.set("hasty-token", principal({ id: "hasty" }));
  const session = await beginSession(installation, { token: "hasty-token" });
  const cancel = { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: "early" } };
  around.policy.beforeDecide = () => session.post(cancel);
  const waiting = session.request("tools/call", { name: "one__echo" }, { id: "early" });
  const call = await eventually(() => (expect(runner.calls).toHaveLength(1), runner.calls[0]!));
  await eventually(() => expect(runner.cancelled).toEqual([call.envelope.id]));
  runner.answer(call);
  await waiting;
  around.policy.beforeDecide = () => undefined;
});
