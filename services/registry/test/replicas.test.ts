import { useInfrastructure } from "@tollgate/testkit";
import { describe, expect, test } from "vitest";
import { runRegistry, serverIn, toolNames, TWO_GROUPS } from "./running-registry.ts";

describe("two instances", () => {
  const infra = useInfrastructure();

  test("start at once on an empty database and share what is reported to either", async () => {
    const [a, b] = await Promise.all([runRegistry(infra), runRegistry(infra)]);
    try {
      const watched = b.watchCatalogue();
      const first = await watched.until(() => undefined);
      expect(first.revision).toBe(1n);
      const revision = await a.reportTools("echo", ["echo"]);
      const last = await watched.until((each) => expect(toolNames(each, "echo")).toEqual(["echo"]));
      expect(last.revision).toBe(revision);
    } finally {
      await Promise.all([a.close(), b.close()]);
    }
  });
});

describe("a restart", () => {
  const infra = useInfrastructure();

  test("serves the tools of the last run at once, and of a changed spec none", async () => {
    const before = await runRegistry(infra);
    await before.reportTools("echo", ["echo"]);
    const revision = await before.reportTools("notes", ["read", "write"]);
    const old = await before.watchCatalogue().until((last) => expect(last.revision).toBe(revision));
    await before.close();

    const same = await runRegistry(infra);
    const first = await same.watchCatalogue().until(() => undefined);
    expect(first).toEqual(old);
    expect(serverIn(first, "notes").status).toBe("ready");
    await same.close();

    const changed = await runRegistry(infra, { text: TWO_GROUPS.replace("MODE: test", "MODE: live") });
    const after = await changed.watchCatalogue().until(() => undefined);
    expect(serverIn(after, "notes")).toMatchObject({ status: "pending", tools: [] });
    expect(serverIn(after, "echo")).toEqual(serverIn(old, "echo"));
    await changed.close();

    // What a variable stands for is part of the spec too, though only its name is in the file.
    const back = await runRegistry(infra);
    await back.reportTools("notes", ["read"]);
    await back.close();
    const rotated = await runRegistry(infra, { env: { NOTES_TOKEN: "another-secret" } });
    expect(serverIn(await rotated.watchCatalogue().until(() => undefined), "notes").status).toBe("pending");
    await rotated.close();
  });
});
