import { randomUUID } from "node:crypto";
import type { ReplyEnvelope } from "@tollgate/contracts";
import { newCallId } from "@tollgate/contracts";
import { eventually, useInfrastructure } from "@tollgate/testkit";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Bus } from "../src/connection.ts";
import type { Framed } from "../src/framing.ts";
import { createReplySender, type ReplySender, subscribeReplies } from "../src/replies.ts";
import { followSession, followStream, publishToSession } from "../src/resume.ts";
import { useBus } from "./connected.ts";

const connect = useBus(useInfrastructure());
const followers: { stop(): Promise<void> }[] = [];
let gateway: Bus;
let runner: Bus;
let sender: ReplySender;

beforeAll(async () => {
  gateway = await connect();
  runner = await connect();
  sender = createReplySender(runner);
});
afterEach(async () => {
  await Promise.all(followers.splice(0).map((each) => each.stop()));
});

const frameOf = (place: number) => `{"jsonrpc":"2.0","method":"notifications/progress","params":{"place":${place}}}`;
const send = (id: string, place: number, final = false) =>
  sender.send("g-first", { envelope: { id, final, place, owner: "acme\ndev\ns" }, frame: frameOf(place) });
const upTo = (length: number) => Array.from({ length }, (_, at) => at + 1);
const placesOf = (replies: readonly Framed<ReplyEnvelope>[]) => replies.map(({ envelope }) => envelope.place);

async function follow(id: string, over = gateway): Promise<Framed<ReplyEnvelope>[]> {
  const replies: Framed<ReplyEnvelope>[] = [];
  followers.push(await followStream(over, id, (reply) => replies.push(reply)));
  return replies;
}

async function consumersOnReplies(): Promise<number> {
  return (await gateway.jsm.streams.info(gateway.subjects.streams.replies)).state.consumer_count;
}

describe("a call's stream", () => {
  it("reaches its gateway in order, one frame in each message, and whole", async () => {
    const replies: Framed<ReplyEnvelope>[] = [];
    let messages = 0;
    subscribeReplies(gateway, "g-first", (reply) => replies.push(reply));
    gateway.connection.subscribe(gateway.subjects.streamsOf("g-first"), { callback: () => void (messages += 1) });
    await gateway.connection.flush();
    const id = newCallId(Date.now());
    for (const place of upTo(200)) send(id, place, place === 200);
    await eventually(() => expect(placesOf(replies)).toEqual(upTo(200)));
    expect(messages).toBe(200);
    expect(replies.at(-1)).toEqual({
      envelope: { id, final: true, place: 200, owner: "acme\ndev\ns" },
      frame: frameOf(200),
    });
  });

  it("is read from its first frame on by another connection, while it goes on and after its end", async () => {
    const id = newCallId(Date.now());
    for (const place of upTo(50)) send(id, place);
    const other = await connect();
    const during = await follow(id, other);
    await eventually(() => expect(placesOf(during)).toEqual(upTo(50)));
    for (const place of upTo(50)) send(id, 50 + place, place === 50);
    await eventually(() => expect(placesOf(during)).toEqual(upTo(100)));
    const after = await follow(id, other);
    await eventually(() => expect(after).toEqual(during));
  });

  it("holds no other call's frames", async () => {
    const [mine, others] = [newCallId(Date.now()), newCallId(Date.now())];
    for (const place of upTo(20)) {
      send(others, place);
      send(mine, place);
    }
    const replies = await follow(mine);
    await eventually(() => expect(replies).toHaveLength(20));
    expect(new Set(replies.map(({ envelope }) => envelope.id))).toEqual(new Set([mine]));
  });

  it("goes on after a message that no runner wrote", async () => {
    const id = newCallId(Date.now());
    const replies = await follow(id);
    send(id, 1);
    for (const text of ["", "no frames", "null\n{}\n", '{"id":'])
      await runner.js.publish(runner.subjects.stream("g-first", id), text);
    send(id, 2);
    await eventually(() => expect(placesOf(replies)).toEqual([1, 2]));
  });

  it("of which only the answer is there is not kept", async () => {
    const id = newCallId(Date.now());
    const { replies: stream } = gateway.subjects.streams;
    const before = (await gateway.jsm.streams.info(stream)).state.last_seq;
    sender.send("g-first", { envelope: { id, final: true }, frame: "{}" });
    await runner.connection.flush();
    expect((await gateway.jsm.streams.info(stream)).state.last_seq).toBe(before);
  });

  it("leaves nothing on the server once nobody follows it", async () => {
    await eventually(async () => expect(await consumersOnReplies()).toBe(0));
    const following = await followStream(gateway, newCallId(Date.now()), () => undefined);
    expect(await consumersOnReplies()).toBe(1);
    await following.stop();
    await eventually(async () => expect(await consumersOnReplies()).toBe(0));
    await expect(following.stop()).resolves.toBeUndefined();
  });
});

