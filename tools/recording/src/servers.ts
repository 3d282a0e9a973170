import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { findNatsServer, freePort, startNats, startPostgres } from "@tollgate/embedded";
import { bootstrapDatabase } from "@tollgate/service";
import type { Infrastructure } from "@tollgate/testkit";
import pg from "pg";

const DATABASE = "tollgate";
const STORE_MAX_GIGABYTES = 100;
const ROLES = ["policy", "registry", "audit", "metering"];

export type Server = "nats" | "postgres";

/** A NATS and a PostgreSQL that can be killed, and started again with all that they had. */
export interface OwnServers {
  readonly infra: Infrastructure;
  /** As a crash would: nothing is flushed, nobody is told. */
  kill(server: Server): Promise<void>;
  start(server: Server): Promise<void>;
  stop(): Promise<void>;
}

export async function startOwnServers(): Promise<OwnServers> {
  const dir = await mkdtemp(join(tmpdir(), "tollgate-recording-"));
  const password = randomBytes(12).toString("hex");
  const log = (text: string): void => void process.stderr.write(`${text}\n`);
  const binary = await findNatsServer({ cacheDir: join(homedir(), ".cache", "tollgate"), log });
  // Fixed, so that whoever has lost one finds it again.
  const ports = { nats: await freePort(), postgres: await freePort() };
  const starts = {
    nats: () =>
      startNats({
        binary,
        dataDir: join(dir, "nats"),
        port: ports.nats,
        user: "tollgate",
        password,
        logFile: join(dir, "nats.log"),
        storeMaxGigabytes: STORE_MAX_GIGABYTES,
      }),
    postgres: () =>
      startPostgres({ dataDir: join(dir, "pg"), port: ports.postgres, password, logFile: join(dir, "pg.log"), log }),
  };
  const running = new Map<Server, Awaited<ReturnType<(typeof starts)[Server]>>>();
  const start = async (server: Server): Promise<void> => void running.set(server, await starts[server]());
  const stop = async (): Promise<void> => {
    await Promise.all([...running.values()].map((each) => each.stop()));
    await rm(dir, { recursive: true, force: true });
  };
  try {
    await Promise.all([start("nats"), start("postgres")]);
    const base = `127.0.0.1:${ports.postgres}`;
    await createDatabase(`postgres://postgres:${password}@${base}`, password);
    return {
      infra: {
        natsUrl: `nats://tollgate:${password}@127.0.0.1:${ports.nats}`,
        busPrefix: "recording",
        serviceKey: `key-${password}`,
        recordingKeys: `k1:${randomBytes(32).toString("base64url")}`,
        secretKeys: `k1:${randomBytes(32).toString("base64url")}`,
        signingSecret: randomBytes(32).toString("base64url"),
        adminUrl: `postgres://postgres:${password}@${base}/${DATABASE}`,
        databaseUrl: (service) => `postgres://tollgate_${service}:${password}@${base}/${DATABASE}`,
      },
      start,
      async kill(server) {
        const { pid, exited } = running.get(server)!;
        process.kill(pid, "SIGKILL");
        await exited;
        running.delete(server);
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function createDatabase(url: string, password: string): Promise<void> {
  const client = new pg.Client({ connectionString: `${url}/postgres` });
  await client.connect();
  await client.query(`CREATE DATABASE ${DATABASE}`);
  await client.end();
  await bootstrapDatabase(
    `${url}/${DATABASE}`,
    ROLES.map((service) => ({ service, password })),
  );
}
