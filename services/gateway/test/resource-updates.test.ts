import { eventually } from "@tollgate/testkit";
import { describe, expect, test } from "vitest";
import { useInstallation } from "./installation.ts";
import {
  beginSession,
  type ClientSession,
  cutStreamsAfterEach,
  type EventReader,
  streamModern,
} from "./mcp-connections.ts";

const SUBSCRIPTION_ID = "io.modelcontextprotocol/subscriptionId";
const SINGLE = "/mcp/demo/one";

const installation = useInstallation({ replicas: 2 });
cutStreamsAfterEach();

const begin = (path?: string, token = "token") =>
  beginSession(installation, { ...(path === undefined ? {} : { path }), token });
const subscribe = (session: ClientSession, uri: string, replica = 0) =>
  session.request("resources/subscribe", { uri }, { replica });
const unsubscribe = (session: ClientSession, uri: string) => session.request("resources/unsubscribe", { uri });
const update = (uri: string, more: { session?: string; tenant?: string; server?: string } = {}) =>
  installation.runner.update({ tenant: "acme", server: "one", uri, ...more });
const urisIn = ({ messages }: EventReader) =>
  messages.flatMap(({ method, params }) => (method === "notifications/resources/updated" ? [params.uri] : []));
/** Sends updates until one has come: by then everything that was sent before would have come as well. */
const untilHeard = (reader: EventReader, uri: string, send: () => void) =>
  eventually(() => {
    send();
    expect(urisIn(reader)).toContain(uri);
  });

describe("what is wanted", () => {
  const latest = (session: ClientSession) =>
    installation.runner.interests.findLast((interest) => interest.session === session.id)?.uris.toSorted();

  test("is said to the server's group at once, with the server's own uris, and less when less is wanted", async () => {
    const session = await begin();
    const reader = await session.listen();
    expect((await subscribe(session, "mcp+one+file:///a")).last.result).toBeDefined();
    await eventually(() =>
      expect(installation.runner.interests).toContainEqual({
        tenant: "acme",
        server: "one",
        uris: ["file:///a"],
        session: session.id,
      }),
    );
    await subscribe(session, "ui://mcp+one+app/view", 1);
    await eventually(() => expect(latest(session)).toEqual(["file:///a", "ui://app/view"]));
    await unsubscribe(session, "mcp+one+file:///a");
    await eventually(() => expect(latest(session)).toEqual(["ui://app/view"]));
    expect(reader.ended).toBe(false);
  });

  test("is all of it, when a client subscribes to many at once", async () => {
    const session = await begin(SINGLE);
    await session.listen();
    const uris = Array.from({ length: 30 }, (_, at) => `file:///${String(at).padStart(2, "0")}`);
    await Promise.all(uris.map((uri, at) => subscribe(session, uri, at % 2)));
    await eventually(() => expect(latest(session)).toEqual(uris));
  });

  test("is nothing that the server has refused", async () => {
    const { runner } = installation;
    const session = await begin(SINGLE);
    await session.listen();
    runner.onCall = (call) => runner.fail(call, { code: -32002, message: "not found" });
    expect((await subscribe(session, "file:///none")).last.error.code).toBe(-32002);
    runner.onCall = (call) => runner.answer(call, {});
    await subscribe(session, "file:///a");
    await eventually(() => expect(latest(session)).toEqual(["file:///a"]));
  });

  test("is nothing that policy forbids, from its change on until it allows it again", async () => {
    const { policy } = installation.around;
    const uri = "file:///secret";
    const notifications = { resourceSubscriptions: ["file:///secret", "file:///a"] };
    const forbid = (forbidden: boolean) => {
      policy.allow = (_request, { tool }) => !forbidden || tool !== uri;
      policy.change();
    };
    const reader = await streamModern(installation.url(SINGLE), "subscriptions/listen", { notifications });
    await untilHeard(reader, uri, () => update(uri));
    forbid(true);
    const session = await begin(SINGLE);
    await eventually(async () => expect((await subscribe(session, uri)).last.error).toMatchObject({ code: -32003 }));
    const late = await streamModern(installation.url(SINGLE), "subscriptions/listen", { notifications });
    await untilHeard(late, "file:///a", () => (update(uri), update("file:///a")));
    expect(urisIn(late)).not.toContain(uri);
    await eventually(() => {
      const before = urisIn(reader).filter((each) => each === uri).length;
      update(uri);
      update("file:///a");
      expect(urisIn(reader).filter((each) => each === uri)).toHaveLength(before);
      expect(urisIn(reader)).toContain("file:///a");
    });
    forbid(false);
    for (const each of [reader, late]) await untilHeard(each, uri, () => update(uri));
  });
});

