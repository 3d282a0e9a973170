import { pino } from "pino";
import { describe, expect, it } from "vitest";
import { openLife } from "./life.ts";

function recordedLife() {
  const lines: { step?: string; msg: string; err?: { message: string } }[] = [];
  const log = pino({ level: "trace" }, { write: (line) => void lines.push(JSON.parse(line)) });
  return { life: openLife(log), lines };
}

describe("closing", () => {
  it("gives back last in, first out, one after the other", async () => {
    const { life } = recordedLife();
    const steps: string[] = [];
    for (const name of ["pool", "bus", "server"]) {
      life.onClose(name, 1_000, async () => {
        steps.push(`${name} begins`);
        await new Promise((resolve) => setImmediate(resolve));
        steps.push(`${name} ends`);
      });
    }
    await life.close();
    expect(steps).toEqual(["server begins", "server ends", "bus begins", "bus ends", "pool begins", "pool ends"]);
  });

  it("says so before the first step", async () => {
    const { life } = recordedLife();
    const aborted: boolean[] = [];
    life.onClose("server", 1_000, () => aborted.push(life.signal.aborted));
    expect(life.signal.aborted).toBe(false);
    await life.close();
    expect(aborted).toEqual([true]);
  });

  it("goes on after a step that throws, rejects or does not end, and says which", async () => {
    const { life, lines } = recordedLife();
    const closed: string[] = [];
    life.onClose("first", 1_000, () => closed.push("first"));
    life.onClose("hangs", 20, () => new Promise(() => {}));
    life.onClose("rejects", 1_000, () => Promise.reject(new Error("refused")));
    life.onClose("throws", 1_000, () => {
      throw new Error("broken");
    });
    life.onClose("last", 1_000, () => closed.push("last"));
    await life.close();
    expect(closed).toEqual(["last", "first"]);
    expect(lines.map(({ step, err }) => [step, err?.message])).toEqual([
      ["throws", "broken"],
      ["rejects", "refused"],
      ["hangs", "not closed within 20 ms"],
    ]);
  });

  it("happens once, however often it is asked for", async () => {
    const { life } = recordedLife();
    let closed = 0;
    life.onClose("pool", 1_000, () => (closed += 1));
    const first = life.close();
    expect(life.close()).toBe(first);
    await first;
    expect(life.close()).toBe(first);
    expect(closed).toBe(1);
  });

  it("reaches what was acquired while it was under way", async () => {
    const { life } = recordedLife();
    const closed: string[] = [];
    life.onClose("first", 1_000, () => closed.push("first"));
    life.onClose("last", 1_000, () => life.onClose("late", 1_000, () => closed.push("late")));
    await life.close();
    expect(closed.toSorted()).toEqual(["first", "late"]);
  });
});
