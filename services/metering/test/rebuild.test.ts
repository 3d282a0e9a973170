import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { CallEvent } from "@tollgate/contracts";
import { openLife } from "@tollgate/service";
import {
  callEvent,
  eventually,
  type ServiceProcess,
  startService as startProcess,
  testLog,
  useInfrastructure,
} from "@tollgate/testkit";
import pg from "pg";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type MeteringClient, openMeteringClient } from "./metering-client.ts";
import { idAt, openPublishing, startService } from "./metering-service.ts";

const infra = useInfrastructure();
const other = useInfrastructure();
const life = openLife(testLog);
const CALLS = 6_000;
const MONTH_MS = Date.UTC(2026, 2);
const TABLES = ["calls", "usage_days", "month_counts", "rated_calls", "rate_cards"];

let publish: Awaited<ReturnType<typeof openPublishing>>["publish"];
let admin: pg.Client;
let metering: MeteringClient;
/** Ends the service that `metering` is of. */
let closeMetering: () => Promise<void>;

beforeAll(async () => {
  ({ publish } = await openPublishing(infra, life));
  admin = await connect(infra.adminUrl);
});
afterAll(() => life.close());

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  life.onClose("postgres", 5_000, () => client.end());
  return client;
}

async function storedCalls(client = admin): Promise<number> {
  return (await client.query<{ calls: number }>("SELECT count(*)::int AS calls FROM metering.calls")).rows[0]!.calls;
}

async function open(databaseUrl = infra.databaseUrl("metering")): Promise<MeteringClient> {
  const service = await startService(infra, { databaseUrl });
  life.onClose("metering", 20_000, () => service.close());
  closeMetering = () => service.close();
  return openMeteringClient({ port: service.grpcPort, serviceKey: infra.serviceKey, life });
}

/** As long as it holds, a step of this rating after its first does not end. */
async function holdSecondStep(rating: number): Promise<() => Promise<void>> {
  await admin.query(`
    CREATE FUNCTION metering.hold_step() RETURNS trigger LANGUAGE plpgsql AS
      'BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NEW; END';
    CREATE TRIGGER hold_step BEFORE UPDATE ON metering.ratings FOR EACH ROW
      WHEN (NEW.version = ${rating} AND OLD.calls > 0) EXECUTE FUNCTION metering.hold_step();
    SELECT pg_advisory_lock(4711)`);
  return async () => {
    await admin.query("SELECT pg_advisory_unlock(4711)");
    await admin.query("DROP TRIGGER hold_step ON metering.ratings; DROP FUNCTION metering.hold_step()");
  };
}

/** As a process: only that can be killed. Small batches, so that there is a middle to be killed in. */
function startKillable(): Promise<ServiceProcess> {
  return startProcess("metering", {
    TOLLGATE_LOG_LEVEL: "silent",
    TOLLGATE_SERVICE_KEY: infra.serviceKey,
    TOLLGATE_HTTP_PORT: "0",
    TOLLGATE_GRPC_PORT: "0",
    TOLLGATE_NATS_URL: infra.natsUrl,
    TOLLGATE_BUS_PREFIX: infra.busPrefix,
    TOLLGATE_DATABASE_URL: infra.databaseUrl("metering"),
    TOLLGATE_BATCH_MAX: "200",
    TOLLGATE_BATCH_WAIT_MS: "5",
  });
}

function sampleCalls(): CallEvent[] {
  return Array.from({ length: CALLS }, (_, at) => {
    const timeMs = MONTH_MS + at * 400_000;
    const who = { tenant: `tenant-${at % 3}`, team: `team-${at % 7}`, principal: `user:u${at % 31}` };
    const what = { server: `s${at % 5}`, tool: `t${at % 11}`, durationMs: (at * 7) % 997, cpuMs: (at * 3) % 101 };
    const start = at % 50 === 0 ? { coldStart: true, coldStartCalls: (at % 4) + 1 } : {};
    return callEvent({ ...who, ...what, ...start, id: idAt(timeMs), endedAt: timeMs });
  });
}

