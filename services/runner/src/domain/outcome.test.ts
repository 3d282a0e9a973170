import { type CallEnvelope, newCallId, parseAuditEvent } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { classifyResponse, type Ending, errorFrame, idTextOf, toCallEvent } from "./outcome.ts";

const ACCEPTED_AT = 1_780_000_000_000;
const envelope: CallEnvelope = {
  id: newCallId(ACCEPTED_AT),
  gateway: "g-1",
  deadline: ACCEPTED_AT + 60_000,
  retrySafe: false,
  prefixed: false,
  client: { era: "modern", capabilities: {} },
  facts: {
    principal: "token:dev",
    tenant: "acme",
    team: "platform",
    client: "test/1.0",
    group: "demo",
    server: "fixture",
    tool: "echo",
    method: "tools/call",
    protocol: "2025-11-25",
    decision: { allow: true, policies: ["all"], revision: 7, reason: "allowed by all" },
    acceptedAt: ACCEPTED_AT,
    requestBytes: 100,
    session: "s",
  },
};
const ok: Ending = { outcome: "ok", endedAt: ACCEPTED_AT + 10.75, responseBytes: 5, coldStart: true };

describe("a call's event", () => {
  test("repeats what the gateway knew, and is one that readers take", () => {
    const event = toCallEvent(envelope, { ...ok, startedAt: ACCEPTED_AT + 2.5 }, "r-1");
    expect(event).toEqual({
      ...envelope.facts,
      v: 1,
      kind: "call",
      id: envelope.id,
      outcome: "ok",
      startedAt: ACCEPTED_AT + 2,
      endedAt: ACCEPTED_AT + 10,
      queueMs: 2.5,
      durationMs: 8.25,
      responseBytes: 5,
      runner: "r-1",
      coldStart: true,
    });
    expect(parseAuditEvent(JSON.stringify(event))).toEqual({ ok: true, value: event });
  });

  test("of a call that no server was handed: all of its time was waiting", () => {
    const event = toCallEvent(envelope, { ...ok, outcome: "timeout", reason: "no process was free" }, "r-1");
    expect(event).toMatchObject({ outcome: "timeout", reason: "no process was free", queueMs: 10.75, durationMs: 0 });
    expect(event).not.toHaveProperty("startedAt");
  });

  test("bounds the reason", () => {
    expect(toCallEvent(envelope, { ...ok, reason: "x".repeat(10_000) }, "r-1").reason).toHaveLength(500);
  });

  test("never has a negative time, whatever the clocks of gateway and runner say", () => {
    fc.assert(
      fc.property(fc.integer({ min: -1e6, max: 1e6 }), fc.integer({ min: -1e6, max: 1e6 }), (start, end) => {
        const event = toCallEvent(envelope, { ...ok, startedAt: ACCEPTED_AT + start, endedAt: ACCEPTED_AT + end }, "r");
        expect(event.queueMs).toBeGreaterThanOrEqual(0);
        expect(event.durationMs).toBeGreaterThanOrEqual(0);
      }),
    );
  });
});

describe("a response", () => {
  test.each([
    [{ content: [] }, "ok"],
    [{ isError: false }, "ok"],
    [{ isError: "true" }, "ok"],
    [null, "ok"],
    ["text", "ok"],
    [{ isError: true }, "tool_error"],
  ])("with the result %j is %s", (result, outcome) => {
    expect(classifyResponse({ result, error: undefined }).outcome).toBe(outcome);
  });

  test("with an error says its code where that is a number", () => {
    const classify = (error: object) => classifyResponse({ result: undefined, error });
    expect(classify({ code: -32602, message: "secret argument" })).toEqual({
      outcome: "error",
      reason: "the server answered with a JSON-RPC error",
      errorCode: -32602,
    });
    for (const code of ["-1", null, [], { toString: 1 }, undefined]) {
      expect(classify({ code })).not.toHaveProperty("errorCode");
    }
  });
});

test.each([["1"], ["1.0"], ["12345678901234567890"], ['"a\\u0062"'], ['"é"']])("an error frame for the id %s", (id) => {
  const request = `{"method":"m", "id" : ${id} ,"jsonrpc":"2.0"}`;
  expect(idTextOf(request)).toBe(id);
  const frame = errorFrame(idTextOf(request), new AppError("cancelled", "the call was cancelled"));
  expect(frame).toContain(`"id":${id},`);
  expect(JSON.parse(frame)).toMatchObject({
    jsonrpc: "2.0",
    error: { code: -32006, message: "the call was cancelled", data: { code: "cancelled" } },
  });
});

test.each([[""], ["{"], ["[]"], ['{"jsonrpc":"2.0","method":"m"}']])("the id of %j is null", (text) => {
  expect(idTextOf(text)).toBe("null");
});
