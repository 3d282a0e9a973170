import { expect, test } from "vitest";
import { type Files, found, manifest } from "./fixture-tree.ts";

const MAIN = "tools/report/src/main.ts";

test.each<[string, Files, string[]]>([
  [
    "a file that nothing imports",
    { "services/shop/src/domain/forgotten.ts": "" },
    ["services/shop/src/domain/forgotten.ts:1 dead-file"],
  ],
  [
    "files that only import each other",
    {
      "services/shop/src/domain/one.ts": `import { two } from "./two.ts";\nexport const one = (): number => two();\n`,
      "services/shop/src/domain/two.ts": `import { one } from "./one.ts";\nexport const two = (): number => one();\n`,
    },
    ["services/shop/src/domain/one.ts:1 dead-file", "services/shop/src/domain/two.ts:1 dead-file"],
  ],
  [
    "something beside the tests that no test uses",
    { "services/shop/test/old-server.ts": "" },
    ["services/shop/test/old-server.ts:1 dead-file"],
  ],
  [
    "an exported value that nothing imports",
    {
      "packages/bus/src/connection.ts": `import { Kvm } from "@nats-io/kv";
export const connect = (): object => new Kvm();
export const OLD_MAX = 3;
`,
    },
    ["packages/bus/src/connection.ts:3 dead-export"],
  ],
  [
    "an exported type that nothing is written with",
    {
      "packages/bus/src/connection.ts": `import { Kvm } from "@nats-io/kv";
export const connect = (): Connection => new Kvm();
export interface Connection {}
export interface Old {}
`,
    },
    ["packages/bus/src/connection.ts:4 dead-export"],
  ],
])("finds %s", (_, changes, expected) => {
  expect(found(changes)).toEqual(expected);
});

test.each<[string, Files]>([
  [
    "a program that a test starts by its path",
    {
      "services/shop/test/server.ts": "",
      "services/shop/test/shop.test.ts": `import { join } from "node:path";\njoin(import.meta.dirname, "server.ts");\n`,
    },
  ],
  [
    "a program that an image starts",
    { "tools/report/src/once.ts": "", Dockerfile: "CMD node tools/report/src/once.ts" },
  ],
  [
    "a script of the root",
    {
      "tools/boot.mjs": "",
      "package.json": manifest({
        name: "fixture",
        scripts: { start: "node tools/boot.mjs up" },
        devDependencies: { vitest: "1.0.0" },
      }),
    },
  ],
  [
    "names taken through a namespace, a dynamic import and a type's import",
    {
      [MAIN]: `import * as one from "./one.ts";
const two = await import("./two.ts");
export type Three = typeof import("./three.ts");
process.stdout.write(String([one.a, two.a]));
`,
      "tools/report/src/one.ts": "export const a = 1;\n",
      "tools/report/src/two.ts": "export const a = 1;\n",
      "tools/report/src/three.ts": "export const a = 1;\n",
    },
  ],
  [
    "a default export that is imported",
    {
      [MAIN]: `import one from "./one.ts";\none();\n`,
      "tools/report/src/one.ts": "export default (): void => {};\n",
    },
  ],
])("accepts %s", (_, changes) => {
  expect(found(changes)).toEqual([]);
});
