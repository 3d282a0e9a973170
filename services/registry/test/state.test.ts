import { openLife } from "@tollgate/service";
import { eventually, startService, testLog, useInfrastructure } from "@tollgate/testkit";
import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { ChangeEvent } from "@tollgate/contracts";
import { followChanges } from "./recorded.ts";
import {
  assignmentIn,
  connect,
  runRegistry,
  type RunningRegistry,
  SECRET,
  serverIn,
  TWO_GROUPS,
} from "./running-registry.ts";

const infra = useInfrastructure();
const life = openLife(testLog);
let recorded: () => Partial<ChangeEvent>[];
let registry: RunningRegistry;
let seen = 0;

beforeAll(async () => {
  recorded = await followChanges(infra, life);
});
afterAll(() => life.close());
beforeEach(async () => {
  registry = await runRegistry(infra);
});
afterEach(async () => {
  await registry.close();
  await query("TRUNCATE registry.entries");
});

async function query(sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: infra.databaseUrl("registry") });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

const BY = { principal: "token:admin", address: "192.0.2.7" };
const words = (changes: readonly { change: string; kind: string; id: string }[]) =>
  changes.map(({ change, kind, id }) => `${change} ${kind} ${id}`);

describe("a document", () => {
  const DOCUMENT = `groups: [{ id: lab }]
mcp_servers:
  - { id: echo, group: demo, type: command, command: echo-server, args: [--quiet] }
  - { id: bench, group: lab, type: command, command: bench-server, env: { KEY: in-plain-text } }
`;

  test("changes what it says and nothing else, and the plan says so before", async () => {
    await registry.reportTools("notes", ["read", "write"]);
    const dry = await registry.reconcile(DOCUMENT, { dryRun: true });
    expect(words(dry.changes)).toEqual(["create group lab", "update server echo", "create server bench"]);
    expect(dry.changes.map(({ note }) => note)).toEqual([
      "",
      "its processes are replaced, new ones first",
      "its processes are started",
    ]);
    expect(JSON.parse(dry.changes[1]!.before)).toMatchObject({ args: ["--verbose"] });
    expect(JSON.parse(dry.changes[2]!.after)).toMatchObject({ env: { KEY: "(hidden)" } });
    expect(await registry.drift()).toEqual([]);
    const done = await registry.reconcile(DOCUMENT);
    expect(done.changes).toEqual(dry.changes);
    expect(done.revision).toBe(dry.revision);
    expect((await registry.reconcile(DOCUMENT)).changes).toEqual([]);
    expect((await registry.listEntries("server")).map(({ id }) => id)).toEqual(["echo", "notes", "spare", "bench"]);
  });

  test("prunes the sections that it has", async () => {
    await registry.reconcile(DOCUMENT);
    await registry.reportTools("notes", ["read", "write"]);
    const pruned = await registry.reconcile(TWO_GROUPS.replace(/ {2}- id: notes[^]*?startup_timeout: 5\n/, ""), {
      prune: true,
    });
    expect(words(pruned.changes)).toEqual([
      "update server echo",
      "delete server notes",
      "delete server bench",
      "delete group lab",
    ]);
    expect(pruned.changes[1]!.note).toBe("its processes are ended, 2 tools are gone");
    expect(await registry.drift()).toMatchObject([{ kind: "server", id: "notes", drift: "removed" }]);
    const restored = await registry.reconcile(TWO_GROUPS);
    expect(words(restored.changes)).toEqual(["create server notes"]);
    expect(await registry.drift()).toEqual([]);
  });

  test("with a mistake changes nothing, and tells all of them with their places", async () => {
    const text = `${DOCUMENT}  - { id: x, group: gone, type: command, command: ./x }\ntenants: [{ id: acme, plan: gold }]\n`;
    const refused = registry.reconcile(text);
    await expect(refused).rejects.toMatchObject({
      code: "invalid_argument",
      details: {
        mistakes: [
          "document.yaml:6:29: tenants[0].plan is not the name of a plan; there are default",
          "document.yaml:5:21: mcp_servers[2].group is not the id of a group; there are lab, demo, office",
        ],
      },
    });
    await expect(registry.reconcile(text.replace("gone", "demo").replace("gold", "default"))).rejects.toMatchObject({
      details: {
        mistakes: [expect.stringMatching(/^document\.yaml:5:\d+: mcp_servers\[2\]\.command has to be absolute/)],
      },
    });
    for (const [odd, message] of [
      ['tool_sets: [{ id: a, tools: ["*:*"], description: "\\0" }]', "holds a NUL or half a character"],
      ["tool_sets: [{ id: a, tools: .nan }]", "tool_sets[0].tools"],
      ["groups: &all [*all]", "circular"],
      ["- 1", "has to hold sections"],
    ] as const)
      await expect(registry.reconcile(odd)).rejects.toMatchObject({
        code: "invalid_argument",
        message: expect.stringContaining(message),
      });
    await expect(registry.reconcile("groups: [}")).rejects.toMatchObject({ code: "invalid_argument" });
    await expect(registry.reconcile("groups: []", { prune: true })).rejects.toMatchObject({
      message: expect.stringContaining('server "echo": group is not the id of a group'),
    });
    expect(await registry.drift()).toEqual([]);
  });

  test("says what it says of plans in vain, and the file's own entries may have what only the file may", async () => {
    const file = TWO_GROUPS + `  - { id: beside, group: demo, type: command, command: ./beside }\n`;
    await registry.writeFile(file);
    await eventually(async () => expect(await registry.listEntries("server", "beside")).toHaveLength(1));
    const { changes, warnings } = await registry.reconcile(`${file}plans: [{ name: gold }]\n`);
    expect(changes).toEqual([]);
    expect(warnings).toEqual([expect.stringContaining("plans: is the configuration file's alone")]);
  });
});

