import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testLog, useInfrastructure } from "@tollgate/testkit";
import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { openLife } from "../src/life.ts";
import { migrate } from "../src/migrate.ts";
import { openPool, type Pool } from "../src/postgres.ts";

const infra = useInfrastructure();
const life = openLife(testLog);
let pool: Pool;
let directory: string;

beforeAll(async () => {
  pool = await openPool({ url: infra.databaseUrl("audit"), max: 6, name: "test", life, log: testLog });
});
afterAll(() => life.close());
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "tollgate-migrations-"));
  await pool.query("DROP TABLE IF EXISTS audit.migrations, audit.steps");
});
afterEach(() => rm(directory, { recursive: true }));

const run = () => migrate({ pool, schema: "audit", directory, log: testLog });
const write = (name: string, sql: string) => writeFile(join(directory, name), sql);

/** What the migrations did, in the order in which they did it. */
async function steps(): Promise<string[]> {
  const { rows } = await pool.query<{ name: string }>("SELECT name FROM audit.steps ORDER BY at");
  return rows.map(({ name }) => name);
}

const FIRST = "CREATE TABLE audit.steps (at serial, name text); INSERT INTO audit.steps (name) VALUES ('first');";
const step = (name: string) => `INSERT INTO audit.steps (name) VALUES ('${name}')`;

it("runs each file once, in the order of their numbers", async () => {
  await write("0010-tenth.sql", step("tenth"));
  await write("0001-first.sql", FIRST);
  await write("0002-second.sql", step("second"));
  await run();
  await write("0011-eleventh.sql", step("eleventh"));
  await run();
  await run();
  expect(await steps()).toEqual(["first", "second", "tenth", "eleventh"]);
});

it("runs each file once when replicas start at the same time", async () => {
  await write("0001-first.sql", `${FIRST} SELECT pg_sleep(0.2);`);
  await write("0002-second.sql", step("second"));
  await Promise.all([run(), run(), run(), run()]);
  expect(await steps()).toEqual(["first", "second"]);
});

it("takes as long as a file takes, and as the replica that is at it does", async () => {
  const url = infra.databaseUrl("audit");
  await write("0001-first.sql", `${FIRST} SELECT pg_sleep(0.3);`);
  const hasty = new pg.Pool({ connectionString: url, max: 2, statement_timeout: 100 });
  try {
    const each = () => migrate({ pool: hasty, schema: "audit", directory, log: testLog });
    await Promise.all([each(), each()]);
    expect(await steps()).toEqual(["first"]);
    // The pool's other work has its timeout again.
    await expect(hasty.query("SELECT pg_sleep(0.3)")).rejects.toThrow("statement timeout");
  } finally {
    await hasty.end();
  }
});

it("refuses a file that was changed after it ran, names it, and runs nothing", async () => {
  await write("0001-first.sql", FIRST);
  await run();
  await write("0001-first.sql", `${FIRST} `);
  await write("0002-second.sql", step("second"));
  await expect(run()).rejects.toThrow("migration 0001-first.sql was changed after it ran");
  expect(await steps()).toEqual(["first"]);
});

it("takes back everything of a run in which a file fails, and runs it when the file is repaired", async () => {
  await write("0001-first.sql", FIRST);
  await run();
  await write("0002-second.sql", step("second"));
  await write("0003-third.sql", `${step("third")}; SELECT no_such_function();`);
  await expect(run()).rejects.toThrow("no_such_function");
  expect(await steps()).toEqual(["first"]);
  await write("0003-third.sql", step("third"));
  await run();
  expect(await steps()).toEqual(["first", "second", "third"]);
});

it("goes on beside a newer version that has run more files", async () => {
  await write("0001-first.sql", FIRST);
  await write("0002-second.sql", step("second"));
  await run();
  await rm(join(directory, "0002-second.sql"));
  await expect(run()).resolves.toBeUndefined();
});

it("refuses a file whose name it would otherwise pass over in silence", async () => {
  await write("0001-first.sql", FIRST);
  await write("2-Second.sql", step("second"));
  await write("README.md", "not a migration");
  await expect(run()).rejects.toThrow("2-Second.sql");
});
