import { eventually } from "@tollgate/testkit";
import { beforeEach, describe, expect, test } from "vitest";
import { principal } from "./controlled-policy.ts";
import { useInstallation } from "./installation.ts";
import { beginSession, cutStreamsAfterEach, type EventReader, streamModern } from "./mcp-connections.ts";
import { connectWebSocket } from "./websocket-client.ts";

const installation = useInstallation();
cutStreamsAfterEach();

const URI = "mcp+one+file:///a";
const OTHER = "mcp+one+file:///b";
/** Updated once only, so that what came before it is over when it is heard. */
const MARK = "mcp+one+file:///mark";
/** In this order: whoever hears of the last one hears of all. */
const ALL = [MARK, OTHER, URI];
const update = (uri: string) => installation.runner.update({ tenant: "acme", server: "one", uri });
const urisIn = (messages: readonly any[]) =>
  messages.flatMap(({ method, params }) => (method === "notifications/resources/updated" ? [params.uri] : []));

/** Holds back what policy says of an action until the test lets it go. */
function holdDecisions(): () => void {
  let release = () => undefined as void;
  const held = new Promise<void>((resolve) => (release = resolve));
  installation.around.policy.beforeDecide = () => held;
  return release;
}

beforeEach(async () => {
  const { policy } = installation.around;
  policy.beforeDecide = () => undefined;
  policy.more = {};
  policy.tokens.set("reader", principal({ id: "reader" }));
  // What the last test has taken away is forgotten.
  await policy.changeTaken();
});

/** Every way to hear of a resource. */
const WAYS = [
  [
    "a session's stream",
    async () => {
      const session = await beginSession(installation, { token: "reader" });
      const reader = await session.listen();
      for (const uri of ALL) await session.request("resources/subscribe", { uri });
      return { messages: () => reader.messages, isClosed: () => reader.ended, close: () => reader.cut() };
    },
  ],
  [
    "subscriptions/listen",
    async () => {
      const notifications = { resourceSubscriptions: ALL };
      const reader: EventReader = await streamModern(
        installation.url(),
        "subscriptions/listen",
        { notifications },
        { token: "reader" },
      );
      return { messages: () => reader.messages, isClosed: () => reader.ended, close: () => reader.cut() };
    },
  ],
  [
    "WebSocket",
    async () => {
      const socket = await connectWebSocket(installation, { token: "reader" });
      await socket.initialize();
      for (const uri of ALL) await socket.request("resources/subscribe", { uri });
      return {
        messages: () => socket.messages,
        isClosed: () => socket.closed !== undefined,
        close: () => socket.close(),
      };
    },
  ],
] as const;

describe.each(WAYS)("%s", (_way, open) => {
  const opened = async () => {
    const stream = await open();
    await eventually(() => {
      update("file:///a");
      expect(urisIn(stream.messages())).toContain(URI);
    });
    update("file:///mark");
    await eventually(() => expect(urisIn(stream.messages())).toContain(MARK));
    return stream;
  };

  test("tells nothing of a resource that may not be read any more, from when the change has returned", async () => {
    const { policy } = installation.around;
    const stream = await opened();
    const release = holdDecisions();
    policy.allow = (_request, { tool }) => tool !== "file:///a";
    await policy.changeTaken();
    const heard = urisIn(stream.messages()).length;
    // The gateway does not know yet what the change has taken away.
    for (let i = 0; i < 10; i++) update("file:///a");
    update("file:///b");
    release();
    await eventually(() => expect(urisIn(stream.messages())).toContain(OTHER));
    expect(urisIn(stream.messages()).slice(heard)).toEqual([OTHER]);
    stream.close();
  });

  test("goes on with what was held back, where nothing was taken away", async () => {
    const { policy } = installation.around;
    const stream = await opened();
    const release = holdDecisions();
    await policy.changeTaken();
    const heard = urisIn(stream.messages()).length;
    update("file:///b");
    update("file:///a");
    await installation.runner.bus.connection.flush();
    expect(urisIn(stream.messages())).toHaveLength(heard);
    release();
    await eventually(() => expect(urisIn(stream.messages()).slice(heard)).toEqual([OTHER, URI]));
    stream.close();
  });

  test("is closed, and tells nothing more, when its caller may not be here any more", async () => {
    const { policy } = installation.around;
    const stream = await opened();
    policy.tokens.delete("reader");
    await policy.changeTaken();
    const heard = urisIn(stream.messages()).length;
    for (let i = 0; i < 10; i++) update("file:///a");
    await eventually(() =>
      expect(stream.isClosed() || stream.messages().some(({ result }) => result?.resultType)).toBe(true),
    );
    expect(urisIn(stream.messages())).toHaveLength(heard);
    stream.close();
  });
});

