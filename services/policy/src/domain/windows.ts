import { type Conditions, WEEKDAYS } from "@tollgate/desired-state";

// Time windows. Cedar knows no time zones, so that it is worked out here which windows are open.

const DAY_MINUTES = 1_440;
const MINUTE_MS = 60_000;
/** Clocks are put forward and back at full quarters of an hour of UTC, wherever they are. */
const QUARTER_MS = 15 * MINUTE_MS;
const DAILY = "daily";
const CANONICAL = /^(daily|(?:sun|mon|tue|wed|thu|fri|sat)(?:,[a-z]{3})*) (\d\d:\d\d)-(\d\d:\d\d) ([A-Za-z][\w+/-]*)$/;

export interface Window {
  /** Such as `mon,tue 08:00-18:00 Europe/Berlin` or `daily 22:00-06:00 UTC`. */
  readonly text: string;
  /** 0 is Sunday. */
  readonly days: ReadonlySet<number>;
  /** Minutes of the day. One that ends before it begins goes on into the next day. */
  readonly from: number;
  readonly to: number;
  readonly clock: Intl.DateTimeFormat;
}

export interface OpenWindows {
  readonly texts: readonly string[];
  /** It was the same since then, and is until then; Unix milliseconds. */
  readonly sinceMs: number;
  readonly untilMs: number;
}

/** The canonical text of the window that conditions speak of, or undefined. */
export function windowText({ time, weekdays }: Conditions): string | undefined {
  if (time === undefined && weekdays === undefined) return undefined;
  const { from, to, timezone } = time ?? { from: "00:00", to: "24:00", timezone: "UTC" };
  const days = weekdays === undefined || weekdays.length === WEEKDAYS.length ? DAILY : weekdays.join(",");
  return `${days} ${from}-${to} ${timezone}`;
}

/** Undefined where the text is not of that form. */
export function parseWindow(text: string): Window | undefined {
  const [, days, from, to, timeZone] = CANONICAL.exec(text) ?? [];
  if (days === undefined || from === undefined || to === undefined) return undefined;
  const names = days === DAILY ? WEEKDAYS : days.split(",");
  const numbers = names.map((name) => WEEKDAYS.findIndex((day) => day === name));
  try {
    const clock = new Intl.DateTimeFormat("en-US", {
      timeZone,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
    return { text, days: new Set(numbers), from: minuteOf(from), to: minuteOf(to), clock };
  } catch {
    return undefined;
  }
}

function minuteOf(clock: string): number {
  return Number(clock.slice(0, 2)) * 60 + Number(clock.slice(3));
}

/** Which of the windows are open, and for how long that stays so. */
export function openWindows(windows: readonly Window[], nowMs: number): OpenWindows {
  const untilMs = Math.min(Infinity, ...windows.map((window) => nextTurnMs(window, nowMs)));
  return { texts: windows.filter((window) => isOpen(window, nowMs)).map(({ text }) => text), sinceMs: nowMs, untilMs };
}

function isOpen({ days, from, to, clock }: Window, nowMs: number): boolean {
  const local = new Date(localMs(clock, nowMs));
  const day = local.getUTCDay();
  const minute = local.getUTCHours() * 60 + local.getUTCMinutes();
  if (from < to) return days.has(day) && from <= minute && minute < to;
  return minute >= from ? days.has(day) : minute < to && days.has((day + 6) % 7);
}

/** When the clock is next at one of the window's ends, or, where it is put forward or back before that, looks anew. */
function nextTurnMs({ from, to, clock }: Window, nowMs: number): number {
  const local = localMs(clock, nowMs);
  const sinceMidnight = ((local % (DAY_MINUTES * MINUTE_MS)) + DAY_MINUTES * MINUTE_MS) % (DAY_MINUTES * MINUTE_MS);
  const away = [from, to].map((minute) => {
    const ms = (minute % DAY_MINUTES) * MINUTE_MS - sinceMidnight;
    return ms > 0 ? ms : ms + DAY_MINUTES * MINUTE_MS;
  });
  const next = nowMs + Math.min(...away);
  if (localMs(clock, next) - next === local - nowMs) return next;
  return Math.min(next, nowMs - (nowMs % QUARTER_MS) + QUARTER_MS);
}

/** The time that the clock shows, as if it were UTC. */
function localMs(clock: Intl.DateTimeFormat, nowMs: number): number {
  const parts: Record<string, number> = {};
  for (const { type, value } of clock.formatToParts(nowMs)) parts[type] = Number(value);
  const { year, month, day, hour, minute, second } = parts;
  return Date.UTC(year!, month! - 1, day, hour, minute, second) + (((nowMs % 1_000) + 1_000) % 1_000);
}
