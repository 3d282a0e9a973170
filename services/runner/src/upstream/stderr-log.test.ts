import { expect, test } from "vitest";
import { createStderrLog } from "./stderr-log.ts";

function start() {
  let now = 1_000;
  const written: string[] = [];
  const log = createStderrLog({ write: (line) => written.push(line), now: () => now });
  return { ...log, written, pass: (ms: number) => (now += ms) };
}

test("twenty lines a second, then how many more there were", () => {
  const { add, written, pass } = start();
  for (let i = 0; i < 50; i += 1) add(String(i));
  expect(written).toHaveLength(20);
  pass(1_000);
  add("next");
  expect(written.slice(20)).toEqual(["(30 more lines were left out)", "next"]);
});

test("what was left out is said at the end, too", () => {
  const { add, close, written } = start();
  for (let i = 0; i < 21; i += 1) add(String(i));
  close();
  expect(written.at(-1)).toBe("(1 more lines were left out)");
});
