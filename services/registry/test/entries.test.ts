import { eventually, useInfrastructure } from "@tollgate/testkit";
import pg from "pg";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  assignmentIn,
  runRegistry,
  type RunningRegistry,
  serverIn,
  toolNames,
  TWO_GROUPS,
} from "./running-registry.ts";

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
const idsIn = (last: { servers: readonly { id: string }[] }) => last.servers.map(({ id }) => id);
const shown = async (kind: string, id: string) =>
  JSON.parse((await registry.listEntries(kind, id))[0]!.entry) as object;

async function reopen(text?: string): Promise<void> {
  await registry.close();
  registry = await runRegistry(infra, text === undefined ? {} : { text });
}

describe("an entry of the API", () => {
  test("is in force at once, with the file's defaults, and says from where it is", async () => {
    const catalogue = registry.watchCatalogue();
    const work = registry.watchAssignments();
    const put = await registry.put("server", "new", { ...NEW, args: ["--x"] });
    expect(put).toMatchObject({ created: true, entry: { source: "api", drift: "added", fileEntry: "", version: 1n } });
    const last = await catalogue.until((each) => expect(idsIn(each)).toEqual(["echo", "notes", "spare", "new"]));
    expect(serverIn(last, "new")).toMatchObject({ status: "pending", poolMode: "multiplexed", risk: "LOW" });
    await work.until((each) =>
      expect(assignmentIn(each, "new")).toMatchObject({ args: ["--x"], startupTimeoutMs: 60_000 }),
    );
    await registry.reportTools("new", ["tool"]);
    await catalogue.until((each) => expect(toolNames(each, "new")).toEqual(["tool"]));
    expect(await registry.drift()).toMatchObject([
      { kind: "server", id: "new", drift: "added", fileEntry: "", updatedBy: "token:admin" },
    ]);
  });

  test("of each kind can be made, changed and taken away", async () => {
    const catalogue = registry.watchCatalogue();
    await registry.put("group", "lab", { name: "Lab" });
    await registry.put("server", "bench", { ...NEW, group: "lab" });
    await registry.put("tool_set", "shop", { tools: ["bench:*", "group:demo"], repositories: ["github.com/acme/*"] });
    await registry.put("tenant", "acme", { plan: "default" });
    await catalogue.until((last) => {
      expect(last.groups.map(({ id }) => id)).toEqual(["demo", "office", "lab"]);
      expect(last.toolSets).toMatchObject([{ id: "shop", name: "shop", repositories: ["github.com/acme/*"] }]);
      expect(last.tenants.map(({ id }) => id)).toEqual(["", "acme"]);
    });
    const again = await registry.put("group", "lab", { name: "Laboratory" });
    expect(again).toMatchObject({ created: false, entry: { version: 2n } });
    for (const [kind, id] of [
      ["tool_set", "shop"],
      ["server", "bench"],
      ["group", "lab"],
      ["tenant", "acme"],
    ] as const)
      await registry.remove(kind, id);
    await catalogue.until((last) => {
      expect([last.groups.length, last.toolSets, last.tenants.length]).toEqual([2, [], 1]);
      expect(idsIn(last)).toEqual(["echo", "notes", "spare"]);
    });
    expect(await registry.drift()).toEqual([]);
    await expect(registry.remove("group", "lab")).rejects.toMatchObject({ code: "not_found" });
    // Its version goes on, so that an ETag never means two things.
    expect((await registry.put("group", "lab", {})).entry?.version).toBe(4n);
  });

  test("with mistakes changes nothing, and each is told", async () => {
    const before = await registry.listEntries();
    const put = registry.put("server", "new", { group: "gone", type: "command", comand: "x" });
    await expect(put).rejects.toMatchObject({
      code: "invalid_argument",
      details: {
        mistakes: [
          'server "new": group is not the id of a group; there are demo, office',
          'server "new": command is missing',
          'server "new": comand is not a known key; is "command" meant?',
        ],
      },
    });
    for (const [entry, message] of [
      [{ ...NEW, id: "other" }, 'id has to be "new"'],
      [{ ...NEW, args: ["\0"] }, "holds a NUL"],
      [{ ...NEW, args: ["\ud800"] }, "half a character"],
      [{ ...NEW, env: { A: "${TOLLGATE_SERVICE_KEY}" } }, "names TOLLGATE_SERVICE_KEY"],
      [{ ...NEW, working_dir: "here" }, "working_dir has to be absolute"],
      [{ ...NEW, env: { A: "(hidden)" } }, 'env.A is "(hidden)", and nothing was there before'],
      [{ ...NEW, args: Array.from({ length: 70 }).reduce<unknown>((inner) => [inner], "deep") }, "nested more than"],
    ] as const)
      await expect(registry.put("server", "new", entry)).rejects.toMatchObject({
        code: "invalid_argument",
        message: expect.stringContaining(message),
      });
    await expect(registry.put("plan", "gold", {})).rejects.toMatchObject({ code: "invalid_argument" });
    expect(await registry.listEntries()).toEqual(before);
  });

  test("that others need stays, and whoever needs it is named", async () => {
    await expect(registry.remove("group", "demo")).rejects.toMatchObject({
      code: "failed_precondition",
      message: expect.stringMatching(
        /^group "demo" is still needed: .*mcp_servers\[0\]\.group is not the id of a group/,
      ),
    });
    await registry.put("tool_set", "shop", { tools: ["notes:*"] });
    await expect(registry.remove("server", "notes")).rejects.toMatchObject({
      message: 'server "notes" is still needed: tool set "shop": tools[0] names the server notes, which is not there',
    });
  });

  test("is changed only from the version that was meant", async () => {
    const { entry } = await registry.put("server", "new", NEW, { createOnly: true });
    await expect(registry.put("server", "new", NEW, { createOnly: true })).rejects.toMatchObject({
      code: "already_exists",
    });
    const stale = { ...NEW, args: ["stale"] };
    await registry.put("server", "new", { ...NEW, args: ["newer"] }, { ifVersion: entry!.version });
    await expect(registry.put("server", "new", stale, { ifVersion: entry!.version })).rejects.toMatchObject({
      code: "failed_precondition",
      details: { version: 2 },
    });
    await expect(registry.remove("server", "new", { ifVersion: 1n })).rejects.toMatchObject({
      details: { version: 2 },
    });
    await expect(registry.remove("server", "gone", { ifVersion: 1n })).rejects.toMatchObject({
      details: { version: 0 },
    });
    // The same again is no change.
    expect((await registry.put("server", "new", { args: ["newer"], ...NEW })).entry?.version).toBe(2n);
  });
});