describe("the record", () => {
  beforeEach(async () => {
    await eventually(() => expect(recorded().length).toBeGreaterThan(0));
    seen = recorded().length;
  });

  test("has each change with before and after, by whom and from where, and no secret", async () => {
    const put = (env: object) => registry.put("server", "bench", { group: "demo", type: "command", command: "b", env });
    await put({ KEY: "in-plain-text", OTHER: "${NOTES_TOKEN}" });
    await put({ KEY: "another-plain-text", OTHER: "${NOTES_TOKEN}" });
    await registry.remove("server", "bench");
    const own = await eventually(() => {
      const found = recorded()
        .slice(seen)
        .filter(({ name }) => name === "bench");
      expect(found).toHaveLength(3);
      return found;
    });
    expect(own).toMatchObject([
      { ...BY, change: "created", resource: "server", after: { spec: { env: { KEY: "(hidden)" } } } },
      { ...BY, change: "updated", reason: "a value that is not shown is another one" },
      { ...BY, change: "deleted", before: { type: "command" } },
    ]);
    const text = JSON.stringify(own);
    for (const secret of ["plain-text", SECRET]) expect(text).not.toContain(secret);
  });
});

describe("secrets in plain text", () => {
  const ENTRY = { group: "demo", type: "command", command: "b", env: { KEY: "in-plain-text" } };

  test("are sealed in the database, and survive a restart", async () => {
    await registry.put("server", "bench", ENTRY);
    const rows = await query("SELECT * FROM registry.entries WHERE id = 'bench'");
    expect(JSON.stringify(rows)).not.toContain("in-plain-text");
    await registry.close();
    registry = await runRegistry(infra);
    const work = await registry.watchAssignments().until((last) => assignmentIn(last, "bench"));
    expect(assignmentIn(work, "bench").env).toEqual({ KEY: "in-plain-text" });
    const [entry] = await registry.listEntries("server", "bench");
    await registry.put("server", "bench", { ...JSON.parse(entry!.entry), risk: "HIGH" });
    expect(assignmentIn(await registry.watchAssignments().until(() => undefined), "bench").env.KEY).toBe(
      "in-plain-text",
    );
  });

  test("are refused where nothing can be sealed", async () => {
    await registry.close();
    registry = await runRegistry(infra, { secretKeys: "" });
    await expect(registry.put("server", "bench", ENTRY)).rejects.toMatchObject({
      code: "failed_precondition",
      message: expect.stringContaining("TOLLGATE_SECRET_KEYS"),
    });
    await registry.put("server", "bench", { ...ENTRY, env: { KEY: "${NOTES_TOKEN}" } });
  });
});

