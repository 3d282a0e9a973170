import { expect, test } from "vitest";
import { createOutputGuard } from "./output-guard.ts";

function guard(bytesMax: number) {
  let now = 1_000;
  const logged: string[] = [];
  const made = createOutputGuard({ bytesMax, now: () => now, onGarbage: (line) => logged.push(line) });
  return { ...made, logged, pass: (ms: number) => (now += ms) };
}

test("answers that are awaited are never too much", () => {
  const { note } = guard(10);
  for (let i = 0; i < 1_000; i += 1) expect(note("x".repeat(100), "answer")).toBeUndefined();
});

test("what answers nothing is counted, in bytes", () => {
  const { note } = guard(100);
  for (let i = 0; i < 10; i += 1) expect(note("123456789", "unasked")).toBeUndefined();
  expect(note("", "unasked")).toBe("wrote more than 100 bytes that answer nothing within 10 s (limits.output_mb)");
});

test("so much in so much time, not in all", () => {
  const { note, pass } = guard(100);
  for (let i = 0; i < 100; i += 1) {
    expect(note("x".repeat(90), "unasked")).toBeUndefined();
    pass(10_000);
  }
});

test("garbage is logged a few times, then counted, then too much", () => {
  const { note, logged } = guard(1_000_000);
  for (let i = 0; i < 100; i += 1) expect(note(`garbage ${i}`, "garbage")).toBeUndefined();
  expect(logged).toEqual([0, 1, 2, 3, 4].map((i) => `garbage ${i}`));
  expect(note("the last \u001b[31m\u0000 one", "garbage")).toBe(
    "wrote what is no JSON-RPC 100 times within 10 s; the last: the last \uFFFD[31m\uFFFD one",
  );
});

test("of garbage little is shown", () => {
  const { note, logged } = guard(1_000_000);
  note("y".repeat(1_000), "garbage");
  expect(logged).toEqual(["y".repeat(80)]);
});
