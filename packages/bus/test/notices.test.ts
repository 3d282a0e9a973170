import { eventually, useInfrastructure } from "@tollgate/testkit";
import { beforeAll, describe, expect, it } from "vitest";
import type { Bus } from "../src/connection.ts";
import {
  publishAbandoned,
  publishAnswer,
  publishInterest,
  publishUpdate,
  subscribeAbandoned,
  subscribeAnswers,
  subscribeInterests,
  subscribeUpdates,
} from "../src/notices.ts";
import { useBus } from "./connected.ts";

const connect = useBus(useInfrastructure());
let gateway: Bus;
let runner: Bus;
beforeAll(async () => {
  gateway = await connect();
  runner = await connect();
});

/** Subscribes, and waits until the server knows of it. */
async function heardBy<T>(over: Bus, subscribe: (onHeard: (heard: T) => void) => void): Promise<T[]> {
  const heard: T[] = [];
  subscribe((each) => heard.push(each));
  await over.connection.flush();
  return heard;
}

describe("notices", () => {
  it("of answers reach the runner that asked, as the client wrote them", async () => {
    const mine = await heardBy(runner, (onAnswer) => subscribeAnswers(runner, "r-1", onAnswer));
    const others = await heardBy(runner, (onAnswer) => subscribeAnswers(runner, "r-2", onAnswer));
    const answer = { envelope: { session: "s-1" }, frame: '{"jsonrpc":"2.0", "id":"q" ,"result":{"a":1.0}}' };
    publishAnswer(gateway, "r-1", answer);
    publishAnswer(gateway, "r-2", { ...answer, frame: '{"id":\n"q"}' });
    await eventually(() => expect([mine, others]).toEqual([[answer], [{ ...answer, frame: '{"id": "q"}' }]]));
  });

  it("of abandoned requests reach every gateway, with the id's type", async () => {
    const other = await connect();
    const heard = [
      await heardBy(gateway, (onAbandoned) => subscribeAbandoned(gateway, onAbandoned)),
      await heardBy(other, (onAbandoned) => subscribeAbandoned(other, onAbandoned)),
    ];
    publishAbandoned(runner, { session: "s-1", requestId: 7 });
    publishAbandoned(runner, { session: "s-1", requestId: "7" });
    const both = [
      { session: "s-1", requestId: 7 },
      { session: "s-1", requestId: "7" },
    ];
    await eventually(() => expect(heard).toEqual([both, both]));
  });

  it("of interests reach every runner of their group, and of no other", async () => {
    const other = await connect();
    const heard = [
      await heardBy(runner, (onInterest) => subscribeInterests(runner, "demo", onInterest)),
      await heardBy(other, (onInterest) => subscribeInterests(other, "demo", onInterest)),
      await heardBy(other, (onInterest) => subscribeInterests(other, "elsewhere", onInterest)),
    ];
    const interest = { tenant: "acme", server: "one", uris: ["file:///a", "语"], session: "s-1" };
    publishInterest(gateway, "demo", interest);
    await eventually(() => expect(heard).toEqual([[interest], [interest], []]));
  });

  it("of updates reach every gateway, as the server wrote them", async () => {
    const heard = await heardBy(gateway, (onUpdate) => subscribeUpdates(gateway, onUpdate));
    const update = {
      envelope: { tenant: "acme", server: "one", uri: "file:///a" },
      frame: '{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"file:///a","x":1.50}}',
    };
    publishUpdate(runner, update);
    await eventually(() => expect(heard).toEqual([update]));
  });

  it("that nobody of ours wrote, and readers that fail, do not end a subscription", async () => {
    const heard: string[] = [];
    subscribeAnswers(runner, "r-3", ({ frame }) => {
      heard.push(frame);
      if (frame === '"bad"') throw new Error("not prepared for this");
    });
    await runner.connection.flush();
    const subject = runner.subjects.answers("r-3");
    for (const text of ["", "\n", "{", "[]\n{}\n", "null\n{}\n", "7\n\n", "\0\0"])
      gateway.connection.publish(subject, text);
    gateway.connection.publish(subject, Buffer.from([0xff, 0x0a, 0xfe, 0x0a]));
    publishAnswer(gateway, "r-3", { envelope: { session: "s" }, frame: '"bad"' });
    publishAnswer(gateway, "r-3", { envelope: { session: "s" }, frame: '"good"' });
    await eventually(() => expect(heard).toEqual(['"bad"', '"good"']));
  });
});