test("what may be read until a time is told until then", async () => {
  const { policy } = installation.around;
  const session = await beginSession(installation, { token: "reader" });
  const reader = await session.listen();
  for (const uri of ALL) await session.request("resources/subscribe", { uri });
  const until = Date.now() + 1_000;
  policy.more = { validUntilMs: BigInt(until) };
  await policy.changeTaken();
  await eventually(() => {
    update("file:///a");
    expect(urisIn(reader.messages)).toContain(URI);
  });
  update("file:///mark");
  await eventually(() => expect(urisIn(reader.messages)).toContain(MARK));
  policy.allow = (_request, { tool }) => tool !== "file:///a";
  policy.more = {};
  await eventually(() => expect(Date.now()).toBeGreaterThan(until));
  const heard = urisIn(reader.messages).length;
  update("file:///a");
  update("file:///b");
  await eventually(() => expect(urisIn(reader.messages).slice(heard)).toEqual([OTHER]));
});

test("what is said to a session, and the rest of a call's stream, wait as well", async () => {
  const { policy } = installation.around;
  const session = await beginSession(installation, { token: "reader" });
  const reader = await session.listen();
  const say = (data: string) =>
    installation.runner.say(session.id, { jsonrpc: "2.0", method: "notifications/message", params: { data } });
  await say("before");
  await eventually(() => expect(reader.messages).toHaveLength(1));
  policy.tokens.delete("reader");
  await policy.changeTaken();
  await say("after");
  await eventually(() => expect(reader.ended).toBe(true));
  expect(reader.messages).toHaveLength(1);
});

test("calls that were let in before the change are answered", async () => {
  const { policy } = installation.around;
  installation.runner.onCall = () => undefined;
  const session = await beginSession(installation, { token: "reader" });
  const answer = session.request("tools/call", { name: "one__echo" });
  await eventually(() => expect(installation.runner.calls).toHaveLength(1));
  policy.allow = () => false;
  await policy.changeTaken();
  installation.runner.answer(installation.runner.calls[0]!, { content: [] });
  expect((await answer).last.result).toEqual({ content: [] });
});

test("while policy is not heard from, nothing is told", async () => {
  const { policy } = installation.around;
  const session = await beginSession(installation, { token: "reader" });
  const reader = await session.listen();
  for (const uri of ALL) await session.request("resources/subscribe", { uri });
  await eventually(() => {
    update("file:///a");
    expect(urisIn(reader.messages)).toContain(URI);
  });
  update("file:///mark");
  await eventually(() => expect(urisIn(reader.messages)).toContain(MARK));
  policy.renewing = false;
  await eventually(async () => expect((await fetch(installation.url("/readyz"))).status).toBe(503));
  const heard = reader.messages.length;
  update("file:///a");
  await installation.runner.bus.connection.flush();
  expect((await fetch(installation.url("/readyz"))).status).toBe(503);
  expect(reader.messages).toHaveLength(heard);
  policy.renewing = true;
  await eventually(() => expect(reader.messages.length).toBeGreaterThan(heard));
});
