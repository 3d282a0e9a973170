import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Log } from "./log.ts";
import { type Pool, withTransaction } from "./postgres.ts";

const FILE_NAME = /^(\d{4})-[a-z0-9-]+\.sql$/;

/**
 * Brings a service's schema forwards: runs the files `NNNN-name.sql` of `directory` that have not run yet, in order,
 * in one transaction under a lock, so that replicas may start at once. A file that was changed after it ran is an error.
 */
export async function migrate(options: { pool: Pool; schema: string; directory: string; log: Log }): Promise<void> {
  const { pool, schema, directory, log } = options;
  const names = (await readdir(directory)).filter((name) => name.endsWith(".sql")).toSorted();
  const misnamed = names.find((name) => !FILE_NAME.test(name));
  if (misnamed !== undefined) throw new Error(`migration ${misnamed} is not named NNNN-lower-case-words.sql`);
  const files = await Promise.all(
    names.map(async (name) => ({ name, sql: await readFile(join(directory, name), "utf8") })),
  );
  await withTransaction(pool, async (client) => {
    // A table with much data takes as long as it takes, and so does waiting for the replica that is at it.
    await client.query("SET LOCAL statement_timeout = 0");
    await client.query("SELECT pg_advisory_xact_lock(hashtext($1))", [`tollgate-migrate-${schema}`]);
    await client.query(
      `CREATE TABLE IF NOT EXISTS "${schema}".migrations (name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())`,
    );
    const { rows } = await client.query<{ name: string; sha256: string }>(
      `SELECT name, sha256 FROM "${schema}".migrations`,
    );
    const applied = new Map(rows.map((row) => [row.name, row.sha256]));
    for (const { name, sql } of files) {
      const sha256 = createHash("sha256").update(sql).digest("hex");
      const before = applied.get(name);
      if (before === sha256) continue;
      if (before !== undefined) throw new Error(`migration ${name} was changed after it ran; add a new file instead`);
      await client.query(sql);
      await client.query(`INSERT INTO "${schema}".migrations (name, sha256) VALUES ($1, $2)`, [name, sha256]);
      log.info({ migration: name }, "migrated");
    }
  });
}
