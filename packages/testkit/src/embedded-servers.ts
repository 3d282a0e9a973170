import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { findNatsServer, startNats, startPostgres } from "@tollgate/embedded";
import { startTogether } from "./start-together.ts";
import type { ServerOptions, Servers } from "./test-servers.ts";

/** The servers of an installation without containers. */
export async function startEmbedded({ storeMaxGigabytes }: ServerOptions): Promise<Servers> {
  const dir = await mkdtemp(join(tmpdir(), "tollgate-test-"));
  const remove = (): Promise<void> => rm(dir, { recursive: true, force: true });
  try {
    const { nats, postgres } = await startIn(dir, storeMaxGigabytes);
    return {
      natsUrl: nats.url,
      adminUrl: postgres.adminUrl,
      stop: async () => {
        await Promise.all([nats.stop(), postgres.stop()]);
        await remove();
      },
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

async function startIn(dir: string, storeMaxGigabytes: number) {
  const password = randomBytes(12).toString("hex");
  const log = (line: string): void => void process.stderr.write(`${line}\n`);
  const binary = await findNatsServer({ cacheDir: join(homedir(), ".cache", "tollgate"), log });
  const login = { user: "tollgate", password };
  const [nats, postgres] = await startTogether(
    startNats({
      binary,
      dataDir: join(dir, "nats"),
      port: 0,
      ...login,
      logFile: join(dir, "nats.log"),
      storeMaxGigabytes,
    }),
    startPostgres({ dataDir: join(dir, "pg"), port: 0, password, logFile: join(dir, "pg.log"), durable: false }),
  );
  return { nats, postgres };
}
