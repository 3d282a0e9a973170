import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openLog } from "./log.ts";

test("writes what the level allows, one line each, and never the token", () => {
  const lines: string[] = [];
  const log = openLog({ level: "warn", bytesMax: 100, rotateCount: 1, secret: "s3cret" }, (line) => lines.push(line));
  log.info("quiet");
  log.warn("Bearer s3cret\nsecond line");
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/^\d{4}-\S+Z warn Bearer \*\*\* second line\n$/);
});

test("keeps as many older files as it is told, none larger than allowed, for the owner only", async () => {
  const folder = await mkdtemp(join(tmpdir(), "bridge-log-"));
  const file = join(folder, "deep", "bridge.log");
  const log = openLog({ level: "info", file, bytesMax: 100, rotateCount: 2, secret: "" }, () => expect.unreachable());
  for (let index = 0; index < 9; index++) log.info(`message ${index}`);
  expect((await readdir(join(folder, "deep"))).toSorted()).toEqual(["bridge.log", "bridge.log.1", "bridge.log.2"]);
  expect(await readFile(file, "utf8")).toContain("message 8");
  expect(await readFile(`${file}.1`, "utf8")).toContain("message 7");
  expect((await stat(file)).size).toBeLessThanOrEqual(100);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  await rm(folder, { recursive: true });
});

test("falls back to standard error when the file cannot be written", () => {
  const lines: string[] = [];
  const log = openLog({ level: "info", file: "/dev/null/x.log", bytesMax: 100, rotateCount: 0, secret: "" }, (line) =>
    lines.push(line),
  );
  log.info("still heard");
  expect(lines.join("")).toContain("cannot write the log /dev/null/x.log");
  expect(lines.join("")).toContain("still heard");
});