describe("an update", () => {
  test("reaches sessions and listeners of its tenant that want it, on every replica, whole", async () => {
    const session = await begin(SINGLE);
    const reader = await session.listen({ replica: 1 });
    await subscribe(session, "file:///a");
    const listener = await streamModern(installation.url(SINGLE), "subscriptions/listen", {
      notifications: { resourceSubscriptions: ["file:///a"] },
    });
    const rivals = await streamModern(
      installation.url(SINGLE),
      "subscriptions/listen",
      { notifications: { resourceSubscriptions: ["file:///a", "file:///b"] } },
      { token: "rival-token" },
    );
    const uninterested = await (await begin(SINGLE)).listen();
    for (const each of [reader, listener]) await untilHeard(each, "file:///a", () => update("file:///a"));
    expect(reader.messages.at(-1)).toEqual({
      jsonrpc: "2.0",
      method: "notifications/resources/updated",
      params: { uri: "file:///a", kept: 1.5 },
    });
    expect(listener.messages.at(-1).params).toEqual({
      uri: "file:///a",
      kept: 1.5,
      _meta: { [SUBSCRIPTION_ID]: 1 },
    });
    expect(urisIn(uninterested)).toEqual([]);
    const rivalUpdate = () => update("file:///b", { tenant: "rival" });
    await untilHeard(rivals, "file:///b", rivalUpdate);
    // Listening by now, it hears nothing of what others do.
    const [heard, rivalsHeard] = [urisIn(listener).length, urisIn(rivals).length];
    for (let at = 0; at < 5; at++) update("file:///a");
    await eventually(() => {
      rivalUpdate();
      expect(urisIn(listener).length).toBeGreaterThanOrEqual(heard + 5);
      expect(urisIn(rivals).length).toBeGreaterThan(rivalsHeard + 5);
    });
    expect(new Set(urisIn(rivals))).toEqual(new Set(["file:///b"]));
  });

  test("has, on a route of several, the uri as its client knows it, and is of that server alone", async () => {
    const session = await begin();
    const reader = await session.listen();
    await subscribe(session, "mcp+one+file:///a");
    await untilHeard(reader, "mcp+one+file:///a", () => {
      update("file:///a", { server: "two" });
      update("file:///b");
      update("file:///a");
    });
    expect(new Set(urisIn(reader))).toEqual(new Set(["mcp+one+file:///a"]));
  });

  test("from a session's own connection is for that session only", async () => {
    const [mine, other] = [await begin(SINGLE), await begin(SINGLE)];
    const readers = [await mine.listen(), await other.listen({ replica: 1 })] as const;
    for (const session of [mine, other]) await subscribe(session, "file:///a");
    await untilHeard(readers[1], "file:///a", () => update("file:///a", { session: other.id }));
    expect(urisIn(readers[0])).toEqual([]);
    await untilHeard(readers[0], "file:///a", () => update("file:///a", { session: mine.id }));
  });

  test("is not heard any more after unsubscribing", async () => {
    const session = await begin(SINGLE);
    const reader = await session.listen();
    for (const uri of ["file:///a", "file:///b"]) await subscribe(session, uri);
    await untilHeard(reader, "file:///a", () => update("file:///a"));
    await unsubscribe(session, "file:///a");
    await eventually(() => expect(installation.runner.interests.at(-1)?.uris).toEqual(["file:///b"]));
    const heard = urisIn(reader).length;
    update("file:///a");
    await untilHeard(reader, "file:///b", () => update("file:///b"));
    expect(urisIn(reader).slice(heard)).not.toContain("file:///a");
  });
});
