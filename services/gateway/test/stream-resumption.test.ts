import { eventually } from "@tollgate/testkit";
import { beforeEach, describe, expect, test } from "vitest";
import { useInstallation } from "./installation.ts";
import { beginSession, type ClientSession, cutStreamsAfterEach, type EventReader } from "./mcp-connections.ts";

const installation = useInstallation({ replicas: 2 });
cutStreamsAfterEach();

const CALL = { name: "one__echo", _meta: { progressToken: "p" } };
const progress = (at: number) => ({ jsonrpc: "2.0", method: "notifications/progress", params: { progress: at } });
const progressIn = (reader: EventReader) =>
  reader.messages.flatMap(({ params }) => (params?.progress === undefined ? [] : [params.progress]));

let session: ClientSession;
beforeEach(async () => {
  session = await beginSession(installation);
  installation.runner.onCall = () => undefined;
});

/** A call on the first replica, of which frames 1 to `frames` have come. */
async function beginCall(frames = 3, whose = session) {
  const { runner } = installation;
  const before = runner.calls.length;
  const answering = whose.stream("tools/call", CALL);
  const call = await eventually(() => (expect(runner.calls).toHaveLength(before + 1), runner.calls[before]!));
  for (let place = 1; place <= frames; place++) runner.send(call, progress(place), { place });
  const reader = await answering;
  await eventually(() => expect(reader.events).toHaveLength(frames));
  return { call, reader, id: call.envelope.id };
}

describe("the stream of a call", () => {
  test("has ids that say the call and the place, and ends with the answer", async () => {
    const { call, reader, id } = await beginCall(2);
    expect(reader.headers.get("content-type")).toBe("text/event-stream");
    installation.runner.answer(call, { done: true }, { place: 3 });
    await eventually(() => expect(reader.ended).toBe(true));
    expect(reader.ids).toEqual([`${id}.1`, `${id}.2`, `${id}.3`]);
    expect(reader.messages).toEqual([
      progress(1),
      progress(2),
      { jsonrpc: "2.0", id: expect.any(Number), result: { done: true } },
    ]);
  });

  test.each([
    ["after the answer", false],
    ["while the call goes on", true],
  ])("that was cut is read on at another replica, %s", async (_when, goesOn) => {
    const { runner } = installation;
    const { call, reader, id } = await beginCall(3);
    reader.cut();
    const finish = () => {
      runner.send(call, progress(4), { place: 4 });
      runner.answer(call, { done: true }, { place: 5 });
    };
    if (!goesOn) finish();
    const rest = await session.listen({ replica: 1, lastEventId: `${id}.2` });
    await eventually(() => expect(progressIn(rest)).toContain(3));
    if (goesOn) finish();
    await eventually(() => expect(rest.ended).toBe(true));
    expect(rest.ids).toEqual([`${id}.3`, `${id}.4`, `${id}.5`]);
    expect(rest.messages.at(-1).result).toEqual({ done: true });
    // A legacy client that went away has not cancelled.
    expect(runner.cancelled).toEqual([]);
  });

  test("is read on as often as its client needs, from any place", async () => {
    const { call, id } = await beginCall(5);
    installation.runner.answer(call, {}, { place: 6 });
    for (const place of [0, 1, 5]) {
      const rest = await session.listen({ replica: place % 2, lastEventId: `${id}.${place}` });
      await eventually(() => expect(rest.ended).toBe(true));
      expect(rest.ids).toEqual([1, 2, 3, 4, 5, 6].slice(place).map((each) => `${id}.${each}`));
    }
  });

  test("says nothing to another session, of the same principal or of another", async () => {
    const { call, id } = await beginCall(3);
    const strangers = await Promise.all(
      ["token", "colleague-token", "rival-token"].map((token) => beginSession(installation, { token })),
    );
    const readers = await Promise.all(
      strangers.flatMap((each) => [0, 1].map((replica) => each.listen({ replica, lastEventId: `${id}.0` }))),
    );
    // And to nobody under a session that is not theirs.
    const stolen = await session.listen({ lastEventId: `${id}.0`, token: "colleague-token" });
    expect(stolen.status).toBe(404);
    installation.runner.answer(call, {}, { place: 4 });
    const own = await session.listen({ replica: 1, lastEventId: `${id}.0` });
    await eventually(() => expect(own.ended).toBe(true));
    for (const reader of readers) expect(reader.events).toEqual([]);
  });

  test("does not take the place of the session's own stream", async () => {
    const standing = await session.listen();
    const { call, reader, id } = await beginCall(1);
    reader.cut();
    installation.runner.answer(call, {}, { place: 2 });
    const rest = await session.listen({ lastEventId: `${id}.1` });
    await eventually(() => expect(rest.ended).toBe(true));
    await installation.runner.say(session.id, progress(99));
    await eventually(() => expect(progressIn(standing)).toEqual([99]));
  });
});

