import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLife } from "@tollgate/service";
import { callEvent, eventually, testLog, useInfrastructure } from "@tollgate/testkit";
import pg from "pg";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openMeteringClient } from "./metering-client.ts";
import { idAt, openPublishing, startService } from "./metering-service.ts";

const DAY_MS = 86_400_000;

const infra = useInfrastructure();
const life = openLife(testLog);
let folder: string;
let admin: pg.Client;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tollgate-metering-"));
  admin = new pg.Client({ connectionString: infra.adminUrl });
  await admin.connect();
  life.onClose("postgres", 5_000, () => admin.end());
});
afterAll(async () => {
  await life.close();
  await rm(folder, { recursive: true, force: true });
});

it("lets go of single calls whose time is over, by whole partitions, and keeps what was used and what it cost", async () => {
  const configFile = join(folder, "tollgate.yaml");
  await writeFile(configFile, "metering: { retention_days: 1000 }");
  const service = await startService(infra, { configFile, retentionMs: 500 });
  life.onClose("metering", 20_000, () => service.close());
  const metering = openMeteringClient({ port: service.grpcPort, serviceKey: infra.serviceKey, life });
  const { publish } = await openPublishing(infra, life);
  const callOf = (daysAgo: number) => {
    const endedAt = Date.now() - daysAgo * DAY_MS;
    return callEvent({ tenant: "acme", id: idAt(endedAt), acceptedAt: endedAt, endedAt });
  };
  await publish([callOf(500), callOf(450), callOf(1)]);
  const stored = async () => (await admin.query("SELECT count(*)::int AS calls FROM metering.calls")).rows;
  await eventually(async () => expect(await stored()).toEqual([{ calls: 3 }]));
  const used = () => metering.getUsage({ tenant: "acme" });
  const before = await used();
  expect(before.total!.calls).toBe(3n);

  await writeFile(configFile, "metering: { retention_days: 400 }");
  await eventually(async () => expect(await stored()).toEqual([{ calls: 1 }]));
  expect((await used()).total).toEqual(before.total);

  // Its partition comes back when it is needed: a call that arrives so late is counted.
  await publish([callOf(450)]);
  await eventually(async () => expect((await used()).total!.calls).toBe(4n));
});
