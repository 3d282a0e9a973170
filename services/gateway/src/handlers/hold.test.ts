import { expect, test } from "vitest";
import { createHold } from "./hold.ts";

function openHold() {
  const state = { open: true, overflown: 0, sent: [] as number[] };
  const hold = createHold({ isOpen: () => state.open, onOverflow: () => (state.overflown += 1) });
  const send = (what: number, bytes = 1) => hold.pass(bytes, () => state.sent.push(what));
  return { state, hold, send };
}

test("what comes while it is closed is delivered in order, and nothing overtakes it", () => {
  const { state, hold, send } = openHold();
  send(1);
  state.open = false;
  send(2);
  hold.release();
  expect(state.sent).toEqual([1]);
  state.open = true;
  send(3);
  expect(state.sent).toEqual([1]);
  hold.release();
  send(4);
  expect(state.sent).toEqual([1, 2, 3, 4]);
});

test.each([
  ["messages", 1, 1_000],
  ["bytes", 2_048, 512],
])("too many %s end it", (_what, bytes, most) => {
  const { state, hold, send } = openHold();
  state.open = false;
  for (let i = 0; i < most; i++) send(i, bytes);
  expect(state.overflown).toBe(0);
  send(most, bytes);
  expect(state.overflown).toBe(1);
  state.open = true;
  hold.release();
  send(0);
  expect(state.sent).toEqual([]);
  expect(state.overflown).toBe(1);
});
