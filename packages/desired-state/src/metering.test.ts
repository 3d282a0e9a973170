import { expect, test } from "vitest";
import { loadDesiredState } from "./load.ts";

const load = (text: string) => loadDesiredState(text, { file: "/etc/tollgate.yaml", env: { DAYS: "90" } }).metering;

test.each(["groups: []", "metering:", "metering: {}"])("%j: single calls are kept for 400 days", (text) => {
  expect(load(text)).toEqual({ retentionDays: 400 });
});

test("single calls may be kept for longer, or for less, but not for less than the stream", () => {
  expect(load('metering: { retention_days: "${DAYS}" }')).toEqual({ retentionDays: 90 });
  for (const days of ["30", "1.5", "-1", "40000", "many"])
    expect(() => load(`metering: { retention_days: ${days} }`)).toThrow("metering.retention_days");
});
