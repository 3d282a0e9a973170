import { randomBytes } from "node:crypto";
import { bootstrapDatabase } from "@tollgate/service";
import pg from "pg";
import type { SharedServers } from "./infrastructure.ts";
import { type Backend, startServers } from "./test-servers.ts";

const SERVICES = ["policy", "registry", "audit", "metering"];
const TEMPLATE = "tollgate_template";

/** One NATS and one PostgreSQL with a template of the services' database, for as long as this process lives. */
export async function startSharedServers(
  backend: Backend,
): Promise<SharedServers & { stop(this: void): Promise<void> }> {
  const servers = await startServers(backend);
  const { natsUrl, adminUrl } = servers;
  try {
    const rolePassword = await createTemplate(adminUrl);
    return { natsUrl, adminUrl, templateDatabase: TEMPLATE, rolePassword, stop: () => servers.stop() };
  } catch (error) {
    await servers.stop();
    throw error;
  }
}

async function createTemplate(adminUrl: string): Promise<string> {
  const rolePassword = randomBytes(12).toString("hex");
  const admin = new pg.Client({ connectionString: adminUrl });
  await admin.connect();
  await admin.query(`CREATE DATABASE ${TEMPLATE}`);
  await admin.end();
  const templateUrl = new URL(adminUrl);
  templateUrl.pathname = `/${TEMPLATE}`;
  await bootstrapDatabase(
    templateUrl.toString(),
    SERVICES.map((service) => ({ service, password: rolePassword })),
  );
  return rolePassword;
}