describe("two replicas", () => {
  let other: RunningRegistry;
  beforeEach(async () => {
    other = await runRegistry(infra, { file: registry.file });
  });
  afterEach(() => other.close());

  test("have what was put through either of them", async () => {
    const work = other.watchAssignments();
    await registry.put("server", "bench", { group: "demo", type: "command", command: "b" });
    await work.until((last) => expect(assignmentIn(last, "bench").command).toBe("b"));
    await other.put("server", "bench", { group: "demo", type: "command", command: "c" });
    const here = await registry
      .watchAssignments()
      .until((last) => expect(assignmentIn(last, "bench").command).toBe("c"));
    // The hash by which runners' reports are taken is the same everywhere.
    const there = await work.until((last) => expect(assignmentIn(last, "bench").command).toBe("c"));
    expect(assignmentIn(here, "bench").specHash).toBe(assignmentIn(there, "bench").specHash);
  });

  test("changing the same at once lose nothing: one after the other, and who was second is told", async () => {
    await registry.put("tenant", "acme", {});
    const puts = Array.from({ length: 6 }, (_, at) =>
      (at % 2 ? other : registry).put("group", `g-${at}`, { name: `n-${at}` }),
    );
    const [first, second] = await Promise.allSettled([
      registry.put("tenant", "acme", { plan: "default" }, { ifVersion: 1n }),
      other.remove("tenant", "acme", { ifVersion: 1n }),
    ]);
    await Promise.all(puts);
    const groups = (await other.listEntries("group")).map(({ id }) => id);
    expect(groups.filter((id) => id.startsWith("g-"))).toHaveLength(6);
    expect([first.status, second.status].toSorted()).toEqual(["fulfilled", "rejected"]);
  });

  test("with different files do not undo each other, and the one that is behind changes nothing", async () => {
    const older = await runRegistry(infra, { text: TWO_GROUPS.replace("name: Demo", "name: Older") });
    const newest = "name: Newest";
    await registry.writeFile(TWO_GROUPS.replace("name: Demo", newest));
    const catalogue = older.watchCatalogue();
    await catalogue.until((last) => expect(last.groups[0]?.name).toBe("Newest"));
    await expect(older.put("group", "lab", {})).rejects.toMatchObject({ code: "unavailable" });
    await eventually(() => registry.put("group", "lab", {}));
    await catalogue.until((last) => expect(last.groups.map(({ id }) => id)).toEqual(["demo", "office", "lab"]));
    expect((await catalogue.until(() => undefined)).groups[0]?.name).toBe("Newest");
    await older.close();
  });
});

test("a file and the API changing at once: both are in force afterwards, whichever was first", async () => {
  for (let round = 0; round < 4; round++) {
    const name = `Round ${round}`;
    const written = registry.writeFile(TWO_GROUPS.replace("name: Demo", `name: ${name}`));
    const puts = Array.from({ length: 5 }, (_, at) => registry.put("group", `r-${round}-${at}`, {}));
    await Promise.all([written, ...puts]);
    const last = await registry.watchCatalogue().until((each) => expect(each.groups[0]?.name).toBe(name));
    expect(last.groups.filter(({ id }) => id.startsWith(`r-${round}-`))).toHaveLength(5);
  }
});

test("what is declared stays when the registry has nothing of it in its file, and status is kept", async () => {
  await registry.put("server", "bench", { group: "demo", type: "command", command: "b" });
  await registry.reportTools("bench", ["tool"]);
  await registry.close();
  registry = await runRegistry(infra);
  const last = await registry.watchCatalogue().until((each) => expect(serverIn(each, "bench").status).toBe("ready"));
  expect(serverIn(last, "bench").tools.map(({ name }) => name)).toEqual(["tool"]);
});

const KILL_MAX_MS = 120_000;

test("kill -9 in the middle of changes leaves each of them done or not", { timeout: KILL_MAX_MS }, async () => {
  const killed = await startService("registry", {
    PATH: process.env["PATH"]!,
    TOLLGATE_SERVICE_KEY: infra.serviceKey,
    TOLLGATE_HTTP_PORT: "0",
    TOLLGATE_GRPC_PORT: "0",
    TOLLGATE_DATABASE_URL: infra.databaseUrl("registry"),
    TOLLGATE_NATS_URL: infra.natsUrl,
    TOLLGATE_BUS_PREFIX: infra.busPrefix,
    TOLLGATE_CONFIG_FILE: registry.file,
    NOTES_TOKEN: SECRET,
  });
  const port = /"grpcPort":(\d+)/.exec(killed.output())![1];
  const client = connect(Number(port), infra.serviceKey);
  const answered: string[] = [];
  const puts = Array.from({ length: 200 }, async (_, at) => {
    await client.put("group", `k-${at}`, {});
    answered.push(`k-${at}`);
  });
  const settled = Promise.allSettled(puts);
  await eventually(() => expect(answered.length).toBeGreaterThan(3));
  await killed.stop("SIGKILL");
  await settled;
  await client.close();
  expect(answered.length).toBeLessThan(200);
  const declared = (await registry.listEntries("group")).map(({ id }) => id).filter((id) => id.startsWith("k-"));
  expect(declared).toEqual(expect.arrayContaining(answered));
  // At most the one that was under way has come without an answer.
  expect(declared.length).toBeLessThanOrEqual(answered.length + 1);
  const rows = await query("SELECT id FROM registry.groups WHERE id LIKE 'k-%'");
  expect(rows.map(({ id }) => String(id)).toSorted()).toEqual(declared.toSorted());
});
