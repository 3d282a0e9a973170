import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createCpuShare, type CpuUse } from "./cpu-share.ts";

function shareOf(): { use: (ms: number) => void; begin: () => CpuUse } {
  let usedMs = 500;
  const { begin } = createCpuShare(() => usedMs);
  return { use: (ms) => void (usedMs += ms), begin };
}

describe("what a process uses belongs", () => {
  test("to the call that it has", () => {
    const { use, begin } = shareOf();
    const call = begin();
    use(12);
    expect(call.takeMs()).toBe(12);
  });

  test("in equal parts to the calls that it has at the same time", () => {
    const { use, begin } = shareOf();
    const one = begin();
    use(4);
    const other = begin();
    use(6);
    expect(one.takeMs()).toBe(7);
    one.end();
    use(5);
    expect(other.takeMs()).toBe(8);
    expect(one.takeMs()).toBe(0);
  });

  test("to nobody while it has none", () => {
    const { use, begin } = shareOf();
    begin().end();
    use(100);
    const call = begin();
    use(1);
    expect(call.takeMs()).toBe(1);
  });

  test("from when it was last asked", () => {
    const { use, begin } = shareOf();
    const call = begin();
    use(3);
    call.takeMs();
    use(2);
    expect(call.takeMs()).toBe(2);
  });
});

test("the parts add up to what was used while there were calls, in whatever order they begin and end", () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant("begin" as const) }),
    fc.record({ kind: fc.constant("end" as const), which: fc.nat(20) }),
    fc.record({ kind: fc.constant("use" as const), ms: fc.nat(1_000) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const { use, begin } = shareOf();
      const running: CpuUse[] = [];
      let used = 0;
      let taken = 0;
      const end = (which: number) => {
        const [call] = running.splice(which % running.length, 1);
        taken += call!.takeMs();
        call!.end();
      };
      for (const each of steps) {
        if (each.kind === "begin") running.push(begin());
        else if (each.kind === "use") {
          use(each.ms);
          used += running.length > 0 ? each.ms : 0;
        } else if (running.length > 0) end(each.which);
      }
      while (running.length > 0) end(0);
      expect(taken).toBeCloseTo(used, 6);
    }),
  );
});
