import { rename, symlink, unlink, writeFile } from "node:fs/promises";
import { registryV1 } from "@tollgate/contracts";
import { eventually, useInfrastructure } from "@tollgate/testkit";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  hashOf,
  REMOTE,
  runRegistry,
  type RunningRegistry,
  SECRET,
  serverIn,
  toolNames,
  TWO_GROUPS,
} from "./running-registry.ts";

const infra = useInfrastructure();
let registry: RunningRegistry;

beforeEach(async () => {
  registry = await runRegistry(infra);
});
afterEach(() => registry.close());

describe("the configuration file", () => {
  test("becomes the catalogue, in its order, without commands and environments", async () => {
    const catalogue = await registry.watchCatalogue().until(() => undefined);
    expect(catalogue.groups).toEqual([
      { id: "demo", name: "Demo" },
      { id: "office", name: "office" },
    ]);
    expect(catalogue.servers).toMatchObject([
      { id: "echo", name: "echo", group: "demo", type: "command", enabled: true, status: "pending", tools: [] },
      { id: "notes", name: "Notes", group: "office", type: "npx", enabled: true, status: "pending", reportedAtMs: 0n },
      { id: "spare", enabled: false, status: "disabled" },
    ]);
    const text = JSON.stringify(catalogue, (_key, value: unknown) =>
      typeof value === "bigint" ? String(value) : value,
    );
    expect(text).not.toContain(SECRET);
    expect(text).not.toContain("@example/notes");
  });

  test("becomes assignments, resolved; a disabled server has none", async () => {
    const all = await registry.watchAssignments().until(() => undefined);
    expect(all.groups).toEqual(["demo", "office"]);
    expect(all.assignments.map(({ serverId }) => serverId)).toEqual(["echo", "notes"]);
    expect(all.assignments[1]).toMatchObject({
      name: "Notes",
      group: "office",
      type: "npx",
      command: "@example/notes@1.2.3",
      args: [`--token=${SECRET}`],
      env: { NOTES_TOKEN: SECRET, MODE: "test" },
      startupTimeoutMs: 5_000,
      specHash: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    const office = await registry.watchAssignments(["office"]).until(() => undefined);
    expect(office.groups).toEqual(["office"]);
    expect(office.assignments.map(({ serverId }) => serverId)).toEqual(["notes"]);
  });

  test("tells runners of a remote server's url and headers, and gateways only what it may learn of clients", async () => {
    await registry.writeFile(TWO_GROUPS + REMOTE);
    const catalogue = await registry.watchCatalogue().until((last) => serverIn(last, "tickets"));
    expect(serverIn(catalogue, "tickets")).toMatchObject({
      type: "remote",
      status: "pending",
      clientCapabilities: ["elicitation"],
      sessionContext: true,
    });
    expect(serverIn(catalogue, "echo")).toMatchObject({
      clientCapabilities: ["sampling", "elicitation", "roots", "tasks"],
      sessionContext: false,
    });
    expect(registryV1.WatchCatalogueResponse.encode(catalogue).finish().toString()).not.toContain("tickets.example");
    const work = await registry.watchAssignments().until((last) => hashOf(last, "tickets"));
    expect(work.assignments.at(-1)).toMatchObject({
      type: "remote",
      command: "",
      url: `https://tickets.example/mcp?key=${SECRET}`,
      transport: "auto",
      headers: { Authorization: `Bearer ${SECRET}` },
      clientCapabilities: ["elicitation"],
      sessionContext: true,
    });
    expect(work.assignments[0]).toMatchObject({ url: "", transport: "", headers: {} });

    const watched = registry.watchCatalogue();
    await registry.writeFile(TWO_GROUPS + REMOTE.replace("[elicitation]", "[]"));
    await watched.until((last) => expect(serverIn(last, "tickets").clientCapabilities).toEqual([]));
  });

  test("with mistakes keeps a service from starting, and says where", async () => {
    const text = TWO_GROUPS.replace(
      "group: demo, type: command, command: echo-server",
      "group: demo, type: comand, command: echo-server",
    );
    await expect(runRegistry(infra, { text })).rejects.toThrow(/tollgate\.yaml:\d+:\d+: mcp_servers\[0\]\.type/);
    await expect(runRegistry(infra, { env: {} })).rejects.toThrow("NOTES_TOKEN");
    await expect(runRegistry(infra, { file: "/nowhere/tollgate.yaml" })).rejects.toThrow(
      "/nowhere/tollgate.yaml cannot be read",
    );
  });

  test("asks nothing of the variables that only policy needs", async () => {
    const tokens = "control_plane: { auth: { tokens: [{ name: dev, token: '${NOT_HERE}' }] } }";
    const other = await runRegistry(infra, { text: tokens + TWO_GROUPS });
    expect((await other.watchAssignments().until(() => undefined)).assignments).toHaveLength(2);
    await other.close();
  });
});

describe("a change of the file", () => {
  test("reaches open watches; servers that are gone take their tools along", async () => {
    const catalogue = registry.watchCatalogue();
    const work = registry.watchAssignments();
    await registry.reportTools("notes", ["read", "write"]);
    await registry.reportTools("echo", ["echo"]);
    const before = await catalogue.until((last) => expect(toolNames(last, "echo")).toEqual(["echo"]));

    await registry.writeFile(
      TWO_GROUPS.replace("enabled: false", "enabled: true").replace(/ {2}- id: notes[^]*?startup_timeout: 5\n/, ""),
    );
    const after = await catalogue.until((last) => expect(last.servers.map(({ id }) => id)).toEqual(["echo", "spare"]));
    expect(after.revision).toBeGreaterThan(before.revision);
    expect(serverIn(after, "spare").status).toBe("pending");
    expect(serverIn(after, "echo")).toEqual(serverIn(before, "echo"));
    await work.until((last) => expect(last.assignments.map(({ serverId }) => serverId)).toEqual(["echo", "spare"]));
    const late = registry.report({ serverId: "notes", status: "unavailable", reason: "stopped" });
    await expect(late).rejects.toMatchObject({ code: "not_found", message: 'there is no server "notes"' });
  });

  test("of a spec makes its server pending and drops its tools; the others stay", async () => {
    const catalogue = registry.watchCatalogue();
    const work = registry.watchAssignments();
    await registry.reportTools("notes", ["read"]);
    await registry.reportTools("echo", ["echo"]);
    await catalogue.until((last) => expect(toolNames(last, "echo")).toEqual(["echo"]));
    const old = hashOf(work.received.at(-1)!, "notes");

    await registry.writeFile(TWO_GROUPS.replace("notes@1.2.3", "notes@1.2.4"));
    const after = await catalogue.until((last) => expect(serverIn(last, "notes").status).toBe("pending"));
    expect(serverIn(after, "notes")).toMatchObject({ tools: [], era: "", reportedAtMs: 0n });
    expect(toolNames(after, "echo")).toEqual(["echo"]);
    await work.until((last) => expect(hashOf(last, "notes")).not.toBe(old));
    const outdated = registry.report({ serverId: "notes", specHash: old, status: "unavailable", reason: "killed" });
    await expect(outdated).rejects.toMatchObject({
      code: "failed_precondition",
      message: expect.stringContaining("outdated"),
    });
  });

  test("with a mistake changes nothing until it is mended", async () => {
    const catalogue = registry.watchCatalogue();
    const { revision } = await catalogue.until(() => undefined);
    await registry.writeFile("groups: [}");
    await eventually(async () => expect(await metric("tollgate_registry_file_valid")).toBe("0"));
    expect(catalogue.received.map((each) => each.revision)).toEqual([revision]);
    await registry.writeFile(TWO_GROUPS.replace("name: Demo", "name: Demonstration"));
    await catalogue.until((last) => expect(last.groups[0]).toEqual({ id: "demo", name: "Demonstration" }));
    expect(await metric("tollgate_registry_file_valid")).toBe("1");
  });

  test("is seen through a rename and through a symbolic link", async () => {
    const catalogue = registry.watchCatalogue();
    for (const name of ["One", "Two"]) {
      await writeFile(`${registry.file}.${name}`, TWO_GROUPS.replace("name: Demo", `name: ${name}`));
      if (name === "One") await rename(`${registry.file}.${name}`, registry.file);
      else await unlink(registry.file).then(() => symlink(`${registry.file}.${name}`, registry.file));
      await catalogue.until((last) => expect(last.groups[0]?.name).toBe(name));
    }
  });

  test("that switches a server off and on again keeps its tools", async () => {
    const catalogue = registry.watchCatalogue();
    const work = registry.watchAssignments();
    await registry.reportTools("echo", ["echo"]);
    const hash = hashOf(await work.until(() => undefined), "echo");
    await registry.writeFile(TWO_GROUPS.replace("args: [--verbose]", "args: [--verbose], enabled: false"));
    const off = await catalogue.until((last) => expect(serverIn(last, "echo").status).toBe("disabled"));
    expect(toolNames(off, "echo")).toEqual(["echo"]);
    await work.until((last) => expect(last.assignments.map(({ serverId }) => serverId)).toEqual(["notes"]));
    const report = registry.report({ serverId: "echo", specHash: hash, status: "unavailable", reason: "stopped" });
    await expect(report).rejects.toMatchObject({ code: "failed_precondition", message: 'server "echo" is disabled' });

    await registry.writeFile(TWO_GROUPS);
    const on = await catalogue.until((last) => expect(serverIn(last, "echo").status).toBe("pending"));
    expect(toolNames(on, "echo")).toEqual(["echo"]);
  });

  test("that means the same moves no revision and wakes no runner", async () => {
    const catalogue = registry.watchCatalogue();
    const work = registry.watchAssignments();
    await work.until(() => undefined);
    await registry.writeFile(`# a comment\n${TWO_GROUPS}`);
    await registry.writeFile(`${TWO_GROUPS}# and another\n`);
    await registry.writeFile(TWO_GROUPS.replace("{ id: office }", "{ id: office, name: Office }"));
    await catalogue.until((last) => expect(last.groups[1]?.name).toBe("Office"));
    expect(catalogue.received).toHaveLength(2);
    expect(work.received).toHaveLength(1);
  });
});

async function metric(name: string): Promise<string | undefined> {
  const text = await (await fetch(`http://127.0.0.1:${registry.httpPort}/metrics`)).text();
  return text
    .split("\n")
    .find((line) => line.startsWith(`${name} `))
    ?.split(" ")[1];
}
