import { createHmac } from "node:crypto";
import type { CallEvent } from "@tollgate/contracts";
import { keyedHash, openRecording, parseRecordingKeys } from "@tollgate/evidence";
import { describe, expect, test } from "vitest";
import { readFacts } from "../src/containment/process-table.ts";
import { assignment, poolOf } from "./assigning-registry.ts";
import { useRunner } from "./runner-fixture.ts";

const { traffic, call, recordingKeys } = useRunner(() => [
  assignment(),
  assignment({ serverId: "shared", env: { X: "1" }, pool: poolOf({ shared: true, min: 0, idleTimeoutMs: 200 }) }),
  assignment({ serverId: "absent", type: "command", command: "/no/such" }),
]);

const keys = () => {
  const parsed = parseRecordingKeys(recordingKeys());
  if (!parsed.ok) throw new Error(parsed.reason);
  return parsed.value;
};

async function outcomeOf(...sent: Parameters<typeof traffic.send>): Promise<CallEvent> {
  const id = await traffic.send(...sent);
  await traffic.answer(id);
  return traffic.outcome(id);
}

describe("the processors", () => {
  const WORK_MS = 400;

  test("calls that run at the same time share what their process uses, and it adds up", async () => {
    const { pid } = await call("tally");
    const before = readFacts(pid)!.cpuMs;
    const ids = [];
    for (let i = 0; i < 2; i += 1) ids.push(await traffic.send("exhaust_cpu", { args: { ms: WORK_MS } }));
    const events = await Promise.all(ids.map(async (id) => (await traffic.answer(id), traffic.outcome(id))));
    const used = readFacts(pid)!.cpuMs - before;
    const parts = events.map(({ cpuMs }) => cpuMs!);
    const sum = parts[0]! + parts[1]!;
    expect(used).toBeGreaterThan(0);
    // The kernel shows hundredths of a second, and the process does a little before and after its calls.
    expect(sum).toBeLessThanOrEqual(used + 10);
    expect(sum).toBeGreaterThan(used * 0.8 - 20);
    for (const part of parts) expect(part).toBeGreaterThan(sum / 10);
  });

  test("who sleeps uses little of them", async () => {
    const event = await outcomeOf("sleep", { args: { ms: 300 } });
    expect(event.cpuMs).toBeLessThan(200);
  });

  test("of a call that no server had, nothing is said", async () => {
    expect(await outcomeOf("echo", { server: "absent" })).not.toHaveProperty("cpuMs");
  });
});

describe("a start", () => {
  test("is shared by all calls that it served at once, and by no other", async () => {
    const send = () => traffic.send("sleep", { server: "shared", args: { ms: 20 } });
    const first = await Promise.all(Array.from({ length: 5 }, send));
    const events = await Promise.all(first.map((id) => traffic.outcome(id)));
    const cold = events.filter(({ coldStart }) => coldStart);
    expect(cold.length).toBeGreaterThan(0);
    for (const event of cold) expect(event.coldStartCalls).toBe(cold.length);
    const warm = await outcomeOf("tally");
    expect(warm.coldStart).toBe(false);
    expect(warm).not.toHaveProperty("coldStartCalls");
  });
});

describe("arguments and result", () => {
  const args = { message: "mé", "n.0": 1 };

  test("are told by their hashes, each of what was written", async () => {
    const event = await outcomeOf("echo", { args });
    const again = await outcomeOf("echo", { args });
    expect(event.argumentsHash).toBe(keyedHash(keys(), JSON.stringify(args)));
    expect(event.resultHash).toMatch(/^k1:[0-9a-f]{64}$/);
    expect(event).not.toHaveProperty("recorded");
    expect(again.argumentsHash).toBe(event.argumentsHash);
    expect((await outcomeOf("echo", { args: {} })).argumentsHash).not.toBe(event.argumentsHash);
    // Nobody can guess them who has not the key.
    expect(event.argumentsHash).not.toContain(createHmac("sha256", "").update(JSON.stringify(args)).digest("hex"));
  });

  test("an error has no result, a resource no arguments", async () => {
    expect(await outcomeOf("error")).not.toHaveProperty("resultHash");
    const read = await outcomeOf("fixture://one", { method: "resources/read", params: { uri: "fixture://one" } });
    expect(read).not.toHaveProperty("argumentsHash");
  });

  test("are kept where that is asked for, for those who have the key", async () => {
    const event = await outcomeOf("echo", { args, record: ["arguments", "result"] });
    expect(JSON.stringify(event)).not.toContain("mé");
    const opened = openRecording({ keys: keys(), callId: event.id, recording: event.recorded! });
    expect(opened.arguments).toBe(JSON.stringify(args));
    expect(JSON.parse(opened.result!)).toMatchObject({ content: [{ text: "mé" }] });
    expect(() => openRecording({ keys: keys(), callId: "another", recording: event.recorded! })).toThrow("changed");
  });

  test("only what is asked for", async () => {
    const event = await outcomeOf("echo", { args, record: ["arguments"] });
    expect(Object.keys(event.recorded!).toSorted()).toEqual(["arguments", "keyId"]);
  });

  test("what is too large is named instead, and the event is one that readers take", async () => {
    const event = await outcomeOf("flood", { args: { bytes: 100_000 }, record: ["arguments", "result"] });
    expect(event.recorded).toMatchObject({ arguments: expect.any(String), omitted: ["result"] });
    expect(event.resultHash).toMatch(/^k1:/);
  });

  test("nothing of an event's other fields makes it longer than a line may be", async () => {
    const sent = traffic.call("echo", { args: { message: "x".repeat(35_000) }, record: ["arguments"] });
    const facts = { ...sent.envelope.facts, client: "c".repeat(20_000) };
    await traffic.publish({ ...sent, envelope: { ...sent.envelope, facts } });
    const event = await traffic.outcome(sent.envelope.id);
    expect(event.recorded).toEqual({ keyId: "k1", omitted: ["arguments"] });
  });

  test("of a fallback's tool, as that one's policies ask", async () => {
    const decision = { allow: true, policies: ["all"], revision: 1, reason: "allowed by all" };
    const fallback = { server: "fixture", tool: "echo", retrySafe: true, decision };
    const ask = (record: readonly ("arguments" | "result")[]) =>
      outcomeOf("echo", { server: "absent", args, fallbacks: [{ ...fallback, record }], record: ["arguments"] });
    expect(Object.keys((await ask(["result"])).recorded!).toSorted()).toEqual(["arguments", "keyId", "result"]);
    expect(Object.keys((await ask([])).recorded!).toSorted()).toEqual(["arguments", "keyId"]);
  });
});
