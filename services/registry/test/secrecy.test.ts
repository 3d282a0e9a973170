import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { eventually, useInfrastructure } from "@tollgate/testkit";
import { Client } from "pg";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { connect, ENV, hashOf, REMOTE, SECRET, TWO_GROUPS } from "./running-registry.ts";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const PLAIN_SECRET = "plain-api-key-in-the-file";
const STORED_SECRET = "stored-secret-of-the-api";
const PLAIN_URL = "https://plain.example/hooks/plain-path-in-the-file";

const infra = useInfrastructure();
let directory: string;
let child: ChildProcess;
let output: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "tollgate-registry-"));
  output = "";
});
afterEach(async () => {
  child.kill("SIGKILL");
  await rm(directory, { recursive: true });
});

describe("the process", () => {
  test("keeps secrets out of its log and of every table, whatever goes wrong", async () => {
    const file = join(directory, "tollgate.yaml");
    const plain = REMOTE.replace("id: tickets", "id: plain").replace(/url:.*/, `url: ${PLAIN_URL}?k=${PLAIN_SECRET}`);
    const text = TWO_GROUPS.replace("MODE: test", `API_KEY: ${PLAIN_SECRET}`) + REMOTE + plain;
    await writeFile(file, text);
    start(file);
    const registry = connect(await grpcPort(), infra.serviceKey);

    const work = await registry.watchAssignments().until((last) => hashOf(last, "notes"));
    expect(work.assignments[1]?.env).toEqual({ NOTES_TOKEN: SECRET, API_KEY: PLAIN_SECRET });
    await registry.secrets.put("stored", STORED_SECRET);
    await expect(registry.secrets.put("st/ored", STORED_SECRET)).rejects.toThrow("name has to be");
    await expect(registry.secrets.put("stored", `${STORED_SECRET}\0`)).rejects.toThrow("holds a NUL");
    await registry.secrets.rotate();
    await registry.reportTools("notes", ["read"]);
    const specHash = hashOf(work, "notes");
    const reason = `could not log in with ${SECRET} and ${PLAIN_SECRET}`;
    await registry.report({ serverId: "notes", specHash, status: "unavailable", reason });
    for (const serverId of ["tickets", "plain"]) {
      const unreached = `GET ${work.assignments.find((each) => each.serverId === serverId)!.url} with Bearer ${SECRET}: 401`;
      const remote = { serverId, specHash: hashOf(work, serverId), status: "unavailable", reason: unreached };
      await registry.report(remote);
    }
    await expect(
      registry.report({ serverId: "notes", specHash, status: "ready", toolDefinitions: [SECRET] }),
    ).rejects.toThrow("its definition is not JSON");
    await writeFile(file, text.replace("startup_timeout: 5", 'startup_timeout: "${NOTES_TOKEN}"'));
    await eventually(() => expect(output).toContain("configuration file not taken"));
    await writeFile(file, text.replace("type: npx", "type: npx\n    enabled: ${NOTES_TOKEN}"));
    await eventually(() => expect(output.split("configuration file not taken").length).toBeGreaterThan(2));

    const tables = await readTables();
    expect(tables).toContain("${NOTES_TOKEN}");
    expect(tables).toContain("could not log in with [secret] and [secret]");
    expect(tables).toContain("GET https://tickets.example/mcp?key=[secret] with [secret]: 401");
    expect(tables).toContain("GET https://plain.example/hooks/[secret]?k=[secret] with [secret]: 401");
    await registry.close();
    const exited = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    expect(await exited).toBe(0);
    for (const secret of [
      SECRET,
      PLAIN_SECRET,
      PLAIN_URL,
      STORED_SECRET,
      infra.secretKeys.split(":")[1]!,
      infra.serviceKey,
      new URL(infra.databaseUrl("registry")).password,
    ]) {
      expect(tables).not.toContain(secret);
      expect(output).not.toContain(secret);
    }
  });

  test("says every missing setting and exits with 2", async () => {
    child = spawn(process.execPath, [MAIN], { env: { PATH: process.env["PATH"] } });
    collect();
    const code = await new Promise((resolve) => child.once("exit", resolve));
    expect(code).toBe(2);
    for (const name of ["SERVICE_KEY", "DATABASE_URL", "CONFIG_FILE"])
      expect(output).toContain(`TOLLGATE_${name} is not set`);
  });
});

function start(file: string): void {
  const settings = {
    TOLLGATE_LOG_LEVEL: "trace",
    TOLLGATE_SERVICE_KEY: infra.serviceKey,
    TOLLGATE_HTTP_PORT: "0",
    TOLLGATE_GRPC_PORT: "0",
    TOLLGATE_DATABASE_URL: infra.databaseUrl("registry"),
    TOLLGATE_NATS_URL: infra.natsUrl,
    TOLLGATE_BUS_PREFIX: infra.busPrefix,
    TOLLGATE_CONFIG_FILE: file,
    TOLLGATE_SECRET_KEYS: infra.secretKeys,
  };
  child = spawn(process.execPath, [MAIN], { env: { PATH: process.env["PATH"], ...ENV, ...settings } });
  collect();
}

function collect(): void {
  const take = (chunk: Buffer): void => void (output += chunk.toString());
  child.stdout?.on("data", take);
  child.stderr?.on("data", take);
}

async function grpcPort(): Promise<number> {
  return eventually(() => {
    const port = /"grpcPort":(\d+)/.exec(output)?.[1];
    if (port === undefined) throw new Error(`not listening yet: ${output}`);
    return Number(port);
  });
}

/** Every row of every table of the service's schema as text. */
async function readTables(): Promise<string> {
  const client = new Client({ connectionString: infra.adminUrl });
  await client.connect();
  try {
    const { rows } = await client.query<{ name: string }>(
      "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'registry'",
    );
    expect(rows.length).toBeGreaterThanOrEqual(6);
    const texts: string[] = [];
    for (const { name } of rows) {
      const { rows: lines } = await client.query<{ line: string }>(
        `SELECT each::text AS line FROM registry."${name}" AS each`,
      );
      texts.push(...lines.map(({ line }) => line));
    }
    return texts.join("\n");
  } finally {
    await client.end();
  }
}
