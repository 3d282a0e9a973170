import type { Check, CheckStatus, SuiteRun } from "./suite.ts";

export interface Counts {
  readonly passed: number;
  readonly total: number;
}

/** A check that passes directly and not here. */
export interface Shortfall {
  readonly scenario: string;
  readonly check: string;
  readonly status: CheckStatus | "MISSING";
  readonly message: string;
}

/** A scenario counts as passed, as the suite has it, when none of its checks failed. */
export function countScenarios({ scenarios }: SuiteRun, names: Iterable<string>): Counts {
  const all = [...names].map((name) => scenarios.get(name));
  const passed = all.filter((checks) => checks !== undefined && !checks.some(({ status }) => status === "FAILURE"));
  return { passed: passed.length, total: all.length };
}

/** Counted like the suite's own total: of checks that passed or failed. */
export function countChecks({ scenarios }: SuiteRun): Counts {
  const checks = [...scenarios.values()].flat();
  const count = (wanted: CheckStatus): number => checks.filter(({ status }) => status === wanted).length;
  return { passed: count("SUCCESS"), total: count("SUCCESS") + count("FAILURE") };
}

export function scoredScenarios({ scenarios, unscored }: SuiteRun): string[] {
  return [...scenarios.keys()].filter((name) => !unscored.has(name));
}

export function failures({ scenarios }: SuiteRun): Shortfall[] {
  return [...scenarios].flatMap(([scenario, checks]) =>
    checks
      .filter(({ status }) => status === "FAILURE")
      .map(({ id, status, errorMessage = "" }) => ({ scenario, check: id, status, message: errorMessage })),
  );
}

/** What passes directly has to pass through the gateway: a warning, or no answer, is less. */
export function shortfalls(direct: SuiteRun, through: SuiteRun): Shortfall[] {
  return [...direct.scenarios].flatMap(([scenario, checks]) => {
    const here = worstById(through.scenarios.get(scenario) ?? []);
    return [...worstById(checks)].flatMap(([check, { status }]) => {
      const found = here.get(check);
      if (status !== "SUCCESS" || found?.status === "SUCCESS") return [];
      return [{ scenario, check, status: found?.status ?? "MISSING", message: found?.errorMessage ?? "" }];
    });
  });
}

const SEVERITY: readonly CheckStatus[] = ["INFO", "SKIPPED", "SUCCESS", "WARNING", "FAILURE"];

/** A check may be there several times, once for each case it looks at. */
function worstById(checks: readonly Check[]): Map<string, Check> {
  const worst = new Map<string, Check>();
  for (const check of checks) {
    const known = worst.get(check.id);
    if (known === undefined || SEVERITY.indexOf(check.status) > SEVERITY.indexOf(known.status))
      worst.set(check.id, check);
  }
  return worst;
}
