import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { changeEvent } from "./change-event.ts";
import { parseAuditEvent } from "./events.ts";
import { timeOfId } from "./ids.ts";

const NOW_MS = Date.UTC(2026, 10, 21);
const CHANGE = {
  tenant: "acme",
  change: "updated",
  resource: "policy",
  name: "no-writes",
  principal: "admin",
} as const;

describe("an event of a change", () => {
  it("has an id of its time, and what is not there is left out", () => {
    const event = changeEvent({ ...CHANGE, after: { effect: "deny" } }, NOW_MS);
    expect(event).toEqual({
      ...CHANGE,
      v: 1,
      kind: "change",
      id: event.id,
      endedAt: NOW_MS,
      after: { effect: "deny" },
    });
    expect(timeOfId(event.id)).toBe(NOW_MS);
    expect(parseAuditEvent(JSON.stringify(event))).toMatchObject({ ok: true });
  });

  it.each(["", "No Name", "a.b"])("of the tenant %j is the installation's", (tenant) => {
    expect(changeEvent({ ...CHANGE, tenant }, NOW_MS).tenant).toBe("tollgate");
  });

  it("says of a side that is too large its SHA-256 and its size, and fits", () => {
    const before = { text: "ü".repeat(8_186) + "x" };
    const after = { text: "ü".repeat(8_186) + "xx" };
    const text = JSON.stringify(after);
    const event = changeEvent({ ...CHANGE, name: "n".repeat(70_000), before, after }, NOW_MS);
    expect(event.before).toEqual(before);
    expect(event.after).toEqual({ sha256: createHash("sha256").update(text).digest("hex"), bytes: 16_385 });
    expect(event.truncated).toBe(true);
    expect(parseAuditEvent(JSON.stringify(event))).toMatchObject({ ok: true });
  });
});
