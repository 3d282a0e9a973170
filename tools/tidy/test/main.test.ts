import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { inspect } from "../src/inspect.ts";
import { writeTree } from "./fixture-tree.ts";

const MAIN = join(import.meta.dirname, "../src/main.ts");

function run(root: string): { readonly status: number | null; readonly stdout: string } {
  return spawnSync(process.execPath, [MAIN, root], { encoding: "utf8" });
}

test("says file, line, what is wrong and what to do, and fails", () => {
  const { status, stdout } = run(writeTree({ "docs/a.md": "\ncd /home/someone\n", "services/shop/test/old.ts": "" }));
  expect(stdout.split("\n")).toEqual([
    `docs/a.md:2: "/home/s" names a path of one machine; use tmpdir(), homedir() or a path relative to the file [machine-path]`,
    "services/shop/test/old.ts:1: nothing reaches this file; remove it, or import it [dead-file]",
    "tidy: 2 found",
    "",
  ]);
  expect(status).toBe(1);
});

test("passes a tree in order", () => {
  expect(run(writeTree({}))).toMatchObject({ status: 0, stdout: "tidy: 19 files, in order\n" });
});

const DEAD = { "services/shop/test/old.ts": "", "services/shop/test/older.ts": "" };

test("an exception covers one rule in one file", () => {
  const exceptions = [{ rule: "dead-file", file: "services/shop/test/old.ts", reason: "an example" }];
  const { findings } = inspect(writeTree(DEAD), exceptions);
  expect(findings.map(({ file }) => file)).toEqual(["services/shop/test/older.ts"]);
});

test("an exception for something particular leaves the rest", () => {
  const file = "services/shop/test/old.ts";
  const changes = { [file]: "xit();\nxtest();\n" };
  const exceptions = [
    { rule: "skipped-test", file, about: "xit", reason: "an example" },
    { rule: "dead-file", file, reason: "an example" },
  ];
  const { findings } = inspect(writeTree(changes), exceptions);
  expect(findings.map(({ rule, line }) => `${rule} ${line}`)).toEqual(["skipped-test 2"]);
});

test("an exception that covers nothing is a finding", () => {
  const { findings } = inspect(writeTree({}), [{ rule: "console", file: "vitest.config.ts", reason: "an example" }]);
  expect(findings).toMatchObject([{ rule: "stale-exception", file: "vitest.config.ts" }]);
});
