import { expect, test } from "vitest";
import { DECISIONS, type DecidedVersion, decideOn } from "./tool-decision.ts";

const version = (more: Partial<DecidedVersion> = {}): DecidedVersion => ({
  version: 2,
  certification: "draft",
  submittedBy: "",
  reported: 2,
  served: 1,
  ...more,
});
const by = { actor: "ann", fourEyes: false };
const eyes = { actor: "ann", fourEyes: true };
const NO = { ok: false, reason: expect.stringContaining("version 2") };

test.each([
  ["draft", ["submitted", "approved", "draft", "retired"]],
  ["submitted", [NO, "approved", "draft", "retired"]],
  ["approved", [NO, NO, NO, "retired"]],
  ["retired", ["submitted", "approved", NO, NO]],
] as const)("what is %s becomes by submit, approve, reject and retire", (certification, results) => {
  const decided = DECISIONS.map((decision) => {
    const result = decideOn(version({ certification }), decision, by);
    return result.ok ? result.certification : result;
  });
  expect(decided).toEqual(results);
});

test("only what the server says, or what is served, is approved", () => {
  expect(decideOn(version({ reported: 3, served: 2 }), "approve", by)).toMatchObject({ ok: true });
  const reason = "version 2 is not what the server says any more, which is version 3";
  expect(decideOn(version({ reported: 3, served: 1 }), "approve", by)).toEqual({ ok: false, reason });
});

test("where four eyes are asked for, another one approves of what was submitted", () => {
  expect(decideOn(version(), "approve", eyes)).toEqual(NO);
  const submitted = version({ certification: "submitted", submittedBy: "ann" });
  expect(decideOn(submitted, "approve", eyes)).toEqual({
    ok: false,
    reason: "ann has submitted version 2; somebody else has to approve of it",
  });
  expect(decideOn(submitted, "approve", { ...eyes, actor: "bob" })).toMatchObject({ ok: true });
  expect(decideOn(submitted, "approve", by)).toMatchObject({ ok: true });
  expect(decideOn(version({ certification: "retired", submittedBy: "bob" }), "approve", eyes)).toEqual(NO);
});
