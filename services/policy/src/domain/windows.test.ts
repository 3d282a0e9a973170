import type { Conditions } from "@tollgate/desired-state";
import fc from "fast-check";
import { expect, test } from "vitest";
import { openWindows, parseWindow, windowText } from "./windows.ts";

test.each<[Conditions, string | undefined]>([
  [{}, undefined],
  [{ mfa: true }, undefined],
  [{ time: { from: "08:00", to: "18:00", timezone: "Europe/Berlin" } }, "daily 08:00-18:00 Europe/Berlin"],
  [{ weekdays: ["mon", "fri"] }, "mon,fri 00:00-24:00 UTC"],
  [
    {
      weekdays: ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
      time: { from: "22:00", to: "06:00", timezone: "UTC" },
    },
    "daily 22:00-06:00 UTC",
  ],
])("%j is the window %j, which is read back", (conditions, text) => {
  expect(windowText(conditions)).toBe(text);
  if (text !== undefined) expect(parseWindow(text)?.text).toBe(text);
});

test.each(["", "daily", "daily 08:00-18:00", "fun 08:00-18:00 UTC x", "daily 08:00-18:00 Mars/Crater", "/data/*"])(
  "%j is no window",
  (text) => expect(parseWindow(text)).toBeUndefined(),
);

const ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Chatham"];
const DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const anyClock = fc
  .tuple(fc.integer({ min: 0, max: 23 }), fc.constantFrom(0, 1, 15, 30, 59))
  .map(([hour, minute]) => `${String(hour).padStart(2, "0")}:${String(minute).padStart(2, "0")}`);
const anyWindow = fc
  .record({
    days: fc.subarray(DAYS, { minLength: 1 }),
    from: anyClock,
    to: fc.oneof(anyClock, fc.constant("24:00")),
    zone: fc.constantFrom(...ZONES),
  })
  .filter(({ from, to }) => from !== to);
/** Often near the moments at which clocks are put forward or back in 2027. */
const anyMoment = fc.oneof(
  fc.integer({ min: Date.UTC(2026, 0), max: Date.UTC(2028, 0) }),
  fc
    .tuple(
      fc.constantFrom(
        "2027-03-28T01:00Z",
        "2027-10-31T01:00Z",
        "2027-03-14T07:00Z",
        "2027-11-07T06:00Z",
        "2027-04-03T15:00Z",
      ),
      fc.integer({ min: -90_000_000, max: 90_000_000 }),
    )
    .map(([time, offset]) => Date.parse(time) + offset),
);

/** By the words of the local clock, day by day: the window of a day, and what goes over from the day before. */
function isOpenBySight(
  { days, from, to, zone }: { days: string[]; from: string; to: string; zone: string },
  ms: number,
) {
  const words = new Date(ms).toLocaleString("en-GB", {
    timeZone: zone,
    weekday: "short",
    hour: "2-digit",
    minute: "2-digit",
    hour12: false,
  });
  const [, day, time] = /^(\w{3}),? (\d\d:\d\d)/.exec(words)!;
  const today = DAYS.indexOf(day!.toLowerCase());
  const has = (index: number) => days.includes(DAYS[(index + 7) % 7]!);
  if (from < to) return has(today) && from <= time! && time! < to;
  return (has(today) && from <= time!) || (has(today - 1) && time! < to);
}

test("a window is open when the clock there says so, and stays as it is until it says when", () => {
  fc.assert(
    fc.property(anyWindow, anyMoment, fc.double({ min: 0, max: 1, noNaN: true }), (given, nowMs, share) => {
      const text = `${given.days.join(",")} ${given.from}-${given.to} ${given.zone}`;
      const { texts, untilMs } = openWindows([parseWindow(text)!], nowMs);
      expect(texts.length > 0).toBe(isOpenBySight(given, nowMs));
      expect(untilMs).toBeGreaterThan(nowMs);
      expect(untilMs).toBeLessThanOrEqual(nowMs + 86_400_000);
      const later = Math.min(untilMs - 1, nowMs + Math.floor((untilMs - nowMs) * share));
      expect(isOpenBySight(given, later)).toBe(texts.length > 0);
    }),
    { numRuns: 1_500 },
  );
});

test("of several the next one to turn counts; of none there is no end", () => {
  const windows = ["daily 08:00-18:00 UTC", "daily 00:00-12:00 UTC"].map((text) => parseWindow(text)!);
  const nowMs = Date.UTC(2027, 0, 4, 9);
  expect(openWindows(windows, nowMs)).toEqual({
    texts: ["daily 08:00-18:00 UTC", "daily 00:00-12:00 UTC"],
    sinceMs: nowMs,
    untilMs: Date.UTC(2027, 0, 4, 12),
  });
  expect(openWindows([], nowMs)).toEqual({ texts: [], sinceMs: nowMs, untilMs: Infinity });
});
