import { spawn } from "node:child_process";
import { chmod, mkdir, readdir, readFile, readlink, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { Client } from "pg";
import { expect, test } from "vitest";
import { endLeftover, type PostgresOptions, startPostgres } from "../src/index.ts";
import { linkLibraries } from "../src/postgres-binaries.ts";
import { commandLine, isAlive } from "../src/process.ts";
import { eventually, processesOf, scratchDir, track } from "./scratch.ts";

const isRoot = process.getuid?.() === 0;
const password = "a/b:c@d%'\"";

async function options(): Promise<PostgresOptions> {
  const dir = await scratchDir();
  return {
    dataDir: join(dir, "pg"),
    port: 0,
    password,
    logFile: join(dir, "postgres.log"),
    durable: false,
  };
}

async function query(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url });
  client.on("error", () => undefined);
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

test("a new database is UTF-8, takes its password only, and stop leaves nothing", { timeout: 60_000 }, async () => {
  const given = await options();
  const server = track(await startPostgres(given));
  const [row] = await query(
    server.adminUrl,
    "SELECT current_setting('server_encoding') AS encoding, datlocale, current_setting('TimeZone') AS zone FROM pg_database WHERE datname = 'postgres'",
  );
  expect(row).toEqual({ encoding: "UTF8", datlocale: "C.UTF-8", zone: "UTC" });
  const wrong = new URL(server.adminUrl);
  wrong.password = "wrong";
  await expect(query(wrong.href, "SELECT 1")).rejects.toThrow(/password authentication failed/);

  const line = await commandLine(server.pid);
  expect(line).not.toContain("a/b");
  expect((await stat(given.dataDir)).mode & 0o777).toBe(0o700);
  if (isRoot) expect((await stat(`/proc/${server.pid}`)).uid).not.toBe(0);

  await server.stop();
  expect(await server.exited).toBe(0);
  expect(isAlive(server.pid)).toBe(false);
  expect(await processesOf(given.dataDir)).toEqual([]);
  expect(await readdir(join(given.dataDir, ".."))).toEqual(["pg", "postgres.log"]);
});

test("what was committed survives kill -9, and the next start is not in its way", { timeout: 60_000 }, async () => {
  const given = { ...(await options()), durable: true };
  const first = track(await startPostgres(given));
  await query(first.adminUrl, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)");
  const held = new Client({ connectionString: first.adminUrl });
  held.on("error", () => undefined);
  await held.connect();
  process.kill(first.pid, "SIGKILL");
  expect(await first.exited).toBe(null);

  const second = track(await startPostgres({ ...given, port: first.port }));
  expect(second.port).toBe(first.port);
  expect(await query(second.adminUrl, "SELECT n FROM kept")).toEqual([{ n: 7 }]);
  await held.end().catch(() => undefined);
});

test("a lock file whose pid another program has by now does not prevent the start", { timeout: 60_000 }, async () => {
  const given = await options();
  const first = track(await startPostgres(given));
  process.kill(first.pid, "SIGKILL");
  await first.exited;
  const lock = join(given.dataDir, "postmaster.pid");
  const text = await readFile(lock, "utf8");
  const { uid, gid } = await stat(given.dataDir);
  // Of the database's own user: PostgreSQL itself ignores the pids of others.
  const other = spawn("sleep", ["60"], isRoot ? { uid, gid } : {});
  await writeFile(lock, text.replace(/^\d+/, String(other.pid)));
  try {
    const second = track(await startPostgres(given));
    expect(await query(second.adminUrl, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
  } finally {
    other.kill();
  }
});

test("a second server on the same folder is refused, and a leftover can be ended", { timeout: 60_000 }, async () => {
  const given = await options();
  const server = track(await startPostgres(given));
  await expect(startPostgres(given)).rejects.toMatchObject({
    code: "already_exists",
    details: { pid: server.pid },
  });
  expect(await endLeftover({ dataDir: given.dataDir })).toBe(server.pid);
  await eventually(async () => (await processesOf(given.dataDir)).length === 0);
});

test("a taken port and another version's data are said plainly", { timeout: 60_000 }, async () => {
  const given = await options();
  const holder = createServer();
  const port = await new Promise<number>((resolve) =>
    holder.listen(0, "127.0.0.1", () => {
      const address = holder.address();
      resolve(address && typeof address === "object" ? address.port : 0);
    }),
  );
  try {
    await expect(startPostgres({ ...given, port })).rejects.toThrow(`127.0.0.1:${port}: the port is taken`);
  } finally {
    holder.close();
  }
  await writeFile(join(given.dataDir, "PG_VERSION"), "16\n");
  await expect(startPostgres(given)).rejects.toThrow(/is PostgreSQL 16's and this is PostgreSQL 17/);
});

test("a folder of other things is left alone", async () => {
  const given = await options();
  await mkdir(given.dataDir);
  await writeFile(join(given.dataDir, "letter.txt"), "dear");
  await expect(startPostgres(given)).rejects.toThrow(/neither empty nor a PostgreSQL data folder/);
  expect(await readdir(given.dataDir)).toEqual(["letter.txt"]);
});

test("a broken database says so, with the end of its log", { timeout: 60_000 }, async () => {
  const given = await options();
  await track(await startPostgres(given)).stop();
  await writeFile(join(given.dataDir, "global/pg_control"), "broken");
  await expect(startPostgres(given)).rejects.toThrow(/PostgreSQL ended while it started[^]*pg_control/);
  expect(await processesOf(given.dataDir)).toEqual([]);
});

/** The rights that a process has beyond its user's, as the kernel's bit mask. */
async function capabilitiesOf(pid: number): Promise<bigint> {
  const mask = /^CapEff:\s*([0-9a-f]+)/m.exec(await readFile(`/proc/${pid}/status`, "utf8"))?.[1];
  return BigInt(`0x${mask}`);
}

test.skipIf(!isRoot).each([
  { folder: "an open folder, with no rights left", mode: 0o755, masks: [0n] },
  // CAP_DAC_READ_SEARCH or, where root does not have it, CAP_DAC_OVERRIDE: linux/capability.h.
  {
    folder: "a closed folder, with the right to pass it",
    mode: 0o700,
    masks: [1n << 2n, 1n << 1n],
  },
])("root's data can be below $folder", { timeout: 60_000 }, async ({ mode, masks }) => {
  const parent = await scratchDir();
  await chmod(parent, mode);
  const given = { ...(await options()), dataDir: join(parent, "pg") };
  const server = track(await startPostgres(given));
  expect(masks).toContain(await capabilitiesOf(server.pid));
  await query(server.adminUrl, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7); CHECKPOINT");
  await server.stop();
  const again = track(await startPostgres(given));
  expect(await query(again.adminUrl, "SELECT n FROM kept")).toEqual([{ n: 7 }]);
});

test("missing library links are made, by two at once as well, and what exists stays", async () => {
  const root = await scratchDir();
  await mkdir(join(root, "native/lib"), { recursive: true });
  const links = ["a", "b"].map((name) => ({
    source: `native/lib/lib${name}.so.1.2`,
    target: `native/lib/lib${name}.so.1`,
  }));
  await writeFile(join(root, "native/pg-symlinks.json"), JSON.stringify(links));
  await Promise.all([linkLibraries(root), linkLibraries(root)]);
  expect(await readlink(join(root, "native/lib/liba.so.1"))).toBe("liba.so.1.2");
  await linkLibraries(root);
  expect(await readlink(join(root, "native/lib/libb.so.1"))).toBe("libb.so.1.2");
});