/** Answers to every kind of question, as texts. */
async function answers(client: MeteringClient, rating: number): Promise<string[]> {
  const asked = ["tenant", "team", "user", "server", "tool"].flatMap((key) =>
    ["", "day", "month"].flatMap((step) =>
      [0, rating].map((of) => ({ groupBy: [key], step, rating: of, limit: 10_000 })),
    ),
  );
  const found: unknown[] = [];
  for (const fields of asked) found.push({ ...(await client.getUsage(fields)), asOfMs: 0n });
  for (const month of ["2026-03", "2026-04"]) found.push(await client.getChargeback({ month, rating }));
  found.push(await client.listRateCards());
  for (const each of await client.listRatings()) found.push({ ...each, endedAtMs: 0n });
  const toText = (_key: string, value: unknown) => (typeof value === "bigint" ? String(value) : value);
  return found.map((answer) => JSON.stringify(answer, toText));
}

async function eventuallyRated(client: MeteringClient): Promise<void> {
  await eventually(
    async () => expect((await client.listRatings()).map(({ status }) => status)).toEqual(["done", "done"]),
    { timeoutMs: 30_000 },
  );
}

it("counts every call once, though it is killed on the way and calls come twice", async () => {
  const first = await startKillable();
  const client = await open();
  const tiers = [
    { upTo: 500n, perCall: "0.01" },
    { upTo: 0n, perCall: "0.001" },
  ];
  await client.putRateCard({ id: "tiers", tiers, perSecond: "0.1", perColdStart: "0.05", validFromMs: 1n });
  const events = sampleCalls();
  const publishing = (async () => {
    for (let at = 0; at < CALLS; at += 100) {
      // Again both what has just been and what was recorded long before.
      const again = [...events.slice(at, at + 5), ...events.slice(Math.max(at - 1_000, 0), Math.max(at - 990, 0))];
      await publish(events.slice(at, at + 100));
      await publish(again.map((event) => ({ ...event, outcome: "unknown" as const })));
    }
  })();
  await eventually(async () => expect(await storedCalls()).toBeGreaterThan(200));
  await first.stop("SIGKILL");
  await publishing;
  await eventually(async () => expect(await storedCalls()).toBe(CALLS), { timeoutMs: 40_000 });
  const { total } = await client.getUsage({});
  expect(total).toMatchObject({ calls: BigInt(CALLS), errors: 0n });
  // Their places in their months have no holes, since tiers go by them.
  const months = await admin.query<{ holes: string }>(
    `SELECT max(month_call) - count(DISTINCT month_call) AS holes FROM metering.calls
     GROUP BY tenant, date_trunc('month', time AT TIME ZONE 'UTC')`,
  );
  expect(months.rows).toEqual(months.rows.map(() => ({ holes: "0" })));
  metering = client;
}, 60_000);

it("prices anew what it was asked for, though it is killed on the way", async () => {
  // The one that will be killed leads once this one is gone.
  const second = await startKillable();
  await closeMetering();
  metering = await open();
  const release = await holdSecondStep(2);
  await metering.putRateCard({ id: "tenant-1", tenant: "tenant-1", perCall: "0.5", validFromMs: 1n }, true);
  await metering.startRating({ reason: "as it was agreed" });
  await eventually(
    async () => {
      const [rating] = await metering.listRatings();
      expect(rating).toMatchObject({ version: 2, status: "running", calls: 2_000n });
    },
    { timeoutMs: 20_000 },
  );
  await second.stop("SIGKILL");
  await release();
  await eventuallyRated(metering);
  const { rows } = await admin.query(
    "SELECT calls::int, cost_before = cost_after AS same FROM metering.ratings ORDER BY 1",
  );
  expect(rows).toEqual([
    { calls: CALLS / 3, same: false },
    { calls: CALLS, same: false },
  ]);
  const sums = await admin.query<{ equal: boolean }>(
    `SELECT (SELECT sum(cost) FROM metering.rated_calls WHERE rating = 2) =
            (SELECT sum(cost) FROM metering.usage_days WHERE rating IN (0, 2) AND grain = 0) AS equal`,
  );
  expect(sums.rows[0]?.equal).toBe(true);
}, 60_000);

