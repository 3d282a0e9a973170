import { expect, test } from "vitest";
import { type Files, found, lines, manifest } from "./fixture-tree.ts";

const DOMAIN = "services/shop/src/domain/price.ts";
const PRICE = `export interface Order { readonly name: string; readonly price: number }
export const priceOf = (name: string, now: number): number => name.length + now;
`;

test("a tree in order has no findings", () => {
  expect(found({})).toEqual([]);
});

test.each<[string, Files, string[]]>([
  [
    "the domain may not import a handler",
    { [DOMAIN]: `${PRICE}import { order } from "../handlers/orders.ts";\norder({}, "", 1);\n` },
    [`${DOMAIN}:3 direction`],
  ],
  [
    "the store may not call the domain, only take its types",
    {
      "services/shop/src/store/orders.ts": `import { type Order, priceOf } from "../domain/price.ts";
export const insert = (bus: object, order: Order): void => void [bus, order, priceOf("", 0)];
`,
    },
    ["services/shop/src/store/orders.ts:1 direction"],
  ],
  [
    "a handler may not import the service",
    {
      "services/shop/src/handlers/orders.ts": `import { priceOf } from "../domain/price.ts";
import { insert } from "../store/orders.ts";
import { start } from "../service.ts";
export const order = (bus: object, name: string, now: number): void => insert(bus, { name, price: priceOf(name, now) });
start({});
`,
    },
    ["services/shop/src/handlers/orders.ts:3 direction"],
  ],
  [
    "main may import only service and config",
    {
      "services/shop/src/main.ts": `import { start } from "./service.ts";
import { insert } from "./store/orders.ts";
start({});
insert({}, { name: "", price: 1 });
`,
    },
    ["services/shop/src/main.ts:2 direction"],
  ],
  [
    "there are no rooms beside the known ones",
    {
      "services/shop/src/service.ts": `import { order } from "./handlers/orders.ts";
import { lamp } from "./attic/lamp.ts";
import { connect } from "@tollgate/bus";
export const start = (env: object): void => order(connect(), lamp, Object.keys(env).length);
`,
      "services/shop/src/attic/lamp.ts": `export const lamp = "";\n`,
    },
    ["services/shop/src/attic/lamp.ts:1 direction", "services/shop/src/service.ts:2 direction"],
  ],
  [
    "services never import services",
    {
      "services/bank/package.json": manifest({ name: "@tollgate/bank", dependencies: { "@tollgate/shop": "*" } }),
      "services/bank/src/main.ts": `import "@tollgate/shop";\n`,
    },
    ["services/bank/src/main.ts:1 service-import"],
  ],
  [
    "nothing else imports them either, not even a type",
    {
      "tools/report/package.json": manifest({ name: "@tollgate/report", devDependencies: { "@tollgate/shop": "*" } }),
      "tools/report/build.mjs": `process.stdout.write("");\n`,
      "tools/report/src/main.ts": `import "../build.mjs";\nexport type T = typeof import("@tollgate/shop");\n`,
    },
    ["tools/report/src/main.ts:2 service-import"],
  ],
])("%s", (_, changes, expected) => {
  expect(found(changes)).toEqual(expected);
});

test.each([
  ["I/O", `import { readFileSync } from "node:fs";`, `readFileSync("x")`],
  ["the database", `import { Pool } from "pg";`, `new Pool()`],
  ["a type of the HTTP server", `import type { FastifyRequest } from "fastify";`, `0 as unknown as FastifyRequest`],
  ["the bus", `import { connect } from "@tollgate/bus";`, `connect()`],
  ["a random id of node:crypto", `import { randomUUID } from "node:crypto";`, `randomUUID()`],
  [
    "a loader of the desired state",
    `import { loadDesiredState } from "@tollgate/desired-state";`,
    `loadDesiredState()`,
  ],
  ["Date.now", "", "Date.now()"],
  ["new Date()", "", "new Date()"],
  ["Math.random", "", "Math.random()"],
  ["performance", "", "performance.now()"],
  ["process", "", "process.pid"],
  ["a timer", "", "setTimeout(() => {}, 1)"],
  ["fetch", "", `fetch("http://x")`],
  ["a global's random id", "", "crypto.randomUUID()"],
])("the domain may not use %s", (_, imported, expression) => {
  const rules = found({
    "services/shop/package.json": manifest({
      name: "@tollgate/shop",
      dependencies: { "@tollgate/bus": "*", "@tollgate/desired-state": "*", pg: "*", fastify: "*" },
    }),
    "services/shop/src/service.ts": `import { connect } from "@tollgate/bus";
import { order } from "./handlers/orders.ts";
export const start = (env: object): void => order(connect(), "pg/ fastify", Object.keys(env).length);
export const names = ["pg", "fastify", "@tollgate/desired-state"];
`,
    "services/shop/src/main.ts": `import { names, start } from "./service.ts";\nstart(names);\n`,
    [DOMAIN]: `${lines(3)}${imported}\n${PRICE}export const impure = ${expression};\n`,
    "services/shop/src/domain/price.test.ts": `import { impure } from "./price.ts";\nvoid impure;\n`,
  });
  expect(rules).toEqual([`${DOMAIN}:${imported === "" ? 7 : 4} domain`]);
});
