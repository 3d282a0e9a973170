import { type CallEvent, newCallId, type RefusalEvent } from "@tollgate/contracts";

/** A call event as a runner writes it. The id is of the time it was accepted. */
export function callEvent(fields: Partial<CallEvent> = {}): CallEvent {
  const acceptedAt = fields.acceptedAt ?? Date.now();
  return {
    v: 1,
    kind: "call",
    id: newCallId(acceptedAt),
    principal: "token:dev",
    tenant: "acme",
    team: "platform",
    client: "test/1.0",
    group: "demo",
    server: "everything",
    tool: "echo",
    method: "tools/call",
    protocol: "2025-11-25",
    decision: { allow: true, policies: ["all"], revision: 1, reason: "allowed by all" },
    acceptedAt,
    requestBytes: 100,
    outcome: "ok",
    startedAt: acceptedAt + 1,
    endedAt: acceptedAt + 3,
    queueMs: 0.25,
    durationMs: 1.5,
    responseBytes: 200,
    runner: "demo-1",
    coldStart: false,
    ...fields,
  };
}

export function refusalEvent(fields: Partial<RefusalEvent> = {}): RefusalEvent {
  const endedAt = fields.endedAt ?? Date.now();
  return {
    v: 1,
    kind: "refusal",
    id: newCallId(endedAt),
    tenant: "acme",
    principal: "token:dev",
    endedAt,
    code: "denied",
    reason: "no policy allows it",
    method: "tools/call",
    server: "everything",
    tool: "echo",
    count: 1,
    ...fields,
  };
}
