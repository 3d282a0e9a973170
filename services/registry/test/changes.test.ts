import { openLife } from "@tollgate/service";
import { eventually, testLog, useInfrastructure } from "@tollgate/testkit";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { ChangeEvent } from "@tollgate/contracts";
import { followChanges } from "./recorded.ts";
import { ENV, runRegistry, type RunningRegistry, SECRET } from "./running-registry.ts";

const infra = useInfrastructure();
const life = openLife(testLog);
let recorded: () => Partial<ChangeEvent>[];
let seen = 0;

beforeAll(async () => {
  recorded = await followChanges(infra, life);
});
afterAll(() => life.close());
beforeEach(() => {
  seen = recorded().length;
});

/** Those of this test, as soon as there are so many. */
const changes = (count: number) =>
  eventually(() => {
    const own = recorded().slice(seen);
    expect(own.length).toBeGreaterThanOrEqual(count);
    return own;
  });

async function withRegistry(
  work: (registry: RunningRegistry) => Promise<void>,
  options: Parameters<typeof runRegistry>[1],
): Promise<void> {
  const registry = await runRegistry(infra, options);
  try {
    await work(registry);
  } finally {
    await registry.close();
  }
}

const FILE = `
groups: [{ id: demo, name: Demo }]
mcp_servers:
  - id: notes
    group: demo
    type: command
    command: notes-server
    env: { NOTES_TOKEN: "\${NOTES_TOKEN}", PLAIN: in-plain-text }
    tools: { write: { risk: HIGH } }
`;
const SERVER = { resource: "server", name: "notes", group: "demo", server: "notes", tenant: "tollgate" };
const TOOL = { resource: "tool", name: "notes:write", group: "demo", server: "notes", tool: "write" };
const BY_FILE = { principal: "file", tenant: "tollgate" };

test("what a file declares is on the record, each resource once, without secrets", async () => {
  await withRegistry(
    async () => {
      const made = await changes(4);
      const of = (name: string) => made.filter((each) => each.name === name);
      expect(of("demo")).toEqual([
        { ...BY_FILE, resource: "group", name: "demo", group: "demo", change: "created", after: { name: "Demo" } },
      ]);
      expect(of("notes")).toMatchObject([
        { ...BY_FILE, ...SERVER, change: "created", after: { type: "command", enabled: true, group: "demo" } },
      ]);
      expect(of("notes:write")).toMatchObject([{ ...BY_FILE, ...TOOL, change: "created", after: { risk: "HIGH" } }]);
      expect(of("*")).toMatchObject([{ resource: "tenant", change: "created", after: { plan: "default" } }]);
      expect(made).toHaveLength(4);
      const text = JSON.stringify(made);
      expect(text).toContain("${NOTES_TOKEN}");
      for (const secret of [SECRET, "in-plain-text"]) expect(text).not.toContain(secret);
    },
    { text: FILE },
  );
});

test("the same file again is no change, nor is it for another replica; another one is, with before and after", async () => {
  await withRegistry(
    async (registry) => {
      await withRegistry(async () => undefined, { text: FILE });
      await registry.writeFile(FILE.replace("risk: HIGH", "risk: CRITICAL").replace("name: Demo", "name: Other"));
      const made = await changes(2);
      expect(made).toHaveLength(2);
      expect(made).toMatchObject([
        { resource: "group", change: "updated", before: { name: "Demo" }, after: { name: "Other" } },
        { ...TOOL, change: "updated", before: { risk: "HIGH" }, after: { risk: "CRITICAL" } },
      ]);
    },
    { text: FILE },
  );
});

test("another secret is a change of its server, and is not told", async () => {
  const other = "another-horse-battery-staple";
  await withRegistry(
    async (registry) => {
      const text = FILE.replace("name: Demo", "name: Other").replace("risk: HIGH", "risk: CRITICAL");
      await registry.writeFile(text);
      const made = await changes(1);
      expect(made).toMatchObject([
        { ...SERVER, change: "updated", reason: "a value that is not shown is another one" },
      ]);
      expect(made[0]!.before).toEqual(made[0]!.after);
      expect(JSON.stringify(made)).not.toContain(other);
    },
    {
      text: FILE.replace("name: Demo", "name: Other").replace("risk: HIGH", "risk: CRITICAL"),
      env: { ...ENV, NOTES_TOKEN: other },
    },
  );
});

test("a restart says who has asked for it; one that is refused says nothing", async () => {
  const text = `${FILE}  - { id: spare, group: demo, type: command, command: spare-server, enabled: false }\n`;
  await withRegistry(
    async (registry) => {
      await changes(1);
      for (const id of ["spare", "unknown"]) await expect(registry.restart(id)).rejects.toThrow(id);
      await registry.restart("notes");
      await eventually(() => {
        const restarts = recorded().filter(({ change }) => change === "restarted");
        expect(restarts).toEqual([{ ...SERVER, change: "restarted", principal: "tester", address: "192.0.2.7" }]);
      });
    },
    { text },
  );
});

test("what is gone is on the record as it was", async () => {
  await withRegistry(
    async () => {
      const made = await changes(3);
      const gone = made.filter(({ change }) => change === "deleted");
      expect(new Set(gone.map(({ name }) => name))).toEqual(new Set(["notes", "notes:write", "spare"]));
      expect(gone.find(({ name }) => name === "notes")).toMatchObject({ before: { type: "command" } });
      expect(gone.every(({ after }) => after === undefined)).toBe(true);
    },
    { text: "groups: [{ id: demo, name: Demo }]\n" },
  );
});