it("fills an empty database from the stream with the same rows, and so answers the same to the byte", async () => {
  const rebuilt = await open(other.databaseUrl("metering"));
  const otherAdmin = await connect(other.adminUrl);
  await eventually(async () => expect(await storedCalls(otherAdmin)).toBe(CALLS), { timeoutMs: 30_000 });
  await eventuallyRated(rebuilt);
  expect(await answers(rebuilt, 2)).toEqual(await answers(metering, 2));
  for (const table of TABLES) {
    const sql = `SELECT t.*::text AS row FROM metering.${table} AS t ORDER BY 1`;
    const [here, there] = await Promise.all([admin, otherAdmin].map((client) => client.query(sql)));
    expect(there!.rows.length).toBeGreaterThan(0);
    expect(there!.rows).toEqual(here!.rows);
  }
}, 60_000);

it("keeps the rows that were there before, with their costs and in their order", async () => {
  const client = await connect(other.adminUrl);
  const directory = join(import.meta.dirname, "../migrations");
  const files = (await readdir(directory)).toSorted();
  await client.query("DROP SCHEMA metering CASCADE; CREATE SCHEMA metering");
  await client.query(await readFile(join(directory, files[0]!), "utf8"));
  await client.query(`
    DO $$ BEGIN
      -- A hypertable needs none.
      IF (SELECT relkind = 'p' FROM pg_class WHERE oid = 'metering.calls'::regclass) THEN
        CREATE TABLE metering.calls_old PARTITION OF metering.calls FOR VALUES FROM ('2026-01-01') TO ('2026-03-01');
      END IF;
    END $$;
    INSERT INTO metering.calls
    SELECT '2026-01-31T23:59:57Z'::timestamptz + at * interval '1 second', 100 - at, gen_random_uuid(), at, at, at, at % 2 = 0,
           'acme', 'red', 'user:' || repeat('ann', 2000), 'g', 's', 't' || at % 2, 'ok', 'default@1', 0.5 * at
    FROM generate_series(1, 6) AS at`);
  await client.query(await readFile(join(directory, files[1]!), "utf8"));
  const rows = await client.query(
    "SELECT cost::float8, month_call::int, cold_start_calls FROM metering.calls ORDER BY time",
  );
  // The first two are of January; the later in time, the earlier on the stream.
  expect(rows.rows).toEqual([
    { cost: 0.5, month_call: 2, cold_start_calls: 0 },
    { cost: 1, month_call: 1, cold_start_calls: 1 },
    { cost: 1.5, month_call: 4, cold_start_calls: 0 },
    { cost: 2, month_call: 3, cold_start_calls: 1 },
    { cost: 2.5, month_call: 2, cold_start_calls: 0 },
    { cost: 3, month_call: 1, cold_start_calls: 1 },
  ]);
  const counts = await client.query("SELECT month, calls::int FROM metering.month_counts ORDER BY month");
  expect(counts.rows).toEqual([
    { month: "2026-01", calls: 2 },
    { month: "2026-02", calls: 4 },
  ]);
  const sums = await client.query(
    "SELECT grain, tool, sum(calls)::int AS calls, sum(cost)::float8 AS cost FROM metering.usage_days GROUP BY 1, 2 ORDER BY 1, 2",
  );
  expect(sums.rows).toEqual([
    { grain: 0, tool: "t0", calls: 3, cost: 6 },
    { grain: 0, tool: "t1", calls: 3, cost: 4.5 },
    { grain: 1, tool: "", calls: 6, cost: 10.5 },
    { grain: 2, tool: "t0", calls: 3, cost: 6 },
    { grain: 2, tool: "t1", calls: 3, cost: 4.5 },
  ]);
});
