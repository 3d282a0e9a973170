import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { GenericContainer, type StartedTestContainer, Wait } from "testcontainers";
import { startTogether } from "./start-together.ts";
import type { ServerOptions, Servers } from "./test-servers.ts";

/** The images that infra/compose/compose.yaml runs. */
const NATS_IMAGE = "nats:2.15-alpine";
const TIMESCALE_IMAGE = "timescale/timescaledb:2.19.3-pg17";

const NATS_CONFIG = "/etc/nats/test.conf";
const QUERY_TIMEOUT_MS = 60_000;
const QUERY_PAUSE_MS = 100;

/** The same servers as with compose, through testcontainers. */
export async function startContainers(options: ServerOptions): Promise<Servers> {
  const password = randomBytes(12).toString("hex");
  const [nats, postgres] = await startTogether(startNats(password, options), startPostgres(password));
  return {
    natsUrl: `nats://tollgate:${password}@${nats.getHost()}:${nats.getMappedPort(4222)}`,
    adminUrl: adminUrlOf(postgres, password),
    stop: async () => void (await Promise.all([nats.stop(), postgres.stop()])),
  };
}

function startNats(password: string, { storeMaxGigabytes }: ServerOptions): Promise<StartedTestContainer> {
  const content = `port: 4222
max_payload: 8MB
jetstream { store_dir: /data, max_memory_store: 256MB, max_file_store: ${storeMaxGigabytes}GB }
authorization { user: tollgate, password: ${password} }
`;
  return container(NATS_IMAGE)
    .withCopyContentToContainer([{ content, target: NATS_CONFIG }])
    .withCommand(["--config", NATS_CONFIG])
    .withExposedPorts(4222)
    .withWaitStrategy(Wait.forLogMessage(/Server is ready/))
    .start();
}

/**
 * The image starts the server, prepares the database, and starts it again; ports are open before it answers, too. So it
 * is ready once it has answered a query that came from outside.
 */
async function startPostgres(password: string): Promise<StartedTestContainer> {
  const started = await container(TIMESCALE_IMAGE)
    .withEnvironment({ POSTGRES_PASSWORD: password, TIMESCALEDB_TELEMETRY: "off" })
    // What is in it is gone after the tests in any case.
    .withCommand(["postgres", "-c", "fsync=off"])
    .withExposedPorts(5432)
    .withWaitStrategy(Wait.forListeningPorts())
    .start();
  const until = Date.now() + QUERY_TIMEOUT_MS;
  for (;;) {
    try {
      await query(adminUrlOf(started, password));
      return started;
    } catch (error) {
      if (Date.now() > until) {
        await started.stop();
        throw error;
      }
      await delay(QUERY_PAUSE_MS);
    }
  }
}

/** Without the container that testcontainers cleans up with: it is one more image, which not every machine can get. */
function container(image: string): GenericContainer {
  return new GenericContainer(image).withAutoCleanup(false);
}

function adminUrlOf(postgres: StartedTestContainer, password: string): string {
  return `postgres://postgres:${password}@${postgres.getHost()}:${postgres.getMappedPort(5432)}/postgres`;
}

async function query(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  // A server that restarts ends its connections, which would otherwise be nobody's error.
  client.on("error", () => undefined);
  try {
    await client.connect();
    await client.query("SELECT 1");
  } finally {
    await client.end().catch(() => undefined);
  }
}
