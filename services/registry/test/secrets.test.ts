import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectBus, readEvents } from "@tollgate/bus";
import type { AuditEvent, ChangeEvent, SecretEvent } from "@tollgate/contracts";
import { openLife } from "@tollgate/service";
import { eventually, testLog, useInfrastructure } from "@tollgate/testkit";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { assignmentIn, runRegistry, type RunningRegistry, serverIn } from "./running-registry.ts";

const infra = useInfrastructure();
const life = openLife(testLog);
const events: AuditEvent[] = [];
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tollgate-secrets-"));
  const { natsUrl: url, busPrefix: prefix } = infra;
  const bus = await connectBus({ url, name: "test", prefix, log: testLog, signal: life.signal });
  life.onClose("nats", 5_000, () => bus.drain());
  void (async () => {
    const reading = { from: { stream: "", sequence: 0 }, batchMax: 100, batchWaitMs: 5, signal: life.signal };
    for await (const batch of readEvents(bus, reading)) events.push(...batch.events.map(({ event }) => event));
  })();
});
afterAll(async () => {
  await life.close();
  await rm(folder, { recursive: true });
});

const server = (id: string, env: string) =>
  `\n  - { id: ${id}, group: demo, type: command, command: ${id}-server, env: { ${env} } }`;
const file = (...servers: string[]) => `groups: [{ id: demo }]\nmcp_servers:${servers.join("")}\n`;
const NEEDS = (name: string) => `KEY: "\${secret:${name}}"`;

async function run(options: Parameters<typeof runRegistry>[1]): Promise<RunningRegistry> {
  const registry = await runRegistry(infra, { env: { TOLLGATE_SECRETS_DIR: folder }, ...options });
  let isClosed = false;
  const close = async () => {
    if (!isClosed) await registry.close();
    isClosed = true;
  };
  onTestFinished(close);
  return { ...registry, close };
}

async function query(text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: infra.adminUrl });
  await client.connect();
  try {
    return (await client.query(text, values)).rows as Record<string, unknown>[];
  } finally {
    await client.end();
  }
}

const isRead =
  (secret: string) =>
  (event: AuditEvent): event is SecretEvent =>
    event.kind === "secret" && event.secret === secret;

