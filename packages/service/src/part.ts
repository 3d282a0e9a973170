import { hostname } from "node:os";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { answerParts, type Bus, type PartStatus } from "@tollgate/bus";
import type { Gauge } from "prom-client";
import type { Ops } from "./ops.ts";
import { readinessOf } from "./ops.ts";
import type { Pool } from "./postgres.ts";

/** Whoever asks how this part is waits for no longer than a second. */
const MIGRATION_WAIT_MS = 200;
const PROJECT = join(import.meta.dirname, "../../../package.json");

/**
 * Lets this process tell what it is and how it is, to whoever looks after the installation. Its database's schema has
 * its name.
 */
export function answerAsPart({ name, bus, ops, pool }: { name: string; bus: Bus; ops: Ops; pool?: Pool }): void {
  const { version } = JSON.parse(readFileSync(PROJECT, "utf8")) as { version: string };
  const startedAt = new Date(Date.now() - process.uptime() * 1_000).toISOString();
  const same = { name, host: hostname(), pid: process.pid, version, node: process.version, startedAt };
  const newestMigration = pool === undefined ? undefined : watchMigrations(name, pool);
  answerParts(bus, async (): Promise<PartStatus> => {
    const reasons = readinessOf(ops);
    const behind = await lagOf(name, ops);
    const migration = await newestMigration?.();
    return {
      ...same,
      ready: Object.keys(reasons).length === 0,
      reasons,
      ...(migration === undefined ? {} : { migration }),
      ...(behind === undefined ? {} : { behind }),
    };
  });
}

/** As `watchRecorder` has last seen it. */
async function lagOf(name: string, { metrics }: Ops): Promise<number | undefined> {
  const gauge = metrics.registry.getSingleMetric(`tollgate_${name}_lag_messages`) as Gauge | undefined;
  return (await gauge?.get())?.values[0]?.value;
}

/** Of a database that is slow or away, as it was before; a newer version may have added to it since this one began. */
function watchMigrations(schema: string, pool: Pool): () => Promise<string | undefined> {
  let known: string | undefined;
  let asked: Promise<void> | undefined;
  async function ask(): Promise<void> {
    const { rows } = await pool.query<{ name: string }>(`SELECT max(name) AS name FROM "${schema}".migrations`);
    known = rows[0]?.name.replace(/\.sql$/, "");
  }
  const newest = async (): Promise<string | undefined> => {
    asked ??= ask()
      .catch(() => undefined)
      .finally(() => (asked = undefined));
    await Promise.race([asked, wait(MIGRATION_WAIT_MS, undefined, { ref: false })]);
    return known;
  };
  void newest();
  return newest;
}
