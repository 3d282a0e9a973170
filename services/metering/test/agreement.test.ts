import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { type Bus, connectBus, createEventPublisher, endOfEvents, type EventPublisher } from "@tollgate/bus";
import type { CallEvent } from "@tollgate/contracts";
import { openLife } from "@tollgate/service";
import { callEvent, refusalEvent, eventually, testLog, useInfrastructure } from "@tollgate/testkit";
import pg from "pg";
import { afterAll, beforeAll, expect, it } from "vitest";

/** Services that were killed start anew meanwhile. */
const RECORDED_MS = 50_000;
const SERVICES = ["audit", "metering"] as const;

const infra = useInfrastructure();
const life = openLife(testLog);
const processes = new Map<string, ChildProcess>();
let admin: pg.Client;
let bus: Bus;
let publisher: EventPublisher;

beforeAll(async () => {
  admin = new pg.Client({ connectionString: infra.adminUrl });
  await admin.connect();
  life.onClose("admin", 5_000, () => admin.end());
  bus = await connectBus({
    url: infra.natsUrl,
    name: "test",
    prefix: infra.busPrefix,
    log: testLog,
    signal: life.signal,
  });
  life.onClose("bus", 5_000, () => bus.drain());
  publisher = createEventPublisher(bus, { waitingMax: 10_000, timeoutMs: 10_000 });
  life.onClose("processes", 20_000, () => Promise.all(SERVICES.map((name) => end(name, "SIGTERM"))));
});
afterAll(() => life.close());

/** As processes, since services never import each other, and since only a process can be killed. */
async function start(name: string): Promise<void> {
  const child = spawn(process.execPath, [join(import.meta.dirname, `../../${name}/src/main.ts`)], {
    env: {
      TOLLGATE_LOG_LEVEL: "silent",
      TOLLGATE_SERVICE_KEY: infra.serviceKey,
      TOLLGATE_HTTP_PORT: "0",
      TOLLGATE_GRPC_PORT: "0",
      TOLLGATE_NATS_URL: infra.natsUrl,
      TOLLGATE_BUS_PREFIX: infra.busPrefix,
      TOLLGATE_DATABASE_URL: infra.databaseUrl(name),
      TOLLGATE_BATCH_WAIT_MS: "20",
      TOLLGATE_BATCH_MAX: "200",
      TOLLGATE_RECORDING_KEYS: infra.recordingKeys,
      TOLLGATE_SIGNING_SECRET: infra.signingSecret,
    },
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  processes.set(name, child);
  await once(child, "message");
}

async function end(name: string, signal: NodeJS.Signals): Promise<void> {
  const child = processes.get(name);
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill(signal);
  await exited;
}

async function outcomes(table: string): Promise<Record<string, number>> {
  const { rows } = await admin.query<{ outcome: string; calls: number }>(
    `SELECT outcome, count(*)::int AS calls FROM ${table} GROUP BY outcome ORDER BY outcome`,
  );
  return Object.fromEntries(rows.map((row) => [row.outcome, row.calls]));
}

async function storedCount(table: string): Promise<number> {
  return Object.values(await outcomes(table)).reduce((sum, calls) => sum + calls, 0);
}

it("counts exactly the calls that audit has, though both are killed and outcomes repeated on the way", async () => {
  await Promise.all(SERVICES.map(start));
  const events: CallEvent[] = Array.from({ length: 3_000 }, (_, i) =>
    callEvent({ tenant: `tenant-${i % 3}`, outcome: i % 7 === 0 ? "tool_error" : "ok" }),
  );
  // A runner that took a call over says "unknown" when it cannot see that the outcome is there already.
  const publishAll = async (): Promise<void> => {
    for (const event of events) {
      await publisher.publish(event);
      if (Number.parseInt(event.id.slice(-1), 16) < 4) void publisher.publish({ ...event, outcome: "unknown" });
    }
    await publisher.publish(refusalEvent());
  };
  const publishing = publishAll();

  await eventually(async () => expect(await storedCount("metering.calls")).toBeGreaterThan(300));
  await Promise.all(SERVICES.map((name) => end(name, "SIGKILL")));
  expect(await storedCount("metering.calls")).toBeLessThan(3_000);
  await Promise.all(SERVICES.map(start));
  await publishing;

  const expected = { ok: events.filter((event) => event.outcome === "ok").length, tool_error: 429 };
  await eventually(
    async () => {
      expect(await outcomes("metering.calls")).toEqual(expected);
      expect(await outcomes("audit.events")).toEqual({ ...expected, denied: 1 });
      const { last } = await endOfEvents(bus);
      for (const name of SERVICES) {
        const { rows } = await admin.query<{ sequence: string }>(`SELECT sequence FROM ${name}.position`);
        expect(Number(rows[0]?.sequence)).toBe(last);
      }
    },
    { timeoutMs: RECORDED_MS },
  );
}, 90_000);