describe("a stored secret", () => {
  test("starts the server that waits for it, and no other one is given it", async () => {
    const registry = await run({ text: file(server("a", NEEDS("first")), server("b", "X: y")) });
    const catalogue = registry.watchCatalogue();
    const work = registry.watchAssignments();
    const waiting = await catalogue.until((last) => expect(serverIn(last, "a").status).toBe("unavailable"));
    expect(serverIn(waiting, "a").reason).toBe(
      "needs the secret first: put it in a file of that name into TOLLGATE_SECRETS_DIR, or put it with PUT /api/v1/secrets/first",
    );
    const before = await work.until((last) => expect(last.assignments.map(({ serverId }) => serverId)).toEqual(["b"]));
    expect(await registry.secrets.one("first")).toMatchObject({ store: "", version: 0, usedBy: ["a"] });

    const { secret, created } = await registry.secrets.put("first", "the-value-of-first", { description: "of a" });
    expect(created).toBe(true);
    expect(secret).toMatchObject({
      name: "first",
      version: 1,
      description: "of a",
      updatedBy: "token:admin",
      keyId: "k1",
    });
    const given = await work.until((last) => assignmentIn(last, "a"));
    expect(assignmentIn(given, "a")).toMatchObject({
      env: { KEY: "the-value-of-first" },
      secrets: ["the-value-of-first"],
      secretNames: ["first"],
    });
    expect(assignmentIn(given, "b")).toEqual(assignmentIn(before, "b"));
    expect(JSON.stringify(assignmentIn(given, "b").env)).not.toContain("first");
    await catalogue.until((last) => expect(serverIn(last, "a")).toMatchObject({ status: "pending", reason: "" }));

    const old = assignmentIn(given, "a").specHash;
    await registry.secrets.put("first", "another-value");
    await work.until((last) => expect(assignmentIn(last, "a").env["KEY"]).toBe("another-value"));
    expect(assignmentIn(work.received.at(-1)!, "a").specHash).not.toBe(old);
    expect(assignmentIn(work.received.at(-1)!, "b")).toEqual(assignmentIn(before, "b"));
  });

  test("is read by another replica as well, and by the next process", async () => {
    const text = file(server("a", NEEDS("shared")));
    const [one, other] = [await run({ text }), await run({ text })];
    await one.secrets.put("shared", "value-of-shared");
    await other.watchAssignments().until((last) => expect(assignmentIn(last, "a").env["KEY"]).toBe("value-of-shared"));
    await Promise.all([one.close(), other.close()]);
    const next = await run({ text });
    const first = await next.watchAssignments().until(() => undefined);
    expect(assignmentIn(first, "a").env["KEY"]).toBe("value-of-shared");
  });

  test("of a file comes first where stores say so, and the list tells; where they say otherwise, not", async () => {
    await writeFile(join(folder, "both"), "of-the-file\n");
    const servers = file(server("a", NEEDS("both")));
    const registry = await run({ text: servers });
    const work = registry.watchAssignments();
    await registry.secrets.put("both", "of-the-database");
    await eventually(async () =>
      expect(await registry.secrets.one("both")).toMatchObject({
        store: "files",
        version: 1,
        problem: "the store files has it too, and comes first",
      }),
    );
    await work.until((last) => expect(assignmentIn(last, "a").env["KEY"]).toBe("of-the-file"));
    await registry.writeFile(`secrets: { stores: [tollgate, files] }\n${servers}`);
    await work.until((last) => expect(assignmentIn(last, "a").env["KEY"]).toBe("of-the-database"));
    await registry.writeFile(`secrets: { stores: [files] }\n${servers}`);
    await work.until((last) => expect(assignmentIn(last, "a").env["KEY"]).toBe("of-the-file"));
    await expect(registry.secrets.put("both", "x")).rejects.toThrow("does not name tollgate");
    await rm(join(folder, "both"));
    await work.until((last) => expect(last.assignments).toEqual([]));
  });

  test("has versions, which changes can ask for", async () => {
    const { secrets } = await run({ text: "groups: []" });
    await secrets.put("versioned", "1");
    await expect(secrets.put("versioned", "2", { createOnly: true })).rejects.toMatchObject({ code: "already_exists" });
    await expect(secrets.put("versioned", "2", { ifVersion: 4 })).rejects.toMatchObject({
      code: "failed_precondition",
      details: { version: 1 },
    });
    expect((await secrets.put("versioned", "2", { ifVersion: 1 })).secret).toMatchObject({ version: 2 });
    await expect(secrets.remove("versioned", 1)).rejects.toMatchObject({ details: { version: 2 } });
    await secrets.remove("versioned", 2);
    await expect(secrets.remove("versioned")).rejects.toMatchObject({ code: "not_found" });
    await expect(secrets.put("versioned", "3", { ifVersion: 2 })).rejects.toMatchObject({ details: { version: 0 } });
  });

  test.each([
    ["a/b", "x", {}, "name has to be"],
    ["..", "x", {}, "name has to be"],
    ["x", "", {}, "value is empty"],
    ["x", "x".repeat(65_537), {}, "value is larger than 64 KiB"],
    ["x", "a\0b", {}, "value holds a NUL"],
    ["x", "v", { servers: ["A B"] }, "servers has to hold ids"],
    ["x", "v", { description: "x".repeat(501) }, "description has to be"],
  ])("%j is refused", async (name, value, more, message) => {
    const { secrets } = await run({ text: "groups: []" });
    await expect(secrets.put(name, value, more)).rejects.toThrow(message);
  });

  test("needs master keys: without them none is taken, and the reason is told", async () => {
    const registry = await run({ text: file(server("a", NEEDS("keyless"))) });
    await registry.secrets.put("keyless", "value-of-keyless");
    await registry.close();
    const without = await run({ text: file(server("a", NEEDS("keyless"))), secretKeys: "" });
    expect(await without.secrets.list()).toMatchObject({ keyId: "" });
    await expect(without.secrets.put("other", "x")).rejects.toThrow("has no master keys");
    const catalogue = await without.watchCatalogue().until(() => undefined);
    expect(serverIn(catalogue, "a").reason).toContain("has no master keys (TOLLGATE_SECRET_KEYS)");
  });
});

