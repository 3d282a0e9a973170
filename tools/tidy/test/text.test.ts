import { expect, test } from "vitest";
import { found } from "./fixture-tree.ts";

// Written apart, so that this file holds neither.
const UNFINISHED = ["TO_DO", "FIX_ME"].map((word) => word.replace("_", ""));
const REGISTRY_HOST = ["registry", "npmjs", "org"].join(".");

test.each([
  ...UNFINISHED.map((word) => [`// ${word}: later`, "unfinished"]),
  [`"/home/someone/x"`, "machine-path"],
  [`"/root/x"`, "machine-path"],
  [`cd /work/copy`, "machine-path"],
  [`"file:///Users/someone/x"`, "machine-path"],
  [`HOME=/home/someone node`, "machine-path"],
  [`"/tmp/scratch"`, "machine-path"],
  [`https://${REGISTRY_HOST}/x`, "registry-host"],
])("finds %s in any file", (text, rule) => {
  expect(found({ "docs/notes.md": `first\n\n${text}\n` })).toEqual([`docs/notes.md:3 ${rule}`]);
});

test.each([
  "https://example.com/home/page",
  "`${dir}/tmp/x`",
  "./root/x",
  "tmpdir()",
  "the /tmp folder",
  "mktemp -d name.XXXXXX",
  "npm's registry",
])("accepts %s", (text) => {
  expect(found({ "docs/notes.md": `${text}\n` })).toEqual([]);
});

test("a lock file may name no registry either", () => {
  const text = `{\n"resolved": "https://${REGISTRY_HOST}/a"\n}`;
  expect(found({ "package-lock.json": text })).toEqual(["package-lock.json:2 registry-host"]);
});