describe("the API's word over the file's", () => {
  const ECHO = { group: "demo", type: "command", command: "echo-server", args: ["--quiet"] };

  test("survives restarts and other changes of the file, and is drift", async () => {
    await registry.put("server", "echo", ECHO);
    await registry.remove("server", "spare");
    const drift = [
      { kind: "server", id: "echo", drift: "changed" },
      { kind: "server", id: "spare", drift: "removed", entry: "" },
    ];
    expect(await registry.drift()).toMatchObject(drift);
    await reopen(TWO_GROUPS.replace("name: Demo", "name: Another"));
    expect(await registry.drift()).toMatchObject(drift);
    const last = await registry.watchCatalogue().until((each) => expect(each.groups[0]?.name).toBe("Another"));
    expect(idsIn(last)).toEqual(["echo", "notes"]);
    const work = await registry.watchAssignments().until(() => undefined);
    expect(assignmentIn(work, "echo").args).toEqual(["--quiet"]);
    expect(JSON.parse((await registry.drift())[0]!.fileEntry)).toMatchObject({ args: ["--verbose"] });
  });

  test.each([
    ["changes it", "args: [--verbose]", "args: [--verbose, --more]", ["--verbose", "--more"]],
    [
      "takes it away",
      "- { id: echo, group: demo, type: command, command: echo-server, args: [--verbose] }",
      "",
      undefined,
    ],
  ])("ends when the file %s", async (_what, text, next, args) => {
    await registry.put("server", "echo", ECHO);
    const catalogue = registry.watchCatalogue();
    await registry.writeFile(TWO_GROUPS.replace(text, next));
    await eventually(async () => expect(await registry.drift()).toEqual([]));
    const last = await catalogue.until((each) => expect(idsIn(each).includes("echo")).toBe(args !== undefined));
    if (args === undefined) return;
    expect(serverIn(last, "echo").status).toBe("pending");
    await registry.watchAssignments().until((each) => expect(assignmentIn(each, "echo").args).toEqual(args));
  });

  test("ends when the file says what the API has added", async () => {
    await registry.put("server", "new", NEW);
    const added = "  - { id: new, group: demo, type: command, command: from-the-file }\n";
    await registry.writeFile(TWO_GROUPS + added);
    await eventually(async () => expect(await shown("server", "new")).toMatchObject({ command: "from-the-file" }));
    expect(await registry.drift()).toEqual([]);
  });

  test("ends when it is the same as the file's, whatever the order of keys", async () => {
    await registry.put("server", "echo", ECHO);
    await registry.put("server", "echo", {
      args: ["--verbose"],
      command: "echo-server",
      group: "demo",
      type: "command",
    });
    expect(await registry.drift()).toEqual([]);
    expect((await registry.listEntries("server", "echo"))[0]).toMatchObject({ source: "file", drift: "", version: 3n });
    await registry.remove("server", "echo");
    await registry.put("server", "echo", { ...ECHO, args: ["--verbose"] });
    expect(await registry.drift()).toEqual([]);
  });

  test("keeps a file from being taken that does not go together with it, until one of them changes", async () => {
    await registry.put("server", "new", { ...NEW, group: "office" });
    const catalogue = registry.watchCatalogue();
    await registry.writeFile("groups: [{ id: demo, name: New }]");
    await eventually(async () => expect(await metric("tollgate_registry_file_valid")).toBe("0"));
    const last = await catalogue.until(() => undefined);
    expect(last.groups.map(({ id }) => id)).toEqual(["demo", "office"]);
    await registry.remove("server", "new");
    await catalogue.until((each) => expect(each.groups).toEqual([{ id: "demo", name: "New" }]));
    expect(await metric("tollgate_registry_file_valid")).toBe("1");
  });
});

async function metric(name: string): Promise<string | undefined> {
  const text = await (await fetch(`http://127.0.0.1:${registry.httpPort}/metrics`)).text();
  return new RegExp(`^${name} (.*)$`, "m").exec(text)?.[1];
}