describe("whose it is", () => {
  test("only the servers that it is for may name it: another's entry is a mistake, in the file and by the API", async () => {
    const own = file(server("a", NEEDS("for-a")));
    const registry = await run({ text: own });
    await registry.secrets.put("for-a", "value-for-a", { servers: ["a"] });
    await registry.watchAssignments().until((last) => assignmentIn(last, "a"));
    const message = "may not use the secret for-a: it is for a only";
    const entry = { group: "demo", type: "command", command: "b", env: { K: "${secret:for-a}" } };
    await expect(registry.put("server", "b", entry)).rejects.toThrow(message);
    await registry.writeFile(file(server("a", NEEDS("for-a")), server("b", NEEDS("for-a"))));
    // The file is not taken, and what was in force goes on.
    await eventually(async () => {
      const metrics = await (await fetch(`http://127.0.0.1:${registry.httpPort}/metrics`)).text();
      expect(metrics).toMatch(/^tollgate_registry_file_valid(?:\{.*\})? 0$/m);
    });
    const { assignments } = await registry.watchAssignments().until(() => undefined);
    expect(assignments.map(({ serverId }) => serverId)).toEqual(["a"]);
  });

  test("nobody takes it away from a server that names it", async () => {
    const registry = await run({ text: file(server("a", NEEDS("used")), server("b", NEEDS("used"))) });
    await registry.secrets.put("used", "value-of-used");
    await registry.watchAssignments().until((last) => assignmentIn(last, "b"));
    const refused = { code: "failed_precondition" };
    await expect(registry.secrets.remove("used")).rejects.toMatchObject({
      ...refused,
      message: 'the secret "used" is used by a, b',
    });
    await expect(registry.secrets.put("used", "x", { servers: ["a"] })).rejects.toMatchObject({
      ...refused,
      message: 'b would lose the secret "used": they name it',
    });
    expect(await registry.secrets.one("used")).toMatchObject({ version: 1, usedBy: ["a", "b"], servers: [] });
  });
});

describe("another value", () => {
  const UNSAID = { description: undefined, servers: [], keepServers: true };

  test("is for the same servers and the same use where nothing else is said", async () => {
    const { secrets } = await run({ text: "groups: []" });
    await secrets.put("rotated", "1", { servers: ["a"], description: "what for" });
    const { secret } = await secrets.put("rotated", "2", UNSAID);
    expect(secret).toMatchObject({ version: 2, servers: ["a"], description: "what for", problem: "" });
    await secrets.put("rotated", "3", { ...UNSAID, servers: [], keepServers: false });
    expect(await secrets.one("rotated")).toMatchObject({ version: 3, servers: [], description: "what for" });
    expect((await secrets.put("first", "1", UNSAID)).secret).toMatchObject({ servers: [], description: "" });
  });
});

