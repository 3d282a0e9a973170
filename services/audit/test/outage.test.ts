import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { type Bus, connectBus, createEventPublisher, endOfEvents, type EventPublisher } from "@tollgate/bus";
import type { CallEvent } from "@tollgate/contracts";
import { openLife } from "@tollgate/service";
import { callEvent, eventually, testLog, useInfrastructure } from "@tollgate/testkit";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { AuditService } from "../src/service.ts";
import { expectChainsToHold, startRecorder } from "./record.ts";

const infra = useInfrastructure();
const life = openLife(testLog);
const published: CallEvent[] = [];
const database = new URL(infra.adminUrl).pathname.slice(1);
let admin: pg.Client;
/** From another database: the one of the test closes its doors, and a transaction sees others' activity only once. */
let outside: pg.Client;
let bus: Bus;
let publisher: EventPublisher;

beforeAll(async () => {
  admin = await connect(infra.adminUrl);
  outside = await connect(infra.adminUrl.replace(database, "postgres"));
  bus = await connectBus({
    url: infra.natsUrl,
    name: "test",
    prefix: infra.busPrefix,
    log: testLog,
    signal: life.signal,
  });
  life.onClose("bus", 5_000, () => bus.drain());
  publisher = createEventPublisher(bus, { waitingMax: 10_000, timeoutMs: 10_000 });
});
afterAll(() => life.close());

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  life.onClose("client", 5_000, () => client.end());
  return client;
}

async function publish(count: number): Promise<void> {
  const events = Array.from({ length: count }, () => callEvent());
  await Promise.all(events.map((event) => publisher.publish(event)));
  published.push(...events);
}

const start = (): Promise<AuditService> => startRecorder(infra);

async function startProcess(): Promise<ChildProcess> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "../src/main.ts")], {
    env: {
      TOLLGATE_LOG_LEVEL: "silent",
      TOLLGATE_SERVICE_KEY: infra.serviceKey,
      TOLLGATE_SIGNING_SECRET: infra.signingSecret,
      TOLLGATE_HTTP_PORT: "0",
      TOLLGATE_GRPC_PORT: "0",
      TOLLGATE_NATS_URL: infra.natsUrl,
      TOLLGATE_BUS_PREFIX: infra.busPrefix,
      TOLLGATE_DATABASE_URL: infra.databaseUrl("audit"),
      TOLLGATE_BATCH_WAIT_MS: "20",
    },
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  await once(child, "message");
  return child;
}

async function expectAllStored(timeoutMs: number): Promise<void> {
  await eventually(
    async () => {
      const { rows } = await admin.query<{ id: string }>("SELECT id FROM audit.events");
      expect(rows).toHaveLength(published.length);
      const { last } = await endOfEvents(bus);
      expect((await admin.query("SELECT sequence FROM audit.position")).rows).toEqual([{ sequence: String(last) }]);
    },
    { timeoutMs },
  );
  const { rows } = await admin.query<{ id: string }>("SELECT id FROM audit.events");
  expect(new Set(rows.map((row) => row.id))).toEqual(new Set(published.map((event) => event.id)));
  await expectChainsToHold(admin);
}

/** Statements that write events now. */
const writers = (condition = "") =>
  outside.query(
    `SELECT FROM pg_stat_activity
     WHERE datname = $1 AND state = 'active' AND query LIKE '%INSERT INTO audit%' ${condition}`,
    [database],
  );

async function admitConnections(admit: boolean): Promise<void> {
  await outside.query(`ALTER DATABASE "${database}" ALLOW_CONNECTIONS ${admit}`);
  if (!admit) {
    await outside.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND application_name LIKE 'tollgate-%'",
      [database],
    );
  }
}

describe("nothing is lost and nothing stored twice", () => {
  it("while the database is away; readiness says so", async () => {
    const service = await start();
    try {
      await publish(300);
      await expectAllStored(10_000);

      await admitConnections(false);
      await publish(300);
      await eventually(async () => {
        const ready = await fetch(`http://127.0.0.1:${service.httpPort}/readyz`);
        expect(ready.status).toBe(503);
        expect(await ready.json()).toMatchObject({ reasons: { store: expect.any(String) } });
      });
      await publish(300);
      expect((await admin.query("SELECT FROM audit.events")).rowCount).toBe(300);

      await admitConnections(true);
      await expectAllStored(20_000);
    } finally {
      await admitConnections(true);
      await service.close();
    }
  });

  it("when the service stops in order, with events still coming in", async () => {
    const first = await start();
    const publishing = publish(2_000);
    await first.close();
    await publishing;
    const second = await start();
    try {
      await expectAllStored(20_000);
    } finally {
      await second.close();
    }
  }, 70_000);

  it("when the service is killed in the middle of a batch", async () => {
    const child = await startProcess();
    const exited = once(child, "exit");
    // The lock holds the batch in the database until its writer is dead.
    await admin.query("BEGIN; LOCK TABLE audit.events IN EXCLUSIVE MODE");
    try {
      await publish(500);
      await eventually(async () => {
        expect((await writers("AND wait_event_type = 'Lock'")).rowCount).toBe(1);
      });
    } finally {
      child.kill("SIGKILL");
      await exited;
      await admin.query("COMMIT");
    }
    await publish(500);
    const service = await start();
    try {
      await expectAllStored(20_000);
    } finally {
      await service.close();
    }
  }, 90_000);
});
