import { randomUUID } from "node:crypto";
import { type CallEnvelope, type CallEvent, type CallFacts, newCallId } from "@tollgate/contracts";
import { type Infrastructure, testLog } from "@tollgate/testkit";
import { afterAll } from "vitest";
import { type Bus, connectBus } from "../src/connection.ts";
import type { Framed } from "../src/framing.ts";

/** Opens connections of one installation; they and its streams are gone after the file's tests. */
export function useBus(infra: Infrastructure): () => Promise<Bus> {
  const opened: Bus[] = [];
  const ending = new AbortController();
  afterAll(async () => {
    ending.abort();
    const [first, ...others] = opened;
    await Promise.all(others.map((bus) => bus.drain().catch(() => {})));
    if (first === undefined) return;
    for (const name of Object.values(first.subjects.streams)) await first.jsm.streams.delete(name);
    await first.drain();
  });
  return async () => {
    const { natsUrl: url, busPrefix: prefix } = infra;
    const bus = await connectBus({ url, name: "test", prefix, log: testLog, signal: ending.signal });
    opened.push(bus);
    return bus;
  };
}

const facts: CallFacts = {
  principal: "alice",
  tenant: "acme",
  team: "dev",
  client: "test",
  group: "demo",
  server: "everything",
  tool: "echo",
  method: "tools/call",
  protocol: "2026-07-28",
  decision: { allow: true, policies: ["allow-demo"], revision: 1, reason: "allowed" },
  acceptedAt: 0,
  requestBytes: 10,
};

export function call(changes: Partial<CallFacts> = {}, frame?: string): Framed<CallEnvelope> {
  const id = newCallId(Date.now());
  return {
    envelope: {
      id,
      gateway: "g-test",
      deadline: Date.now() + 60_000,
      retrySafe: false,
      prefixed: false,
      client: { era: "modern", capabilities: {} },
      facts: { ...facts, acceptedAt: Date.now(), ...changes },
    },
    frame: frame ?? `{"jsonrpc":"2.0","id":"${randomUUID()}","method":"tools/call"}`,
  };
}

export function callEvent(changes: Partial<CallEvent> = {}): CallEvent {
  const now = Date.now();
  return {
    ...facts,
    v: 1,
    kind: "call",
    id: newCallId(now),
    acceptedAt: now,
    outcome: "ok",
    startedAt: now,
    endedAt: now,
    queueMs: 0,
    durationMs: 1,
    responseBytes: 10,
    runner: "r-test",
    coldStart: false,
    ...changes,
  };
}