describe("the record", () => {
  test("has each read once for each value and server, and once more after a restart; and changes without values", async () => {
    const text = file(server("a", NEEDS("told")), server("b", NEEDS("told")));
    const registry = await run({ text });
    await registry.secrets.put("told", "value-of-told", { description: "what for" });
    await registry.watchAssignments().until((last) => assignmentIn(last, "b"));
    const reads = () =>
      events.filter(isRead("told")).map((event) => `${event.purpose} ${event.principal} ${event.server}`);
    const once = ["assignment registry a", "assignment registry b"];
    await eventually(() => expect(reads()).toEqual(once));
    expect(events.find(isRead("told"))).toMatchObject({ group: "demo", tenant: "tollgate" });

    await registry.writeFile(`${text}# another text, the same servers\n`);
    await registry.secrets.put("told", "another-value-of-told", { servers: ["b", "a"] });
    await eventually(() => expect(reads()).toEqual([...once, ...once]));
    await registry.close();
    const next = await run({ text });
    await eventually(() => expect(reads()).toEqual([...once, ...once, ...once]));
    await next.writeFile(file());
    await next.watchAssignments().until((last) => expect(last.assignments).toEqual([]));
    await eventually(() => next.secrets.remove("told"));

    const changes = () =>
      events.filter(
        (event): event is ChangeEvent =>
          event.kind === "change" && event.resource === "secret" && event.name === "told",
      );
    await eventually(() => expect(changes()).toHaveLength(3));
    const by = { principal: "token:admin", address: "192.0.2.7", tenant: "tollgate" };
    const first = { version: 1, description: "what for", servers: [] };
    const second = { version: 2, description: "", servers: ["a", "b"] };
    expect(changes()).toMatchObject([
      { ...by, change: "created", after: first },
      { ...by, change: "updated", before: first, after: second },
      { ...by, change: "deleted", before: second },
    ]);
    expect(JSON.stringify(events)).not.toContain("value-of-told");
  });
});

describe("the database alone", () => {
  test("gives no secret: neither a table, nor an answer, nor the record has it", async () => {
    const values = ["value-that-nobody-may-find", "another-that-nobody-may-find"];
    const registry = await run({ text: file(server("a", NEEDS("hidden"))) });
    for (const value of values) await registry.secrets.put("hidden", value);
    const work = registry.watchAssignments();
    await work.until((last) => expect(assignmentIn(last, "a").env["KEY"]).toBe(values[1]));
    const specHash = assignmentIn(work.received.at(-1)!, "a").specHash;
    await registry.report({ serverId: "a", specHash, status: "unavailable", reason: `no login with ${values[1]}` });
    const answers = JSON.stringify(await registry.secrets.list(), (_key, value: unknown) =>
      typeof value === "bigint" ? String(value) : value,
    );
    const tables = await query("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'registry'");
    const dump: string[] = [];
    for (const { name } of tables)
      dump.push(
        ...(await query(`SELECT each::text AS line FROM registry."${String(name)}" AS each`)).map(({ line }) =>
          String(line),
        ),
      );
    expect(dump.join("\n")).toContain("no login with [secret]");
    for (const value of values)
      for (const form of [value, Buffer.from(value).toString("base64"), Buffer.from(value).toString("hex")])
        for (const text of [dump.join("\n"), answers, JSON.stringify(events)]) expect(text).not.toContain(form);
  });

  test("cannot change one: what was changed is named, and not used", async () => {
    const registry = await run({ text: file(server("a", NEEDS("mine")), server("b", NEEDS("other"))) });
    await registry.secrets.put("mine", "value-of-mine", { servers: ["a"] });
    await registry.secrets.put("other", "value-of-other");
    await registry.close();
    // Everybody may have it; and b gets what is another's.
    await query("UPDATE registry.secrets SET servers = '{}' WHERE name = 'mine'");
    await query(
      "UPDATE registry.secrets SET sealed = (SELECT sealed FROM registry.secrets WHERE name = 'mine') WHERE name = 'other'",
    );
    const next = await run({ text: file(server("a", NEEDS("mine")), server("b", NEEDS("other"))) });
    const catalogue = await next
      .watchCatalogue()
      .until((last) => expect(serverIn(last, "b").status).toBe("unavailable"));
    for (const id of ["a", "b"])
      expect(serverIn(catalogue, id).reason).toContain("it was changed, or belongs to something else");
    expect((await next.watchAssignments().until(() => undefined)).assignments).toEqual([]);
    for (const name of ["mine", "other"])
      expect((await next.secrets.one(name))!.problem).toContain("it was changed, or belongs to something else");
    await next.secrets.put("mine", "value-of-mine", { servers: ["a"] });
    await next.watchAssignments().until((last) => expect(assignmentIn(last, "a").env["KEY"]).toBe("value-of-mine"));
  });
});
