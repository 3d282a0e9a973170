import type { TestProject } from "vitest/node";
import { startSharedServers } from "./shared-servers.ts";

/** Vitest's global set-up: one NATS and one PostgreSQL for the run, embedded ones or those of the container images. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const backend = process.env["TOLLGATE_TEST_BACKEND"] === "containers" ? "containers" : "embedded";
  const { stop, ...servers } = await startSharedServers(backend);
  project.provide("infrastructure", servers);
  return stop;
}