describe("a call whose client prefers a stream", () => {
  const prefer = async (whose: ClientSession) => {
    const { runner } = installation;
    const before = runner.calls.length;
    const reader = await whose.stream("tools/call", CALL, { accept: "text/event-stream, application/json" });
    const call = await eventually(() => (expect(runner.calls).toHaveLength(before + 1), runner.calls[before]!));
    return { reader, call, id: call.envelope.id };
  };

  test("can be resumed from its beginning, and the connection is not held for it", async () => {
    const { reader, call, id } = await prefer(session);
    expect(call.envelope.stream).toBe(true);
    await eventually(() => expect(reader.events).toEqual([{ id: `${id}.0`, event: "message", data: "" }]));
    await eventually(() => expect(reader.ended).toBe(true));
    expect(installation.runner.cancelled).toEqual([]);
    const rest = await session.listen({ replica: 1, lastEventId: `${id}.0` });
    installation.runner.answer(call, { done: true }, { place: 1 });
    await eventually(() => expect(rest.ended).toBe(true));
    expect(rest.ids).toEqual([`${id}.1`]);
    expect(rest.messages[0].result).toEqual({ done: true });
  });

  test("has its answer on the stream, and no ids of a beginning in a revision that knows none", async () => {
    installation.runner.onCall = (call) => installation.runner.answer(call, { done: true });
    const { reader } = await prefer(await beginSession(installation, { protocol: "2025-03-26" }));
    await eventually(() => expect(reader.ended).toBe(true));
    expect(reader.messages.map(({ result }) => result)).toEqual([{ done: true }]);
    expect(reader.events).toHaveLength(1);
  });

  test("so it is for one that merely takes long", async () => {
    const streaming = session.stream("tools/call", CALL);
    const reader = await streaming;
    const { envelope } = installation.runner.calls.at(-1)!;
    expect(reader.headers.get("content-type")).toBe("text/event-stream");
    await eventually(() => expect(reader.ids).toEqual([`${envelope.id}.0`]));
    installation.runner.answer(installation.runner.calls.at(-1)!, {}, { place: 1 });
    await eventually(() => expect(reader.ids).toEqual([`${envelope.id}.0`, `${envelope.id}.1`]));
  });
});

describe("the stream of a session", () => {
  const hear = async (reader: EventReader, ...expected: number[]) =>
    eventually(() => expect(progressIn(reader)).toEqual(expected));
  const say = (at: number, whose = session) => installation.runner.say(whose.id, progress(at));

  test("brings what is said to it, to it only, with ids from which another replica goes on", async () => {
    const other = await beginSession(installation);
    const [mine, others] = [await session.listen(), await other.listen()];
    await say(1);
    await say(2, other);
    await say(3);
    await hear(mine, 1, 3);
    await hear(others, 2);
    expect(mine.ids).toEqual([expect.stringMatching(/^s\.\d+$/), expect.stringMatching(/^s\.\d+$/)]);
    mine.cut();
    await say(4);
    const rest = await session.listen({ replica: 1, lastEventId: mine.ids[0]! });
    await say(5);
    await hear(rest, 3, 4, 5);
  });

  test("gives another session that brings its id nothing of its own", async () => {
    const mine = await session.listen();
    await say(1);
    await hear(mine, 1);
    const other = await beginSession(installation, { token: "rival-token" });
    const reader = await other.listen({ lastEventId: "s.0" });
    await say(2, other);
    await eventually(() => expect(progressIn(reader)).toEqual([2]));
  });

  test("goes to the newest reader: the one before is ended", async () => {
    const first = await session.listen();
    const second = await session.listen();
    await eventually(() => expect(first.ended).toBe(true));
    await say(1);
    await hear(second, 1);
    expect(first.events).toEqual([]);
    expect(second.ended).toBe(false);
  });

  test.each([0, 1])("ends when its session does, wherever that was ended: replica %i", async (replica) => {
    const reader = await session.listen();
    expect(await session.end(replica)).toBe(200);
    await eventually(() => expect(reader.ended).toBe(true));
    expect((await session.listen()).status).toBe(404);
  });

  test.each(["", "nothing", "s.", "s.x", "s.-1", "s.99999999999999999999", "x.1", "s.999999999999999"])(
    "begins anew after an id that was none of ours: %j",
    async (lastEventId) => {
      const reader = await session.listen({ lastEventId });
      expect(reader.status).toBe(200);
      await eventually(async () => {
        await say(1);
        expect(reader.events.length).toBeGreaterThan(0);
      });
    },
  );
});

describe("a GET is answered at once", () => {
  const get = async (headers: Record<string, string>) => {
    const response = await fetch(installation.url(), { headers: { authorization: "Bearer token", ...headers } });
    return [response.status, response.headers.get("allow"), await response.json()];
  };
  const stream = { accept: "text/event-stream" };

  test("405 without a session, 404 with one that is not known, 406 when it would not read a stream", async () => {
    expect(await get(stream)).toMatchObject([405, "POST", { error: { code: -32600 } }]);
    expect(await get({ ...stream, "mcp-session-id": "nobody's" })).toMatchObject([404, null, { error: {} }]);
    for (const accept of ["application/json", "text/html"])
      expect(await get({ accept, "mcp-session-id": session.id })).toMatchObject([406, null, { error: {} }]);
  });

  test("401 without a token, 404 where no route leads", async () => {
    expect((await session.listen({ token: "nobody's" })).status).toBe(401);
    const astray = await fetch(installation.url("/mcp/nowhere"), {
      headers: { ...stream, authorization: "Bearer token", "mcp-session-id": session.id },
    });
    expect(astray.status).toBe(404);
  });
});
