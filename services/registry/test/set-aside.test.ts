import { eventually, useInfrastructure } from "@tollgate/testkit";
import pg from "pg";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { assignmentIn, runRegistry, type RunningRegistry, serverIn, TWO_GROUPS } from "./running-registry.ts";

const infra = useInfrastructure();
let registry: RunningRegistry;

beforeEach(async () => {
  registry = await runRegistry(infra);
});
afterEach(async () => {
  await registry.close();
  const client = new pg.Client({ connectionString: infra.databaseUrl("registry") });
  await client.connect();
  await client.query("TRUNCATE registry.entries");
  await client.end();
});

const NEW = { group: "demo", type: "command", command: "new-server" };
const DEMO = "groups: [{ id: demo }]\nmcp_servers:\n  - { id: echo, group: demo, type: command, command: echo }\n";
const idsInForce = async () =>
  (await registry.watchCatalogue().until(() => undefined)).servers.map(({ id }) => id).toSorted();
const problems = async () => (await registry.listEntries()).filter(({ problem }) => problem !== "");
type Options = NonNullable<Parameters<typeof runRegistry>[1]>;

async function reopen(options: Options): Promise<void> {
  await registry.close();
  registry = await runRegistry(infra, options);
}

describe("what the API says and does not go together with the file when the registry starts", () => {
  test("is set aside, said with its reason, and in force again once it fits", async () => {
    await registry.put("server", "new", { ...NEW, group: "office" });
    await registry.put("server", "other", NEW);
    await reopen({ text: DEMO });
    const problem = 'server "new": group is not the id of a group; there are demo';
    expect(await idsInForce()).toEqual(["echo", "other"]);
    expect(await problems()).toMatchObject([{ id: "new", source: "api", drift: "added", problem, version: 1n }]);
    expect(await registry.drift()).toMatchObject([
      { id: "new", drift: "added", problem },
      { id: "other", drift: "added", problem: "" },
    ]);
    // The others go on being changed, and the file with them.
    await registry.put("server", "third", NEW);
    await registry.writeFile(DEMO.replace("{ id: demo }", "{ id: demo, name: Demo }"));
    await registry.watchCatalogue().until((last) => expect(last.groups[0]?.name).toBe("Demo"));
    expect(await idsInForce()).toEqual(["echo", "other", "third"]);
    expect(await problems()).toHaveLength(1);
    await registry.put("group", "office", {});
    expect(await idsInForce()).toEqual(["echo", "new", "other", "third"]);
    expect(await problems()).toEqual([]);
  });

  test("can be changed and taken away; what is changed has to fit", async () => {
    for (const id of ["a", "b"]) await registry.put("server", id, { ...NEW, group: "office" });
    await reopen({ text: DEMO });
    expect(await problems()).toHaveLength(2);
    const again = registry.put("server", "a", { ...NEW, group: "office", args: ["--x"] });
    await expect(again).rejects.toMatchObject({
      code: "invalid_argument",
      details: { mistakes: ['server "a": group is not the id of a group; there are demo'] },
    });
    await registry.put("server", "a", NEW);
    await registry.remove("server", "b");
    expect(await idsInForce()).toEqual(["a", "echo"]);
    expect(await problems()).toEqual([]);
  });

  test("leaves the file's word in force: of a variable that is gone, and of what the file needs again", async () => {
    const env = { NOTES_TOKEN: "some-token", HOME_PROXY: "proxy.example" };
    await reopen({ env });
    await registry.put("server", "echo", { ...NEW, env: { A: "${HOME_PROXY}" } });
    await registry.remove("server", "notes");
    await registry.remove("server", "spare");
    await registry.remove("group", "office");
    const later = `${TWO_GROUPS}  - { id: desk, group: office, type: command, command: desk }\n`;
    await reopen({ text: later });
    expect(await idsInForce()).toEqual(["desk", "echo"]);
    expect(await problems()).toMatchObject([
      { kind: "group", id: "office", drift: "removed", problem: expect.stringContaining("mcp_servers[3].group") },
      { kind: "server", id: "echo", source: "file", problem: 'server "echo": env.A the environment has no HOME_PROXY' },
    ]);
    const work = await registry.watchAssignments().until(() => undefined);
    expect(assignmentIn(work, "echo").command).toBe("echo-server");
    // It is the document's that is checked with what is in force, not what is set aside.
    expect((await registry.reconcile("groups: [{ id: lab }]")).changes).toHaveLength(1);
    await reopen({ text: later, env });
    expect(assignmentIn(await registry.watchAssignments().until(() => undefined), "echo").command).toBe("new-server");
  });

  test("is set aside where its plain values cannot be opened any more", async () => {
    await registry.put("server", "new", { ...NEW, env: { KEY: "in-plain-text" } });
    await reopen({ secretKeys: `other:${Buffer.alloc(32, 7).toString("base64url")}` });
    expect(await idsInForce()).toEqual(["echo", "notes", "spare"]);
    const [entry] = await problems();
    expect(entry).toMatchObject({ id: "new", problem: expect.stringContaining("cannot be opened") });
    expect(JSON.parse(entry!.entry)).toMatchObject({ env: { KEY: "(hidden)" } });
    expect((await registry.drift())[0]).toMatchObject({ id: "new", problem: entry!.problem });
    await expect(registry.put("server", "new", { ...NEW, env: { KEY: "(hidden)" } })).rejects.toThrow(/\(hidden\)/);
    await registry.put("server", "new", { ...NEW, env: { KEY: "another" } });
    expect(await problems()).toEqual([]);
  });

  test("is set aside by the replica that goes on as well, once another has started with the file", async () => {
    await registry.put("server", "new", { ...NEW, group: "office" });
    await registry.writeFile(DEMO);
    const other = await runRegistry(infra, { text: DEMO });
    try {
      await eventually(async () => expect(await problems()).toMatchObject([{ id: "new" }]));
      await registry.watchAssignments().until((last) => expect(last.assignments).toHaveLength(1));
      await eventually(async () => expect((await registry.put("server", "more", NEW)).created).toBe(true));
      expect(serverIn(await other.watchCatalogue().until((last) => serverIn(last, "more")), "more").group).toBe("demo");
    } finally {
      await other.close();
    }
  });

  test("does not save a file with mistakes of its own", async () => {
    await registry.put("server", "new", { ...NEW, group: "office" });
    const wrong = runRegistry(infra, { text: DEMO.replace("command: echo }", "comand: echo }") });
    await expect(wrong).rejects.toThrow(/comand is not a known key/);
  });
});
