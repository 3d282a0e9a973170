import { cp, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadDesiredState } from "@tollgate/desired-state";
import { migrate, openLife, openPool } from "@tollgate/service";
import { testLog, useInfrastructure } from "@tollgate/testkit";
import { expect, test } from "vitest";
import { toAssignment } from "../src/domain/assignment.ts";
import { assignmentIn, runRegistry, serverIn, toolNames } from "./running-registry.ts";

const MIGRATIONS = fileURLToPath(new URL("../migrations", import.meta.url));
const BEFORE_POOLS = 2;
const TEXT = `groups: [{ id: demo }]
mcp_servers:
  - { id: echo, group: demo, type: command, command: echo-server }
  - { id: other, group: demo, type: command, command: other-server }
`;

const infra = useInfrastructure();

/** The schema as the first migrations made it, with a server that has been reported on. */
async function fillEarlierSchema(specHash: string): Promise<void> {
  const life = openLife(testLog);
  const directory = await mkdtemp(join(tmpdir(), "tollgate-migrations-"));
  try {
    const files = (await readdir(MIGRATIONS)).toSorted().slice(0, BEFORE_POOLS);
    for (const file of files) await cp(join(MIGRATIONS, file), join(directory, file));
    const pool = await openPool({ url: infra.databaseUrl("registry"), max: 1, name: "test", life, log: testLog });
    await migrate({ pool, schema: "registry", directory, log: testLog });
    await pool.query("INSERT INTO registry.groups VALUES ('demo', 'demo', 0)");
    const columns = "id, name, group_id, type, enabled, position, spec, spec_hash, source, client_capabilities";
    const states = "server_id, status, era, spec_hash, items_revision";
    for (const [position, [id, hash]] of Object.entries({ echo: specHash, other: "of another spec" }).entries()) {
      const values = [id, position, hash];
      await pool.query(
        `INSERT INTO registry.servers (${columns}) VALUES ($1, $1, 'demo', 'command', true, $2, '{}', $3, 'file', '{}')`,
        values,
      );
      await pool.query(`INSERT INTO registry.server_states (${states}) VALUES ($1, 'ready', 'legacy', $2, 1)`, [
        id,
        hash,
      ]);
      await pool.query(
        `INSERT INTO registry.items VALUES ($1, 'tool', 1, 'kept', '{"name":"kept","inputSchema":{}}', 'h', false)`,
        [id],
      );
    }
    await pool.query("UPDATE registry.revision SET value = 7");
  } finally {
    await life.close();
    await rm(directory, { recursive: true });
  }
}

test("a schema from before pools and tenants goes on, with what is still true", async () => {
  const desired = loadDesiredState(TEXT, { file: join(tmpdir(), "tollgate.yaml"), env: {} });
  await fillEarlierSchema(toAssignment(desired.servers[0]!).specHash);
  const registry = await runRegistry(infra, { text: TEXT });
  const catalogue = registry.watchCatalogue();
  const first = await catalogue.until((last) => expect(last.tenants).toHaveLength(1));
  expect(first.revision).toBe(8n);
  expect(serverIn(first, "echo")).toMatchObject({
    status: "ready",
    isolation: "",
    limitsBy: "",
    toolRules: [],
    generation: 0n,
  });
  expect(toolNames(first, "echo")).toEqual(["kept"]);
  expect(serverIn(first, "other")).toMatchObject({ status: "pending", tools: [] });
  expect(await registry.restart("echo")).toMatchObject({ generation: 1n });
  const work = registry.watchAssignments();
  await work.until((last) => expect(assignmentIn(last, "echo").generation).toBe(1n));
  await registry.close();
});
