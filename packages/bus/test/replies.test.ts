import type { ReplyEnvelope } from "@tollgate/contracts";
import { eventually, useInfrastructure } from "@tollgate/testkit";
import { beforeAll, describe, expect, it } from "vitest";
import type { Bus } from "../src/connection.ts";
import type { Framed } from "../src/framing.ts";
import { createReplySender, subscribeReplies } from "../src/replies.ts";
import { MESSAGE_MAX_BYTES } from "../src/streams.ts";
import { useBus } from "./connected.ts";

const connect = useBus(useInfrastructure());
let gateway: Bus;
let runner: Bus;
beforeAll(async () => {
  gateway = await connect();
  runner = await connect();
});

const reply = (id: string, frame = `{"jsonrpc":"2.0","id":"${id}","result":{}}`): Framed<ReplyEnvelope> => ({
  envelope: { id, final: true },
  frame,
});

async function receive(name: string): Promise<{ replies: Framed<ReplyEnvelope>[]; messages: () => number }> {
  const replies: Framed<ReplyEnvelope>[] = [];
  let messages = 0;
  subscribeReplies(gateway, name, (each) => void replies.push(each));
  gateway.connection.subscribe(gateway.subjects.repliesOf(name), { callback: () => void (messages += 1) });
  await gateway.connection.flush();
  return { replies, messages: () => messages };
}

describe("replies", () => {
  it("of one tick travel together, in order, each to its gateway", async () => {
    const one = await receive("g-one");
    const two = await receive("g-two");
    const sender = createReplySender(runner);
    for (let at = 0; at < 50; at++) sender.send(at % 2 === 0 ? "g-one" : "g-two", reply(`c-${at}`));
    await eventually(() => expect(one.replies.length + two.replies.length).toBe(50));
    expect(one.replies.map(({ envelope }) => envelope.id)).toEqual(
      Array.from({ length: 25 }, (_, at) => `c-${at * 2}`),
    );
    expect([one.messages(), two.messages()]).toEqual([1, 1]);
  });

  it("are cut into messages that are not too large", async () => {
    const { replies, messages } = await receive("g-large");
    const sender = createReplySender(runner);
    const frame = JSON.stringify("x".repeat(200_000));
    for (let at = 0; at < 12; at++) sender.send("g-large", reply(`c-${at}`, frame));
    for (let at = 0; at < 600; at++) sender.send("g-large", reply(`s-${at}`));
    await eventually(() => expect(replies).toHaveLength(612));
    expect(messages()).toBeGreaterThanOrEqual(8);
    expect(replies.map(({ envelope }) => envelope.id).slice(-2)).toEqual(["s-598", "s-599"]);
  });

  it("that cannot be sent do not take others with them", async () => {
    const { replies } = await receive("g-poison");
    const sender = createReplySender(runner);
    sender.send("g-poison", reply("too-large", "x".repeat(MESSAGE_MAX_BYTES)));
    sender.send("no.gateway > at * all", reply("nowhere"));
    sender.send("g-poison", reply("beside"));
    await eventually(() => expect(replies.map(({ envelope }) => envelope.id)).toEqual(["beside"]));
    sender.send("g-poison", reply("later"));
    await eventually(() => expect(replies.map(({ envelope }) => envelope.id)).toEqual(["beside", "later"]));
  });

  it("that no runner wrote do not keep others from arriving", async () => {
    const { replies } = await receive("g-strange");
    const subject = runner.subjects.reply("g-strange", "x");
    for (const text of ["", "not json\n{}\n", "null\n{}\n", "{"]) runner.connection.publish(subject, text);
    createReplySender(runner).send("g-strange", reply("good"));
    await eventually(() => expect(replies.map(({ envelope }) => envelope.id)).toEqual(["good"]));
  });

  it("arrive whole, whatever is in them", async () => {
    const { replies } = await receive("g-whole");
    const frame = '{"a": 1.50,\n "b":"\\u0000 語 🙂 \\n","a":2}';
    createReplySender(runner).send("g-whole", reply("c-1", frame));
    await eventually(() => expect(replies).toHaveLength(1));
    expect(replies[0]!.frame).toBe(frame.replace("\n", " "));
  });
});
