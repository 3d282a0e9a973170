import { expect, test } from "vitest";
import { createCallCounts, type EndedCall } from "./call-counts.ts";

const call = (fields: Partial<EndedCall> = {}): EndedCall => ({
  outcome: "ok",
  coldStart: false,
  retries: 0,
  fellBack: false,
  durationMs: 1,
  ...fields,
});

test("how the calls of each server went", () => {
  const counts = createCallCounts();
  counts.add("a", call({ coldStart: true, durationMs: 4 }));
  counts.add("a", call({ outcome: "unknown", retries: 2, durationMs: 2 }));
  counts.add("a", call({ fellBack: true, durationMs: undefined }));
  counts.add("b", call({ outcome: "timeout" }));
  expect(counts.of("a")).toEqual({
    ended: { ok: 2, unknown: 1 },
    coldStarts: 1,
    retries: 2,
    fallbacks: 1,
    durationMs: { p50: 2, p95: 4, p99: 4 },
  });
  expect(counts.of("b")).toMatchObject({ ended: { timeout: 1 }, retries: 0 });
  expect(counts.of("c")).toMatchObject({ ended: {}, durationMs: { p50: 0, p99: 0 } });
});

test("percentiles are of the last thousand calls", () => {
  const counts = createCallCounts();
  for (let n = 0; n < 500; n++) counts.add("a", call({ durationMs: 1_000_000 }));
  for (let n = 1_000; n > 0; n--) counts.add("a", call({ durationMs: n }));
  expect(counts.of("a").durationMs).toEqual({ p50: 500, p95: 950, p99: 990 });
  expect(counts.of("a").ended).toEqual({ ok: 1_500 });
});
