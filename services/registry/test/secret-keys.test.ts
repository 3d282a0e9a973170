import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseKeyList } from "@tollgate/evidence";
import { eventually, useInfrastructure } from "@tollgate/testkit";
import { Client } from "pg";
import { describe, expect, onTestFinished, test } from "vitest";
import { createEnvelopes } from "../src/domain/envelope.ts";
import { aboutSecret } from "../src/domain/secret.ts";
import { assignmentIn, connect, runRegistry } from "./running-registry.ts";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const infra = useInfrastructure();
const key = (id: string): string => `${id}:${createHash("sha256").update(id).digest("base64url")}`;
const [OLD, NEW] = [key("old"), key("new")];

async function query(text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: infra.adminUrl });
  await client.connect();
  try {
    return (await client.query(text, values)).rows as Record<string, unknown>[];
  } finally {
    await client.end();
  }
}

const wrappedWith = async (id: string): Promise<number> => {
  const rows = await query("SELECT count(*)::integer AS count FROM registry.secrets WHERE sealed LIKE $1", [`${id}:%`]);
  return Number(rows[0]!["count"]);
};

const ENTRY = { group: "demo", type: "command", command: "b", env: { PLAIN: "plain-in-an-entry" } };
const FILE = `groups: [{ id: demo }]
mcp_servers: [{ id: a, group: demo, type: command, command: a, env: { KEY: "\${secret:rotated}" } }]
`;

describe("rotating the master keys", () => {
  test("a new key in front, everything wrapped anew, the old key gone: servers notice nothing of it", async () => {
    const before = await runRegistry(infra, { text: FILE, secretKeys: OLD });
    await before.secrets.put("rotated", "value-of-rotated");
    await before.put("server", "b", ENTRY);
    // The file's own is assigned once its secret, which was put just now, has been looked for again.
    const first = await before
      .watchAssignments()
      .until((last) => void [assignmentIn(last, "a"), assignmentIn(last, "b")]);
    await before.close();

    const during = await runRegistry(infra, { text: FILE, secretKeys: `${NEW}, ${OLD}` });
    const work = during.watchAssignments();
    await work.until((last) => expect(last.assignments).toEqual(first.assignments));
    expect(await during.secrets.one("rotated")).toMatchObject({ keyId: "old", version: 1 });
    expect(await during.secrets.rotate()).toEqual({ rewrapped: 2, keyId: "new" });
    expect(await during.secrets.rotate()).toEqual({ rewrapped: 0, keyId: "new" });
    expect(await during.secrets.one("rotated")).toMatchObject({ keyId: "new", version: 1, problem: "" });
    expect(work.received.at(-1)!.assignments).toEqual(first.assignments);
    await during.close();

    const after = await runRegistry(infra, { text: FILE, secretKeys: NEW });
    await after.watchAssignments().until((last) => expect(last.assignments).toEqual(first.assignments));
    await after.remove("server", "b");
    await after.close();

    const lost = await runRegistry(infra, { text: FILE, secretKeys: OLD });
    expect((await lost.secrets.one("rotated"))!.problem).toContain("its master key new is not among the keys here");
    await expect(lost.secrets.rotate()).rejects.toThrow(
      "secret rotated: what is sealed cannot be opened: its master key new",
    );
    await lost.close();
  });

  test("goes on where kill -9 has ended it", async () => {
    const many = 4_000;
    const started = await runRegistry(infra, { text: "groups: []", secretKeys: OLD });
    await started.close();
    const keys = parseKeyList(OLD);
    const envelopes = createEnvelopes(keys.ok ? keys.value : new Map(), randomBytes);
    const names = Array.from({ length: many }, (_, at) => `many-${at}`);
    const sealed = names.map((name) => envelopes.seal(`value of ${name}`, aboutSecret(name, 1, [])));
    await query(
      `INSERT INTO registry.secrets (name, version, sealed, servers, description, updated_by)
       SELECT name, 1, sealed, '{}', '', 'test' FROM unnest($1::text[], $2::text[]) AS given (name, sealed)`,
      [names, sealed],
    );

    const killed = await start(`${NEW},${OLD}`);
    const rotation = killed.secrets.rotate().catch((error: unknown) => error);
    await eventually(async () => expect(await wrappedWith("new")).toBeGreaterThan(100));
    killed.child.kill("SIGKILL");
    expect(await rotation).toBeInstanceOf(Error);
    await killed.close();
    const done = await wrappedWith("new");
    expect(done).toBeLessThan(many);
    const left = await wrappedWith("old");

    const again = await runRegistry(infra, { text: "groups: []", secretKeys: `${NEW},${OLD}` });
    expect(await again.secrets.rotate()).toEqual({ rewrapped: left, keyId: "new" });
    expect(await wrappedWith("old")).toBe(0);
    expect((await again.secrets.list()).secrets.filter(({ problem }) => problem !== "")).toEqual([]);
    await again.close();
  });
});

/** A registry in a process of its own. */
async function start(secretKeys: string) {
  const folder = await mkdtemp(join(tmpdir(), "tollgate-registry-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const file = join(folder, "tollgate.yaml");
  await writeFile(file, "groups: []");
  const child: ChildProcess = spawn(process.execPath, [MAIN], {
    env: {
      PATH: process.env["PATH"],
      TOLLGATE_SERVICE_KEY: infra.serviceKey,
      TOLLGATE_HTTP_PORT: "0",
      TOLLGATE_GRPC_PORT: "0",
      TOLLGATE_DATABASE_URL: infra.databaseUrl("registry"),
      TOLLGATE_NATS_URL: infra.natsUrl,
      TOLLGATE_BUS_PREFIX: infra.busPrefix,
      TOLLGATE_CONFIG_FILE: file,
      TOLLGATE_SECRET_KEYS: secretKeys,
    },
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let output = "";
  child.stdout?.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stderr?.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const port = await eventually(() => {
    const found = /"grpcPort":(\d+)/.exec(output)?.[1];
    if (found === undefined) throw new Error(`not listening yet: ${output}`);
    return Number(found);
  });
  return { child, ...connect(port, infra.serviceKey) };
}
