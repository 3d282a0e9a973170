import { newCallId, type RefusalEvent, timeOfId } from "@tollgate/contracts";
import { describe, expect, it } from "vitest";
import { toRecord, withoutDuplicates } from "./record.ts";

const TIME_MS = Date.UTC(2026, 10, 20, 12);

function refusal(fields: Partial<RefusalEvent> = {}): RefusalEvent {
  return {
    v: 1,
    kind: "refusal",
    id: newCallId(TIME_MS),
    tenant: "acme",
    endedAt: TIME_MS,
    code: "denied",
    reason: "no policy allows it",
    method: "tools/call",
    count: 1,
    ...fields,
  };
}

function record(fields: Partial<RefusalEvent> = {}, sequence = 1) {
  return toRecord({ event: refusal(fields), line: "{}", sequence });
}

describe("a record", () => {
  it("has the time of its id, whatever the event says about its end", () => {
    const id = newCallId(TIME_MS);
    expect(record({ id, endedAt: 5 }).timeMs).toBe(timeOfId(id));
  });

  it("keeps a refusal's code as its outcome, and leaves empty what the refusal does not know", () => {
    expect(record()).toMatchObject({ outcome: "denied", principal: null, group: null, server: null, tool: null });
  });

  it("can be stored whatever a client sent as a tool's name", () => {
    expect(record({ tool: "a\0b" }).tool).toBe("a\u{fffd}b");
    expect(record({ tool: 7 as unknown as string }).tool).toBeNull();
  });
});

describe("duplicates in a batch", () => {
  it("leave the one that comes first", () => {
    const id = newCallId(TIME_MS);
    const [first, other, again] = [record({ id }, 3), record({}, 5), record({ id, code: "overloaded" }, 9)];
    expect(withoutDuplicates([first, other, again])).toEqual([first, other]);
  });

  it("are no duplicates when they are of different tenants", () => {
    const id = newCallId(TIME_MS);
    expect(withoutDuplicates([record({ id }), record({ id, tenant: "other" })])).toHaveLength(2);
  });
});
