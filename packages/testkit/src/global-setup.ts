import { randomBytes } from "node:crypto";
import { bootstrapDatabase } from "@tollgate/service";
import pg from "pg";
import type { TestProject } from "vitest/node";
import { type Servers, startServers } from "./test-servers.ts";

const SERVICES = ["policy", "registry", "audit", "metering"];
const TEMPLATE = "tollgate_template";

/** Vitest's global set-up: one NATS and one PostgreSQL for the run, embedded ones or those of the container images. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const servers = await startServers(process.env["TOLLGATE_TEST_BACKEND"] === "containers" ? "containers" : "embedded");
  try {
    await provide(project, servers);
  } catch (error) {
    await servers.stop();
    throw error;
  }
  return () => servers.stop();
}

async function provide(project: TestProject, { natsUrl, adminUrl }: Servers): Promise<void> {
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
  project.provide("infrastructure", { natsUrl, adminUrl, templateDatabase: TEMPLATE, rolePassword });
}
