import { randomUUID } from "node:crypto";
import { eventually, useInfrastructure } from "@tollgate/testkit";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Bus } from "../src/connection.ts";
import { publishAcknowledged } from "../src/publish.ts";
import { MESSAGE_MAX_BYTES } from "../src/streams.ts";
import { useBus } from "./connected.ts";

const infra = useInfrastructure();
const connect = useBus(infra);
let bus: Bus;
beforeAll(async () => {
  bus = await connect();
});

const soon = () => Date.now() + 5_000;

async function stored(subject: string): Promise<number> {
  const info = await bus.jsm.streams.info(bus.subjects.streams.audit, { subjects_filter: subject });
  return info.state.subjects?.[subject] ?? 0;
}

describe("an acknowledged message", () => {
  it("is on the stream when the promise resolves", async () => {
    const subject = bus.subjects.audit("acme", "stored");
    await publishAcknowledged(bus, { subject, payload: "ä 語 🙂", id: randomUUID(), untilMs: soon() });
    const message = await bus.jsm.streams.getMessage(bus.subjects.streams.audit, { last_by_subj: subject });
    expect(message?.string()).toBe("ä 語 🙂");
  });

  it("is one message, however often it is published under the same id", async () => {
    const subject = bus.subjects.audit("acme", "once");
    const message = { subject, payload: "once", id: randomUUID() };
    await publishAcknowledged(bus, { ...message, untilMs: soon() });
    await Promise.all([1, 2, 3].map(() => publishAcknowledged(bus, { ...message, untilMs: soon() })));
    expect(await stored(subject)).toBe(1);
  });

  it("that is larger than a message may be is refused at once, and so is one larger than the server takes", async () => {
    const subject = bus.subjects.audit("acme", "large");
    const started = performance.now();
    for (const bytes of [MESSAGE_MAX_BYTES + 1, MESSAGE_MAX_BYTES - 1]) {
      const publishing = publishAcknowledged(bus, {
        subject,
        payload: "x".repeat(bytes),
        id: randomUUID(),
        untilMs: Date.now() + 60_000,
      });
      await expect(publishing).rejects.toMatchObject({ code: "payload_too_large", retryable: false });
    }
    expect(performance.now() - started).toBeLessThan(20_000);
    expect(await stored(subject)).toBe(0);
  });

  it("that no stream takes is `outcome_unknown` when its time is over", async () => {
    const publishing = publishAcknowledged(bus, {
      subject: `${infra.busPrefix}.elsewhere`,
      payload: "",
      id: randomUUID(),
      untilMs: Date.now() + 300,
    });
    await expect(publishing).rejects.toMatchObject({ code: "outcome_unknown" });
  });

  it("that the connection's end cuts off is `outcome_unknown`, and does not wait", async () => {
    const closing = await connect();
    await closing.drain();
    const subject = bus.subjects.audit("acme", "closed");
    const publishing = publishAcknowledged(closing, { subject, payload: "", id: randomUUID(), untilMs: soon() });
    await expect(publishing).rejects.toMatchObject({ code: "outcome_unknown" });
  });
});

describe("a full stream", () => {
  afterEach(async () => {
    await bus.jsm.streams.purge(bus.subjects.streams.calls);
    await bus.jsm.streams.update(bus.subjects.streams.calls, { max_msgs: 1_000_000, max_bytes: 1024 ** 3 });
  });

  it.each([
    ["messages", { max_msgs: 3 }],
    ["bytes", { max_bytes: 4_000 }],
  ])(
    "by %s refuses as overloaded at once, keeps what it has, and takes again when there is room",
    async (_of, full) => {
      const { calls } = bus.subjects.streams;
      const publish = () =>
        publishAcknowledged(bus, {
          subject: bus.subjects.call("demo", "batch", "acme"),
          payload: "x".repeat(1_000),
          id: randomUUID(),
          untilMs: Date.now() + 60_000,
        });
      await bus.jsm.streams.update(calls, full);
      for (let at = 0; at < 3; at++) await publish();
      const started = performance.now();
      await expect(publish()).rejects.toMatchObject({ code: "overloaded", retryable: true });
      expect(performance.now() - started).toBeLessThan(10_000);
      expect((await bus.jsm.streams.info(calls)).state.messages).toBe(3);
      await bus.jsm.streams.purge(calls);
      await eventually(() => publish());
    },
  );
});
