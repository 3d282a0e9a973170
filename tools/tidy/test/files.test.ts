import { expect, test } from "vitest";
import { type Files, found, lines } from "./fixture-tree.ts";

const MAIN = "tools/report/src/main.ts";
const PART = "tools/report/src/part.ts";
const TEST = "tools/report/test/report.test.ts";
const withPart = (text: string): Files => ({ [MAIN]: `import "./part.ts";\n`, [PART]: text });
const functionOf = (count: number): string => `function work(): void {\n${lines(count - 2)}}\nwork();\n`;

test.each<[string, Files, string[]]>([
  ["process.env outside main", withPart("\nvoid process.env.HOME;\n"), [`${PART}:2 process-env`]],
  ["process.env by brackets", withPart(`void process["env"];\n`), [`${PART}:1 process-env`]],
  ["process.env taken apart", withPart("const { env } = process;\nvoid env;\n"), [`${PART}:1 process-env`]],
  ["the environment imported", withPart(`import { env } from "node:process";\nvoid env;\n`), [`${PART}:1 process-env`]],
  [
    "console",
    withPart(`\nconsole.error("é", "no");\nconsole.log("no");\n`),
    [`${PART}:2 console`, `${PART}:3 console`],
  ],
  ["a file of 501 lines", withPart(lines(501)), [`${PART}:501 file-size`]],
  ["a main of 61 lines", { [MAIN]: lines(61) }, [`${MAIN}:61 file-size`]],
  ["an ARCHITECTURE.md of 301 lines", { "ARCHITECTURE.md": "a\n".repeat(301) }, ["ARCHITECTURE.md:301 file-size"]],
  ["a function of 71 lines", withPart(functionOf(71)), [`${PART}:1 function-size`]],
  [
    "a method of 71 lines",
    withPart(`class Work {\n  run(): void {\n${lines(69)}  }\n}\nnew Work().run();\n`),
    [`${PART}:2 function-size`],
  ],
  ["a test of 71 lines", { [TEST]: `test("long", () => {\n${lines(69)}});\n` }, [`${TEST}:1 function-size`]],
  [
    "a file name in camelCase",
    { "services/shop/migrations/0002-addName.sql": "" },
    ["services/shop/migrations/0002-addName.sql:1 file-name"],
  ],
  ["a folder in camelCase", { "proto/shopApi/shop.proto": "" }, ["proto/shopApi/shop.proto:1 file-name"]],
  [
    "a file of utils",
    { [MAIN]: `import "./string-utils.ts";\n`, "tools/report/src/string-utils.ts": "" },
    ["tools/report/src/string-utils.ts:1 vague-name"],
  ],
  ["a manager", withPart("class PoolManager {}\nvoid PoolManager;\n"), [`${PART}:1 vague-name`]],
  ["a helper", withPart("\nfunction stringHelper(): void {}\nvoid stringHelper;\n"), [`${PART}:2 vague-name`]],
  ["an I-prefix", withPart("interface IPool {}\nvoid (0 as IPool);\n"), [`${PART}:1 vague-name`]],
  ["a skipped test", { [TEST]: `test.skip("no", () => {});\n` }, [`${TEST}:1 skipped-test`]],
  ["a skipped group", { [TEST]: `describe.concurrent.skip("no", () => {});\n` }, [`${TEST}:1 skipped-test`]],
  ["a test that runs alone", { [TEST]: `\nit.only.each([1])("no", () => {});\n` }, [`${TEST}:2 skipped-test`]],
  ["a test still to write", { [TEST]: `test.todo("no");\n` }, [`${TEST}:1 skipped-test`]],
  ["a crossed-out test", { [TEST]: `xit("no", () => {});\n` }, [`${TEST}:1 skipped-test`]],
  ["a syntax error", withPart("const = 1;\n"), [`${PART}:1 syntax`]],
])("finds %s", (_, changes, expected) => {
  expect(found(changes)).toEqual(expected);
});

test.each<[string, Files]>([
  ["a file of 500 lines", withPart(lines(500))],
  ["a main of 60 lines", { [MAIN]: lines(60) }],
  ["a function of 70 lines", withPart(functionOf(70))],
  ["a group of tests that is long", { [TEST]: `describe("shop", () => {\n${lines(100)}});\n` }],
  ["the environment in a test", { [TEST]: "void process.env.PATH;\n" }],
  ["words that contain a vague one", withPart("class Utilization {}\nvoid Utilization;\n")],
  ["a method named skip that is no test's", { [TEST]: "reader.skip(1);\n" }],
  ["console named in a text", withPart(`process.stdout.write("console.log");\n`)],
  ["what git does not keep", { "node_modules/x/package.json": "{", "tools/report/dist/A.js": "console.log(1" }],
])("accepts %s", (_, changes) => {
  expect(found(changes)).toEqual([]);
});
