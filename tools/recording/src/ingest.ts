import { setTimeout as pause } from "node:timers/promises";
import { connectBus, endOfEvents } from "@tollgate/bus";
import { openLife } from "@tollgate/service";
import { type Line, line, must, readProcesses, startService, testLog } from "@tollgate/testkit";
import pg from "pg";
import { fillStream } from "./sample-stream.ts";
import { type OwnServers, startOwnServers } from "./servers.ts";

const LOOK_MS = 250;
/** All of the events are of one day. */
const SPAN_MS = 86_400_000;
const MUST_PER_SECOND = 20_000;
const TICKS_PER_SECOND = 100;

export type Recorder = "audit" | "metering";

/** A backlog on the stream, and how fast a service that starts brings it into its database. */
export async function playIngest(options: { service: Recorder; events: number }): Promise<Line[]> {
  const servers = await startOwnServers();
  try {
    return await ingest(servers, options);
  } finally {
    await servers.stop();
  }
}

async function ingest(
  { infra }: OwnServers,
  { service, events }: { service: Recorder; events: number },
): Promise<Line[]> {
  const life = openLife(testLog);
  const { natsUrl: url, busPrefix: prefix } = infra;
  const bus = await connectBus({ url, name: "recording", prefix, log: testLog, signal: life.signal });
  const admin = new pg.Client({ connectionString: infra.adminUrl });
  await admin.connect();
  try {
    await fillStream(bus, events, { everyMs: SPAN_MS / events });
    const { last } = await endOfEvents(bus);
    const recorder = await startService(service, {
      TOLLGATE_LOG_LEVEL: "warn",
      TOLLGATE_SERVICE_KEY: infra.serviceKey,
      TOLLGATE_SIGNING_SECRET: infra.signingSecret,
      TOLLGATE_HTTP_PORT: "0",
      TOLLGATE_GRPC_PORT: "0",
      TOLLGATE_NATS_URL: url,
      TOLLGATE_BUS_PREFIX: prefix,
      TOLLGATE_DATABASE_URL: infra.databaseUrl(service),
    });
    try {
      const begun = performance.now();
      const cpu = await cpuOf(admin, recorder.pid);
      await untilRecorded(admin, service, last);
      const seconds = (performance.now() - begun) / 1_000;
      const used = await cpuOf(admin, recorder.pid);
      const perEvent = (name: keyof typeof used): string =>
        `${(((used[name] - cpu[name]) / TICKS_PER_SECOND / events) * 1e6).toFixed(1)} µs`;
      const rate = Math.round(events / seconds);
      return [
        line("events", events.toLocaleString("en")),
        line("seconds", seconds.toFixed(1)),
        must(`events/s into ${service}`, rate.toLocaleString("en"), `≥ ${MUST_PER_SECOND}`, rate >= MUST_PER_SECOND),
        line("processor time of the service, per event", perEvent("service")),
        line("processor time of the database, per event", perEvent("database")),
        ...(await sizes(admin, service)),
      ];
    } finally {
      await recorder.stop("SIGTERM");
    }
  } finally {
    await admin.end();
    await bus.drain();
    await life.close();
  }
}

export async function untilRecorded(admin: pg.Client, service: Recorder, last: number): Promise<void> {
  for (;;) {
    const { rows } = await admin.query<{ sequence: string }>(`SELECT sequence FROM ${service}.position`);
    if (Number(rows[0]!.sequence) >= last) return;
    await pause(LOOK_MS);
  }
}

/** In hundredths of a second, since they began. */
async function cpuOf(admin: pg.Client, pid: number): Promise<{ service: number; database: number }> {
  const { rows } = await admin.query<{ pid: string }>(
    "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1) AS pid",
  );
  const postmaster = Number(rows[0]!.pid);
  const sum = (of: (entry: { pid: number; parent: number }) => boolean): number =>
    readProcesses()
      .filter(of)
      .reduce((ticks, entry) => ticks + entry.ticks, 0);
  return { service: sum((entry) => entry.pid === pid), database: sum((entry) => entry.parent === postmaster) };
}

async function sizes(admin: pg.Client, schema: string): Promise<Line[]> {
  const { rows } = await admin.query<{ name: string; size: string }>(
    `SELECT relname AS name, pg_size_pretty(pg_relation_size(c.oid)) AS size FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
     WHERE nspname = $1 AND pg_relation_size(c.oid) > 10000000 ORDER BY pg_relation_size(c.oid) DESC`,
    [schema],
  );
  return rows.map(({ name, size }) => line(name, size));
}
