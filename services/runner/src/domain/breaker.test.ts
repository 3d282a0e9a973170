import { beforeEach, describe, expect, test } from "vitest";
import { type Breaker, createBreaker } from "./breaker.ts";

let now: number;
let breaker: Breaker;
beforeEach(() => {
  now = 1_000_000;
  breaker = createBreaker({ severalOnly: false });
});

/** One call; false when it was refused. */
function call(went: "well" | "badly" | undefined, by = "tool"): boolean {
  if (breaker.refusal(now) !== undefined) return false;
  breaker.enter();
  breaker.leave(went, now, by);
  return true;
}

function open(): void {
  for (let n = 0; n < 5; n++) call("badly");
}

describe("closed", () => {
  test("until five calls went badly in a row", () => {
    for (let n = 0; n < 4; n++) expect(call("badly")).toBe(true);
    call("well");
    for (let n = 0; n < 5; n++) expect(call("badly")).toBe(true);
    expect(breaker.state).toBe("open");
    expect(breaker.refusal(now)).toEqual({ reason: "5 failures in a row", waitMs: 10_000 });
  });

  test("until half of the last twenty did", () => {
    for (let n = 0; n < 9; n++) expect([call("badly"), call("well")]).toEqual([true, true]);
    call("well");
    expect(breaker.state).toBe("closed");
    call("badly");
    expect(breaker.refusal(now)).toMatchObject({ reason: "half of the last 20 calls failed" });
  });

  test("whatever is not known of a call", () => {
    for (let n = 0; n < 30; n++) call(undefined);
    expect([breaker.state, breaker.clean]).toEqual(["closed", true]);
  });

  test("for a server while one tool alone fails", () => {
    breaker = createBreaker({ severalOnly: true });
    for (let n = 0; n < 30; n++) call("badly", "a");
    expect(breaker.state).toBe("closed");
    call("badly", "b");
    expect(breaker.state).toBe("open");
  });
});

describe("open", () => {
  test("refuses until its time is over, then lets one through at a time", () => {
    open();
    now += 9_999;
    expect(call("well")).toBe(false);
    now += 1;
    expect(breaker.refusal(now)).toBeUndefined();
    breaker.enter();
    expect(breaker.state).toBe("half-open");
    expect(breaker.refusal(now)).toMatchObject({ waitMs: 1_000 });
    breaker.leave("well", now, "tool");
    expect([breaker.state, breaker.clean]).toEqual(["closed", true]);
  });

  test("again when that one goes badly, for twice as long, up to a minute", () => {
    open();
    const waits = [10_000, 20_000, 40_000, 60_000, 60_000];
    for (const wait of waits) {
      expect(breaker.refusal(now)).toMatchObject({ waitMs: wait });
      now += wait;
      expect(call("badly")).toBe(true);
    }
    now += 60_000;
    call("well");
    open();
    expect(breaker.refusal(now)).toMatchObject({ waitMs: 10_000 });
  });

  test("lets another one through when nothing is known of that one", () => {
    open();
    now += 10_000;
    expect([call(undefined), call("well"), breaker.state]).toEqual([true, true, "closed"]);
  });
});

test("is clean again when its last failure is long past", () => {
  call("badly");
  for (let n = 0; n < 19; n++) call("well");
  expect(breaker.clean).toBe(false);
  call("well");
  expect(breaker.clean).toBe(true);
});
