import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { findNatsServer, startNats, startPostgres } from "@tollgate/embedded";
import { bootstrapDatabase } from "@tollgate/service";
import pg from "pg";
import type { TestProject } from "vitest/node";
import { startContainers } from "./containers.ts";

const SERVICES = ["policy", "registry", "audit", "metering"];
/** Each test file has streams of its own, and streams reserve what they may hold. */
const STORE_MAX_GIGABYTES = 2_000;
const TEMPLATE = "tollgate_template";

interface Servers {
  natsUrl: string;
  adminUrl: string;
  stop(): Promise<void>;
}

/** Vitest's global set-up: one NATS and one PostgreSQL for the run, embedded ones or those of the container images. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const servers =
    process.env["TOLLGATE_TEST_BACKEND"] === "containers" ? await startContainers() : await startEmbedded();
  const rolePassword = randomBytes(12).toString("hex");
  const admin = new pg.Client({ connectionString: servers.adminUrl });
  await admin.connect();
  await admin.query(`CREATE DATABASE ${TEMPLATE}`);
  await admin.end();
  const templateUrl = new URL(servers.adminUrl);
  templateUrl.pathname = `/${TEMPLATE}`;
  await bootstrapDatabase(
    templateUrl.toString(),
    SERVICES.map((service) => ({ service, password: rolePassword })),
  );
  project.provide("infrastructure", {
    natsUrl: servers.natsUrl,
    adminUrl: servers.adminUrl,
    templateDatabase: TEMPLATE,
    rolePassword,
  });
  return () => servers.stop();
}

async function startEmbedded(): Promise<Servers> {
  const dir = await mkdtemp(join(tmpdir(), "tollgate-test-"));
  const password = randomBytes(12).toString("hex");
  const log = (line: string) => process.stderr.write(`${line}\n`);
  const binary = await findNatsServer({ cacheDir: join(homedir(), ".cache", "tollgate"), log });
  const [nats, postgres] = await Promise.all([
    startNats({
      binary,
      dataDir: join(dir, "nats"),
      port: 0,
      user: "tollgate",
      password,
      logFile: join(dir, "nats.log"),
      storeMaxGigabytes: STORE_MAX_GIGABYTES,
    }),
    startPostgres({ dataDir: join(dir, "pg"), port: 0, password, logFile: join(dir, "pg.log"), durable: false }),
  ]);
  return {
    natsUrl: nats.url,
    adminUrl: postgres.adminUrl,
    stop: async () => {
      await Promise.all([nats.stop(), postgres.stop()]);
      await rm(dir, { recursive: true, force: true });
    },
  };
}
