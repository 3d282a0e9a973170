import { expect, test } from "vitest";
import { movedBy, type ReportedTool, type SaidVersion } from "./tool-report.ts";

const MINUTE_MS = 60_000;
const NOW_MS = 100 * MINUTE_MS;
const known = (served: number, reported: number, minutesAgo = 60): ReportedTool => ({
  served: { version: served, certification: "draft" },
  reported: { version: reported, certification: "draft" },
  removedBy: "",
  reporter: "r-1",
  reportedAtMs: NOW_MS - minutesAgo * MINUTE_MS,
});
const said = (version: number, certification: SaidVersion["certification"] = "draft") => ({ version, certification });
const by = (more: object = {}) => ({ runner: "r-2", nowMs: NOW_MS, acceptsChanges: false, ...more });

test("another version is reported, and the one that is served stays", () => {
  expect(movedBy(known(1, 1), said(2), by())).toEqual({ reported: 2, served: 1 });
  expect(movedBy(known(1, 2), said(3), by())).toEqual({ reported: 3, served: 1 });
});

test("the same version changes nothing", () => {
  expect(movedBy(known(1, 2), said(2), by({ acceptsChanges: true }))).toBeUndefined();
});

test("what is accepted or approved is served, what is retired is not", () => {
  expect(movedBy(known(1, 1), said(2), by({ acceptsChanges: true }))).toEqual({ reported: 2, served: 2 });
  expect(movedBy(known(1, 1), said(2, "approved"), by())).toEqual({ reported: 2, served: 2 });
  expect(movedBy(known(2, 2), said(1, "retired"), by({ acceptsChanges: true }))).toEqual({ reported: 1, served: 2 });
});

test("an older version counts: of the runner that has said the newer one, and of others when that is a while ago", () => {
  expect(movedBy(known(1, 2, 0), said(1), by({ runner: "r-1" }))).toEqual({ reported: 1, served: 1 });
  expect(movedBy(known(1, 2, 4), said(1), by())).toBeUndefined();
  expect(movedBy(known(1, 2, 6), said(1), by())).toEqual({ reported: 1, served: 1 });
  expect(movedBy(known(1, 2, 0), said(3), by())).toEqual({ reported: 3, served: 1 });
});
