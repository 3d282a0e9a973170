import { hostname } from "node:os";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { answerParts, type Bus, type PartStatus } from "@tollgate/bus";
import type { Gauge } from "prom-client";
import type { Ops } from "./ops.ts";
import { readinessOf } from "./ops.ts";
import type { Pool } from "./postgres.ts";

const PROJECT = join(import.meta.dirname, "../../../package.json");

/**
 * Lets this process tell what it is and how it is, to whoever looks after the installation. Its database's schema has
 * its name.
 */
export function answerAsPart({ name, bus, ops, pool }: { name: string; bus: Bus; ops: Ops; pool?: Pool }): void {
  const { version } = JSON.parse(readFileSync(PROJECT, "utf8")) as { version: string };
  const startedAt = new Date(Date.now() - process.uptime() * 1_000).toISOString();
  const same = { name, host: hostname(), pid: process.pid, version, node: process.version, startedAt };
  answerParts(bus, async (): Promise<PartStatus> => {
    const reasons = readinessOf(ops);
    const behind = await lagOf(name, ops);
    const migration = pool === undefined ? undefined : await newestMigration(name, pool);
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

/** Unknown while the database is away, which the reasons say. */
async function newestMigration(schema: string, pool: Pool): Promise<string | undefined> {
  const asked = pool.query<{ name: string }>(`SELECT max(name) AS name FROM "${schema}".migrations`);
  return asked.then(
    ({ rows }) => rows[0]?.name.replace(/\.sql$/, ""),
    () => undefined,
  );
}
