import { randomBytes } from "node:crypto";
import { GenericContainer, Wait } from "testcontainers";

/** The images that infra/compose/compose.yaml runs. */
const NATS_IMAGE = "nats:2.15-alpine";
const TIMESCALE_IMAGE = "timescale/timescaledb:2.19.3-pg17";

const NATS_CONFIG = "/etc/nats/test.conf";

/** The same servers as with compose, through testcontainers. */
export async function startContainers(): Promise<{ natsUrl: string; adminUrl: string; stop(): Promise<void> }> {
  const password = randomBytes(12).toString("hex");
  const [nats, postgres] = await Promise.all([
    new GenericContainer(NATS_IMAGE)
      .withCopyContentToContainer([
        {
          content: `port: 4222\nmax_payload: 8MB\njetstream { store_dir: /tmp/js, max_file_store: 2000GB }\nauthorization { user: tollgate, password: ${password} }\n`,
          target: NATS_CONFIG,
        },
      ])
      .withCommand(["--config", NATS_CONFIG])
      .withExposedPorts(4222)
      .withWaitStrategy(Wait.forLogMessage(/Server is ready/))
      .start(),
    new GenericContainer(TIMESCALE_IMAGE)
      .withEnvironment({ POSTGRES_PASSWORD: password })
      .withExposedPorts(5432)
      .withWaitStrategy(Wait.forListeningPorts())
      .start(),
  ]);
  return {
    natsUrl: `nats://tollgate:${password}@${nats.getHost()}:${nats.getMappedPort(4222)}`,
    adminUrl: `postgres://postgres:${password}@${postgres.getHost()}:${postgres.getMappedPort(5432)}/postgres`,
    stop: async () => void (await Promise.all([nats.stop(), postgres.stop()])),
  };
}
