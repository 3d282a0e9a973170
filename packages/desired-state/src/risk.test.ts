import { AppError } from "@tollgate/errors";
import { expect, test } from "vitest";
import { loadDesiredState } from "./load.ts";
import { DEFAULT_RISK_LEVELS } from "./risk.ts";

const load = (text: string) => loadDesiredState(text, { file: "/etc/tollgate.yaml", env: { MINUTES: "900" } });

function mistakesOf(text: string): string[] {
  try {
    load(text);
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "invalid_argument") throw error;
    return error.message
      .split("\n  ")
      .slice(1)
      .map((line) => line.replace("/etc/tollgate.yaml:", ""));
  }
  return [];
}

test.each(["groups: []", "risk_levels:", "risk_levels: { HIGH: {} }"])("%j: the levels are the documented", (text) => {
  expect(load(text).riskLevels).toEqual({
    approvalTimeoutMs: 3_600_000,
    levels: {
      MEDIUM: { approvals: 0, justification: false, accessMs: 3_600_000, record: [] },
      HIGH: { approvals: 1, justification: true, accessMs: 3_600_000, record: [] },
      CRITICAL: { approvals: 2, justification: true, accessMs: 900_000, record: [] },
    },
  });
  expect(load(text).riskLevels).toEqual(DEFAULT_RISK_LEVELS);
});

test("a level may be stricter, or milder where that leaves it what it is", () => {
  const text = `risk_levels:
  approval_timeout: \${MINUTES}
  MEDIUM: { approvals: 1 }
  HIGH: { justification: false, access_seconds: 86400 }
  CRITICAL: { approvals: 5, access_seconds: 60, record: [result, arguments] }`;
  expect(load(text).riskLevels).toEqual({
    approvalTimeoutMs: 900_000,
    levels: {
      MEDIUM: { approvals: 1, justification: false, accessMs: 3_600_000, record: [] },
      HIGH: { approvals: 1, justification: false, accessMs: 86_400_000, record: [] },
      CRITICAL: { approvals: 5, justification: true, accessMs: 60_000, record: ["arguments", "result"] },
    },
  });
});

test.each<[string, unknown[]]>([
  ["risk_levels: { CRITICAL: { approvals: 1 } }", [expect.stringMatching(/risk_levels\.CRITICAL\.approvals .*>=2$/)]],
  ["risk_levels: { HIGH: { approvals: 0 } }", [expect.stringMatching(/risk_levels\.HIGH\.approvals .*>=1$/)]],
  ["risk_levels: { MEDIUM: { approvals: 6 } }", [expect.stringMatching(/risk_levels\.MEDIUM\.approvals .*<=5$/)]],
  ["risk_levels: { HIGH: { access_seconds: 0 } }", [expect.stringMatching(/HIGH\.access_seconds .*>=1$/)]],
  ["risk_levels: { HIGH: { access_seconds: 86401 } }", [expect.stringMatching(/HIGH\.access_seconds .*<=86400$/)]],
  ["risk_levels: { approval_timeout: 0.5 }", [expect.stringMatching(/risk_levels\.approval_timeout has to be int/)]],
  [
    "risk_levels: { high: {} }",
    ["1:16: risk_levels.high is not a known key; known are approval_timeout, MEDIUM, HIGH, CRITICAL"],
  ],
  [
    "risk_levels: { HIGH: { record: all } }",
    [expect.stringMatching(/HIGH\.record\[0\] has to be one of arguments, result/)],
  ],
  ["risk_levels: { LOW: {} }", [expect.stringMatching(/risk_levels\.LOW is not a known key/)]],
])("%j is a mistake", (text, expected) => {
  expect(mistakesOf(text)).toEqual(expected);
});