describe("what is said to a session", () => {
  interface Heard {
    readonly frame: string;
    readonly place: number;
  }
  async function hear(session: string, after?: number): Promise<Heard[]> {
    const heard: Heard[] = [];
    const onFrame = (frame: string, place: number) => void heard.push({ frame, place });
    followers.push(await followSession(gateway, { session, after, onFrame }));
    return heard;
  }
  const say = (session: string, text: string, id = randomUUID()) =>
    publishToSession(runner, session, id, JSON.stringify({ text }));
  const textsOf = (heard: readonly Heard[]) => heard.map(({ frame }) => (JSON.parse(frame) as { text: string }).text);

  it("comes from now on, in order, and to this session only", async () => {
    const [mine, others] = [`s-${randomUUID()}`, `s-${randomUUID()}`];
    await say(mine, "before");
    const heard = await hear(mine);
    for (const text of ["a", "b", "c"]) {
      await say(others, `not ${text}`);
      await say(mine, text);
    }
    await eventually(() => expect(textsOf(heard)).toEqual(["a", "b", "c"]));
    const places = heard.map(({ place }) => place);
    expect(places).toEqual(places.toSorted((one, other) => one - other));
  });

  it("comes again after the place that was had last: nothing twice, nothing lost", async () => {
    const session = `s-${randomUUID()}`;
    const first = await hear(session);
    for (const text of ["a", "b", "c"]) await say(session, text);
    await eventually(() => expect(first).toHaveLength(3));
    await followers.pop()!.stop();
    await say(session, "d");
    const second = await hear(session, first[1]!.place);
    await say(session, "e");
    await eventually(() => expect(textsOf(second)).toEqual(["c", "d", "e"]));
  });

  it("comes all when the place is before its first, and goes on when it is of no message that there ever was", async () => {
    const session = `s-${randomUUID()}`;
    await say(session, "a");
    const all = await hear(session, 0);
    const ahead = await hear(session, 999_999_999_999_999);
    await eventually(() => expect(textsOf(all)).toEqual(["a"]));
    await say(session, "b");
    await eventually(() => expect(textsOf(all)).toEqual(["a", "b"]));
    await eventually(() => expect(textsOf(ahead)).toEqual(["b"]));
  });

  it("is one message, however often it is said under the same id", async () => {
    const session = `s-${randomUUID()}`;
    const heard = await hear(session);
    const id = randomUUID();
    await Promise.all([1, 2, 3].map(() => say(session, "once", id)));
    await say(session, "next");
    await eventually(() => expect(textsOf(heard)).toEqual(["once", "next"]));
  });

  it("goes on after a message that nobody of ours wrote", async () => {
    const session = `s-${randomUUID()}`;
    const heard = await hear(session);
    for (const text of ["", "no frames", "7\n{}\n"]) await runner.js.publish(runner.subjects.session(session), text);
    await say(session, "next");
    await eventually(() => expect(textsOf(heard)).toEqual(["next"]));
  });
});
