import { AppError } from "@tollgate/errors";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LANES } from "@tollgate/contracts";
import { subjectsFor } from "./subjects.ts";

const subjects = subjectsFor("");
const prefixed = subjectsFor("one");

/** Every subject that a part from outside goes into. */
const BUILDERS: Readonly<Record<string, (part: string) => unknown>> = {
  "the group of a call": (part) => subjects.call(part, "standard", "acme"),
  "the tenant of a call": (part) => subjects.call("demo", "standard", part),
  "the group of a runner": (part) => subjects.callsOfGroup(part),
  "a runner's durable": (part) => subjects.runnersDurable(part),
  "the group of a cancellation": (part) => subjects.cancel(part),
  "the gateway of a reply": (part) => subjects.reply(part, "id"),
  "the call of a reply": (part) => subjects.reply("g-1", part),
  "a gateway's replies": (part) => subjects.repliesOf(part),
  "the tenant of an event": (part) => subjects.audit(part, "call"),
  "the kind of an event": (part) => subjects.audit("acme", part),
  "a kind of events": (part) => subjects.auditOf({ kind: part }),
  "a tenant's events": (part) => subjects.auditOf({ tenant: part }),
  "the group of a bound call": (part) => subjects.callTo(part, "r-1"),
  "the runner of a bound call": (part) => subjects.callTo("demo", part),
  "the runner of a durable": (part) => subjects.runnerDurable("demo", part),
  "the gateway of a stream": (part) => subjects.stream(part, "id"),
  "the call of a stream": (part) => subjects.stream("g-1", part),
  "a gateway's streams": (part) => subjects.streamsOf(part),
  "the stream of a call": (part) => subjects.streamOfCall(part),
  "a session": (part) => subjects.session(part),
  "the runner of an answer": (part) => subjects.answers(part),
  "the group of an interest": (part) => subjects.interests(part),
  "the group of a question for health": (part) => subjects.health(part),
  "a service's dead letters": (part) => subjects.dead(part),
};

/** Whether NATS delivers what is published at `subject` to a subscription of `filter`. */
function matches(filter: string, subject: string): boolean {
  const wanted = filter.split(".");
  const given = subject.split(".");
  for (const [at, token] of wanted.entries()) {
    if (token === ">") return given.length > at;
    if (given[at] === undefined || (token !== "*" && token !== given[at])) return false;
  }
  return wanted.length === given.length;
}

describe.each(Object.entries(BUILDERS))("%s", (_what, build) => {
  it.each(["a", "dev-team", "g-0a1b2c3d4e", "A_b-9", "x".repeat(64)])("may be %s", (part) => {
    expect(() => build(part)).not.toThrow();
  });

  it.each(["", ".", "a.b", "*", ">", "a b", " a", "a\n", "a\r\nPUB x", "a\0", "ä", "a*", "$JS", "x".repeat(65)])(
    "may not be %j",
    (part) => {
      expect(() => build(part)).toThrow(AppError);
      expect(() => build(part)).toThrow("cannot be part of a subject");
    },
  );

  it("is one token or refused, whatever it is", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 80 }), (part) => {
        if (/^[A-Za-z0-9_-]{1,64}$/.test(part)) expect(() => build(part)).not.toThrow();
        else expect(() => build(part)).toThrow(AppError);
      }),
    );
  });
});

describe("the subjects of an installation", () => {
  it("are those of the design", () => {
    expect(subjects.call("demo", "interactive", "acme")).toBe("mcp.call.v1.demo.interactive.acme");
    expect(subjects.reply("g-1", "id")).toBe("mcp.reply.v1.g-1.id");
    expect(subjects.audit("acme", "refusal")).toBe("audit.v1.acme.refusal");
    expect(subjects.dead("audit")).toBe("dead.v1.audit");
    expect(subjects.streams).toEqual({ calls: "CALLS", audit: "AUDIT", dead: "DEAD", replies: "REPLIES" });
  });

  it("each fall into the stream that is for them, and into no other", () => {
    for (const each of [subjects, prefixed]) {
      const streams = [each.allCalls, each.allAudit, each.allDead];
      const given = [each.call("demo", "batch", "acme"), each.audit("acme", "call"), each.dead("audit")];
      for (const [at, subject] of given.entries()) {
        expect(streams.map((stream) => matches(stream, subject))).toEqual(streams.map((_, stream) => stream === at));
      }
      for (const kept of [each.stream("g-1", "id"), each.session("s")])
        expect(each.allStreams.filter((filter) => matches(filter, kept))).toHaveLength(1);
      for (const passing of [each.reply("g-1", "id"), each.cancel("demo"), each.answers("r-1"), each.updates])
        expect(streams.some((stream) => matches(stream, passing))).toBe(false);
    }
  });

  it("reach a group's runners from every lane, once, and no other group's", () => {
    for (const lane of LANES) {
      const subject = subjects.call("demo", lane, "acme");
      expect(subjects.callsOfGroup("demo").filter((filter) => matches(filter, subject))).toHaveLength(1);
      expect(subjects.callsOfGroup("demo2").some((filter) => matches(filter, subject))).toBe(false);
    }
  });

  it("leave calls that are bound to one runner to that runner", () => {
    const bound = subjects.callTo("demo", "r-1");
    expect(matches(subjects.allCalls, bound)).toBe(true);
    expect(subjects.callsOfGroup("demo").some((filter) => matches(filter, bound))).toBe(false);
    expect(matches(subjects.callsToRunners("demo"), bound)).toBe(true);
    expect(matches(subjects.callsToRunners("demo2"), bound)).toBe(false);
  });

  it("are apart from those of another installation on the same server", () => {
    expect(matches(subjects.allCalls, prefixed.call("demo", "batch", "acme"))).toBe(false);
    expect(matches(prefixed.allCalls, subjects.call("demo", "batch", "acme"))).toBe(false);
    expect(prefixed.streams).toEqual({
      calls: "ONE_CALLS",
      audit: "ONE_AUDIT",
      dead: "ONE_DEAD",
      replies: "ONE_REPLIES",
    });
    expect(prefixed.sessionsBucket).not.toBe(subjects.sessionsBucket);
  });

  it("are put back to when they are of calls or of events, of this installation", () => {
    for (const each of [subjects, prefixed]) {
      const taken = [each.call("demo", "batch", "acme"), each.callTo("demo", "r-1"), each.audit("acme", "call")];
      expect(taken.map(each.takesBack)).toEqual([true, true, true]);
      const others = [each.dead("audit"), each.reply("g-1", "id"), each.cancel("demo"), each.allCalls, each.abandoned];
      for (const other of [...others, "$JS.API.STREAM.DELETE.CALLS", `${taken[0]}.more`, `${taken[0]}\n`, "", "x"])
        expect([other, each.takesBack(other)]).toEqual([other, false]);
    }
    expect(subjects.takesBack(prefixed.call("demo", "batch", "acme"))).toBe(false);
    expect(prefixed.takesBack(subjects.call("demo", "batch", "acme"))).toBe(false);
    expect(prefixed.takesBack("onexaudit.v1.acme.call")).toBe(false);
  });

  it("have no prefix that reaches into another's", () => {
    for (const prefix of ["a.b", "*", ">", " ", "a\n"]) expect(() => subjectsFor(prefix)).toThrow(AppError);
  });
});
