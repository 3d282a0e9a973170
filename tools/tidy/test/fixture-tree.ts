import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { onTestFinished } from "vitest";
import { inspect } from "../src/inspect.ts";

export type Files = Readonly<Record<string, string>>;

const manifest = (fields: object): string => JSON.stringify({ private: true, type: "module", ...fields }, null, 2);

/** A small repository in which every rule is kept: a service with all its rooms, two packages and a tool. */
const IN_ORDER: Files = {
  "package.json": manifest({ name: "fixture", devDependencies: { vitest: "1.0.0" } }),
  "vitest.config.ts": `export default { test: { globalSetup: ["packages/testkit/src/global-setup.ts"] } };\n`,
  "services/shop/package.json": manifest({ name: "@tollgate/shop", dependencies: { "@tollgate/bus": "*" } }),
  "services/shop/migrations/0001-orders.sql": "CREATE TABLE orders (id text);\n",
  "services/shop/src/main.ts": `import { start } from "./service.ts";\nstart(process.env);\n`,
  "services/shop/src/service.ts": `import { connect } from "@tollgate/bus";
import { order } from "./handlers/orders.ts";
export function start(env: NodeJS.ProcessEnv): void {
  order(connect(), env["NAME"] ?? "", Date.now());
}
`,
  "services/shop/src/handlers/orders.ts": `import { priceOf } from "../domain/price.ts";
import { insert } from "../store/orders.ts";
export const order = (bus: object, name: string, now: number): void => insert(bus, { name, price: priceOf(name, now) });
`,
  "services/shop/src/domain/price.ts": `import { createHash } from "node:crypto";
export interface Order { readonly name: string; readonly price: number }
export const priceOf = (name: string, now: number): number =>
  createHash("sha256").update(name).digest().length + new Date(now).getDay();
`,
  "services/shop/src/domain/price.test.ts": `import { test } from "vitest";
import { priceOf } from "./price.ts";
test("costs", () => priceOf("tea", Date.now()));
`,
  "services/shop/src/store/orders.ts": `import type { Order } from "../domain/price.ts";
export const insert = (bus: object, order: Order): void => void [bus, order];
`,
  "packages/bus/package.json": manifest({
    name: "@tollgate/bus",
    exports: { ".": "./src/index.ts" },
    dependencies: { "@nats-io/kv": "1.0.0" },
  }),
  "packages/bus/src/index.ts": `export { connect } from "./connection.ts";\n`,
  "packages/bus/src/connection.ts": `import { Kvm } from "@nats-io/kv";
export const connect = (): object => new Kvm("audit.v1.");
`,
  "packages/testkit/package.json": manifest({ name: "@tollgate/testkit", exports: { ".": "./src/index.ts" } }),
  "packages/testkit/src/index.ts": `export const path = process.env["PATH"];\n`,
  "packages/testkit/src/global-setup.ts": `export default (): void => {};\n`,
  "tools/report/package.json": manifest({ name: "@tollgate/report", scripts: { build: "node build.mjs" } }),
  "tools/report/build.mjs": `process.stdout.write("built\\n");\n`,
  "tools/report/src/main.ts": `process.stdout.write("report\\n");\n`,
};

/** Writes the tree in order, with `changes` over it, into a folder of its own. */
export function writeTree(changes: Files): string {
  const root = mkdtempSync(join(tmpdir(), "tidy-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (const [path, text] of Object.entries({ ...IN_ORDER, ...changes })) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

/** What is found after `changes`, as "file:line rule". */
export function found(changes: Files): string[] {
  return inspect(writeTree(changes), []).findings.map(({ file, line, rule }) => `${file}:${line} ${rule}`);
}

/** Lines that stand for nothing, to push what follows to a line of its choice. */
export function lines(count: number): string {
  return "//\n".repeat(count);
}

export { manifest };
