import { shareOf } from "@tollgate/fair-queue";
import { expect, test } from "vitest";
import { createIntake } from "./intake.ts";

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Enters as many as are named, and collects the names in the order in which they begin. */
function entering() {
  const intake = createIntake();
  const begun: string[] = [];
  return {
    intake,
    begun,
    enter: (tenant: string, count: number): void => {
      for (let n = 0; n < count; n++) {
        const waiting = intake.enter(shareOf(tenant));
        if (waiting === undefined) begun.push(tenant);
        else void waiting.then(() => begun.push(tenant));
      }
    },
  };
}

test("few calls begin at once, turn after turn", async () => {
  const { intake, begun, enter } = entering();
  for (const times of [64, 128]) {
    enter("a", 64);
    expect(begun).toHaveLength(times);
    await turn();
  }
  expect(intake.waiting).toBe(0);
});

test("one tenant's thousands keep another's first call for no more than a turn", async () => {
  const { intake, begun, enter } = entering();
  enter("flood", 5_000);
  expect([begun.length, intake.waiting]).toEqual([64, 4_936]);
  await turn();
  enter("other", 3);
  const before = begun.length;
  await turn();
  await turn();
  expect(begun.slice(before, before + 2 * 64).filter((each) => each === "other")).toHaveLength(3);
  while (intake.waiting > 0) await turn();
  await turn();
  expect(begun).toHaveLength(5_003);
});
