import { useInfrastructure } from "@tollgate/testkit";
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
afterEach(() => registry.close());

describe("a restart that is asked for", () => {
  test("counts, reaches runners and gateways, and leaves what is known of the server", async () => {
    const catalogue = registry.watchCatalogue();
    const work = registry.watchAssignments();
    await registry.reportTools("echo", ["echo"]);
    const before = await catalogue.until((last) => expect(toolNames(last, "echo")).toEqual(["echo"]));
    const assigned = await work.until(() => undefined);

    const { generation } = serverIn(before, "echo");
    const restarted = await registry.restart("echo");
    expect(restarted).toEqual({ generation: generation + 1n, revision: before.revision + 1n });
    const after = await catalogue.until((last) => expect(last.revision).toBe(restarted.revision));
    expect(serverIn(after, "echo")).toEqual({ ...serverIn(before, "echo"), generation: restarted.generation });
    expect(serverIn(after, "echo").status).toBe("ready");
    expect(serverIn(after, "notes")).toEqual(serverIn(before, "notes"));
    const next = await work.until((last) => expect(assignmentIn(last, "echo").generation).toBe(restarted.generation));
    expect(next.assignments).toEqual(
      assigned.assignments.map((each) =>
        each.serverId === "echo" ? { ...each, generation: restarted.generation } : each,
      ),
    );
    // Reports go on under the same spec.
    await registry.reportTools("echo", ["echo", "again"]);
    await catalogue.until((last) => expect(toolNames(last, "echo")).toEqual(["echo", "again"]));
  });

  test("tells runners of other groups nothing new", async () => {
    const office = registry.watchAssignments(["office"]);
    const demo = registry.watchAssignments(["demo"]);
    await office.until(() => undefined);
    const { generation } = await registry.restart("echo");
    await demo.until((last) => expect(assignmentIn(last, "echo").generation).toBe(generation));
    expect(new Set(office.received.map(({ assignments }) => JSON.stringify(assignments, bigints)))).toHaveProperty(
      "size",
      1,
    );
  });

  test("of many at once each counts", async () => {
    const { generation: before } = serverIn(await registry.watchCatalogue().until(() => undefined), "echo");
    const answers = await Promise.all(Array.from({ length: 8 }, () => registry.restart("echo")));
    expect(answers.map(({ generation }) => generation - before).toSorted((a, b) => Number(a - b))).toEqual(
      Array.from({ length: 8 }, (_each, index) => BigInt(index + 1)),
    );
  });

  test("holds for the watchers of every replica, and over a restart of the registry", async () => {
    const other = await runRegistry(infra);
    const work = other.watchAssignments();
    const catalogue = other.watchCatalogue();
    await work.until(() => undefined);
    const { generation } = await registry.restart("notes");
    await work.until((last) => expect(assignmentIn(last, "notes").generation).toBe(generation));
    await catalogue.until((last) => expect(serverIn(last, "notes").generation).toBe(generation));
    await other.close();

    const later = await runRegistry(infra);
    const first = await later.watchAssignments().until(() => undefined);
    expect(assignmentIn(first, "notes").generation).toBe(generation);
    await later.close();
  });

  test("stays counted when the spec changes; a server that went and came back begins anew", async () => {
    const { generation } = await registry.restart("notes");
    const work = registry.watchAssignments();
    await registry.writeFile(TWO_GROUPS.replace("notes@1.2.3", "notes@1.2.4"));
    await work.until((last) => {
      expect(assignmentIn(last, "notes").command).toBe("@example/notes@1.2.4");
      expect(assignmentIn(last, "notes").generation).toBe(generation);
    });
    await registry.writeFile(TWO_GROUPS.replace(/ {2}- id: notes[^]*?startup_timeout: 5\n/, ""));
    await work.until((last) => expect(last.assignments).toHaveLength(1));
    await registry.writeFile(TWO_GROUPS);
    await work.until((last) => expect(assignmentIn(last, "notes").generation).toBe(0n));
  });

  test.each([
    ["nobody", "not_found", 'there is no server "nobody"'],
    ["", "not_found", 'there is no server ""'],
    ["spare", "failed_precondition", 'server "spare" is disabled'],
  ])("of %j is refused and changes nothing", async (id, code, message) => {
    const catalogue = registry.watchCatalogue();
    const before = await catalogue.until(() => undefined);
    await expect(registry.restart(id)).rejects.toMatchObject({ code, message });
    const other = await runRegistry(infra);
    expect(await other.watchCatalogue().until(() => undefined)).toEqual(before);
    await other.close();
  });
});

function bigints(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}
