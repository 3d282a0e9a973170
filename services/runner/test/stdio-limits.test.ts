import { eventually, testLog } from "@tollgate/testkit";
import { afterEach, expect, test } from "vitest";
import type { Heard, Transport } from "../src/upstream/transport.ts";
import { startStdioTransport } from "../src/upstream/stdio-transport.ts";
import { containedSpec } from "./contained-spec.ts";
import { useContainment } from "./containment-fixture.ts";
import { useTempDir } from "./temp-dir.ts";

const dir = useTempDir();
const containment = await useContainment(dir);
const started: Transport[] = [];
afterEach(async () => {
  await Promise.all(started.splice(0).map((each) => each.end()));
});

function start(script: string, heard: Heard, outputBytes = 100_000) {
  const messages: string[] = [];
  const losts: { id: number; reason: string; notDelivered: boolean }[] = [];
  const ends: string[] = [];
  const command = { command: process.execPath, args: ["-e", script], env: {}, cwd: dir, files: [] };
  const transport = startStdioTransport({
    contained: containment.contain(containedSpec({ outputBytes }), command),
    lineMaxBytes: 6 * 1024 * 1024,
    log: testLog,
    events: {
      onMessage: (text) => (messages.push(text), heard),
      onLost: (id, reason, { notDelivered }) => losts.push({ id, reason, notDelivered }),
      onEnd: (reason) => ends.push(reason),
    },
  });
  started.push(transport);
  return { transport, messages, losts, ends };
}

const writeAlways = (line: string) => `const more = () => process.stdout.write(${JSON.stringify(line)}, more); more();`;

test("a flood that answers nothing ends the server", async () => {
  const { ends, messages } = start(writeAlways(`{"jsonrpc":"2.0","method":"n"}\n`), "unasked");
  await eventually(() =>
    expect(ends).toEqual(["wrote more than 100000 bytes that answer nothing within 10 s (limits.output_mb)"]),
  );
  // What was on its way behind it is not read any more.
  expect(messages.join("\n").length).toBeLessThan(100_100);
});

test("as much that is awaited does not", async () => {
  const line = `{"jsonrpc":"2.0","id":1,"result":{}}\n`;
  const { ends, messages } = start(`process.stdout.write(${JSON.stringify(line)}.repeat(20000))`, "answer");
  await eventually(() => expect(ends).toEqual(["exited with code 0"]));
  expect(messages).toHaveLength(20_000);
});

test("garbage without end ends the server", async () => {
  const { ends } = start(writeAlways("what is this?\n"), "garbage");
  await eventually(() =>
    expect(ends).toEqual(["wrote what is no JSON-RPC 100 times within 10 s; the last: what is this?"]),
  );
});

test("a line that is longer than the server's own limit ends it", async () => {
  const { ends } = start(writeAlways("x".repeat(10_000)), "answer", 50_000);
  await eventually(() => expect(ends).toEqual(["wrote a line longer than 50000 bytes (limits.output_mb)"]));
});

test("requests to a server that does not read are lost, and not delivered", async () => {
  const { transport, losts } = start("setInterval(() => 0, 1000)", "answer");
  const text = "x".repeat(1024 * 1024);
  for (let id = 0; id < 30; id += 1)
    transport.send({ text, frame: { kind: "request", id, method: "tools/call" }, era: "legacy", protocol: "" });
  expect(losts).toEqual([]);
  await eventually(() => expect(losts.length).toBeGreaterThan(10));
  expect(losts.at(-1)).toEqual({ id: 29, reason: "does not read its input", notDelivered: true });
  // Those before it wait: they may be read yet.
  expect(losts[0]!.id).toBeGreaterThanOrEqual(16);
});

test("what it uses is known", async () => {
  const { transport } = start("setInterval(() => 0, 1000)", "answer");
  await eventually(() => expect(transport.usage?.()).toMatchObject({ processes: 1 }));
});
