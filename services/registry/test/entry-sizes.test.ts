import { useInfrastructure } from "@tollgate/testkit";
import pg from "pg";
import { afterEach, beforeEach, expect, test } from "vitest";
import { runRegistry, type RunningRegistry } from "./running-registry.ts";

const infra = useInfrastructure();
// 200 times in a server's arguments, of which runners get the whole text.
const ENV = { BIG: "x".repeat(32_000) };
const HEAVY = {
  group: "demo",
  type: "command",
  command: "a",
  enabled: false,
  args: Array.from({ length: 200 }, () => "${BIG}"),
};
const FILE = "groups: [{ id: demo }]\n";
let registry: RunningRegistry;

beforeEach(async () => {
  registry = await runRegistry(infra, { text: FILE, env: ENV });
});
afterEach(async () => {
  await registry.close();
  await query("TRUNCATE registry.entries");
});

async function query(sql: string, values: unknown[] = []): Promise<void> {
  const client = new pg.Client({ connectionString: infra.databaseUrl("registry") });
  await client.connect();
  await client.query(sql, values);
  await client.end();
}

async function reopen(text: string): Promise<void> {
  await registry.close();
  registry = await runRegistry(infra, { text, env: ENV });
}

/** How many servers of the API fit. */
async function fill(): Promise<number> {
  for (let count = 0; count < 20; count++)
    try {
      await registry.put("server", `heavy-${count}`, HEAVY);
    } catch (error) {
      expect(error).toMatchObject({
        code: "invalid_argument",
        message: expect.stringMatching(/^what servers run with would have \d+ bytes; at most 50331648 fit$/),
      });
      return count;
    }
  throw new Error("there is no end to it");
}

test("what all servers run with fits into a message to runners; a start sets aside what does not", async () => {
  const count = await fill();
  expect(count).toBeGreaterThan(1);
  await registry.remove("server", "heavy-0");
  await registry.put("server", "heavy-0", HEAVY);
  const own = JSON.stringify([{ id: "own", ...HEAVY }]);
  await reopen(`${FILE}mcp_servers: ${own}\n`);
  const aside = (await registry.listEntries("server")).filter(({ problem }) => problem !== "");
  expect(aside).toMatchObject([{ problem: expect.stringContaining("what servers run with") }]);
});

test("what the API has declared fits into a list of it", async () => {
  await registry.close();
  const junk = JSON.stringify({ junk: "x".repeat(4 * 1024 * 1024 - 10_000) });
  for (let count = 0; count < 6; count++)
    await query(
      `INSERT INTO registry.entries (kind, id, api_entry, version, revision, updated_by)
       VALUES ('server', $1, $2, 1, 0, 'token:admin')`,
      [`large-${count}`, junk],
    );
  registry = await runRegistry(infra, { text: FILE, env: ENV });
  const more = { ...HEAVY, args: Array.from({ length: 20 }, () => "y".repeat(32_000)) };
  await expect(registry.put("server", "more", more)).rejects.toMatchObject({
    code: "payload_too_large",
    message: expect.stringContaining("at most 25165824 fit"),
  });
  expect(await registry.listEntries()).toHaveLength(7);
  await registry.remove("server", "large-0");
  await registry.put("server", "small", { ...HEAVY, args: [] });
});
