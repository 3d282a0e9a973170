import { Writable } from "node:stream";
import { expect, test } from "vitest";
import { openOutput } from "./output.ts";

test("waits for a client that has fallen behind, and goes on when it has caught up", async () => {
  const held: (() => void)[] = [];
  const slow = new Writable({ write: (_chunk, _encoding, taken) => void held.push(taken) });
  const output = openOutput(slow, () => expect.unreachable());
  await output.write("small");
  let caughtUp = 0;
  const writes = [output.write("x".repeat(9 * 1024 * 1024)), output.ready()].map((write) =>
    write.then(() => caughtUp++),
  );
  await new Promise((resolve) => setImmediate(resolve));
  expect(caughtUp).toBe(0);
  while (slow.writableLength > 0) {
    held.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all(writes);
});

test("a broken stream is reported once and holds nobody up", async () => {
  let times = 0;
  const broken = new Writable({ write: (_chunk, _encoding, taken) => taken(new Error("EPIPE")) });
  const output = openOutput(broken, () => times++);
  await output.write("a");
  await new Promise((resolve) => setImmediate(resolve));
  await output.write("b");
  await output.flush();
  expect(times).toBe(1);
});
