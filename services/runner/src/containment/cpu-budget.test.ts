import { expect, test } from "vitest";
import { createCpuBudget } from "./cpu-budget.ts";

/** How much a process gets that takes two cores whenever it may, in steps of 50 ms. */
function shareOf(cores: number, steps: number): number {
  const budget = createCpuBudget(cores);
  let used = 0;
  let stopped = false;
  for (let step = 0; step < steps; step += 1) {
    const spent = stopped ? 0 : 100;
    used += spent;
    stopped = budget.spend(spent, 50);
  }
  return used / (steps * 50);
}

test.each([0.25, 0.5, 1, 1.5])("%s cores are kept in the long run", (cores) => {
  expect(shareOf(cores, 2_000)).toBeCloseTo(cores, 1);
});

test("who uses less is never stopped", () => {
  const budget = createCpuBudget(0.5);
  for (let step = 0; step < 100; step += 1) expect(budget.spend(25, 50)).toBe(false);
});

test("a short burst after a rest passes", () => {
  const budget = createCpuBudget(0.5);
  budget.spend(0, 10_000);
  expect(budget.spend(70, 50)).toBe(false);
});

test("whatever was used, it goes on after a second", () => {
  const budget = createCpuBudget(0.5);
  expect(budget.spend(60_000, 50)).toBe(true);
  expect(budget.spend(0, 1_000)).toBe(false);
});
