import { expect, test } from "vitest";
import { planOf, toPlans } from "./plans.ts";

const own = { max: 1_000, waiting: 256 };
const tenant = (id: string, fields = {}) => ({
  id,
  plan: "p",
  lane: "batch",
  weight: 3,
  maxConcurrent: 7,
  maxWaiting: 9,
  ...fields,
});

test("whoever is listed has its plan, everybody else that of the tenant without an id", () => {
  const plans = toPlans([tenant("", { weight: 2 }), tenant("acme", { lane: "interactive" })], own);
  expect(planOf(plans, "acme")).toEqual({ lane: "interactive", weight: 3, max: 7, waiting: 9 });
  expect(planOf(plans, "rival")).toEqual({ lane: "batch", weight: 2, max: 7, waiting: 9 });
});

test("a plan that sets no limit has the gateway's", () => {
  const plans = toPlans([tenant("acme", { maxConcurrent: 0 }), tenant("rival", { maxWaiting: 0 })], own);
  expect(planOf(plans, "acme")).toMatchObject({ max: 1_000, waiting: 9 });
  expect(planOf(plans, "rival")).toMatchObject({ max: 7, waiting: 256 });
});

test("before the registry has said anything all are alike, and so is who has a lane that is not known", () => {
  expect(planOf(toPlans([], own), "acme")).toEqual({ lane: "standard", weight: 1, ...own });
  const newer = toPlans([tenant("acme", { lane: "express", weight: 0 })], own);
  expect(planOf(newer, "acme")).toMatchObject({ lane: "standard", weight: 1 });
});
