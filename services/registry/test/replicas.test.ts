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

describe("a change through another replica", () => {
  const infra = useInfrastructure();

  test("is told as what has changed, to those who take it so, and long before anybody would have looked", async () => {
    const [a, b] = await Promise.all([runRegistry(infra), runRegistry(infra)]);
    try {
      await a.reportTools("notes", ["read"]);
      const whole = b.watchCatalogue();
      await whole.until((first) => expect(toolNames(first, "notes")).toEqual(["read"]));
      // Not before it has heard of that: the first message is whole, and what comes later is not.
      const deltas = b.watchCatalogue(true);
      await deltas.until(() => undefined);
      const [first] = deltas.received;
      expect(first).toMatchObject({ delta: false });
      expect(whole.received).toContainEqual(first);
      const revisions: bigint[] = [];
      const times: number[] = [];
      for (let turn = 0; turn < 5; turn++) {
        const began = performance.now();
        const revision = await a.reportTools("echo", [`echo-${turn}`]);
        revisions.push(revision);
        const last = await deltas.until((each) => expect(each.revision).toBe(revision));
        times.push(performance.now() - began);
        expect(last.delta).toBe(true);
        expect(last.servers.map(({ id }) => id)).toEqual(["echo"]);
        expect(last.serverIds).toEqual(["echo", "notes", "spare"]);
        const all = await whole.until((each) => expect(each.revision).toBe(revision));
        expect(all.delta).toBe(false);
        expect(serverIn(all, "echo")).toEqual(serverIn(last, "echo"));
      }
      // What may have come beside them is of no other revision.
      expect(new Set(deltas.received.slice(1).map(({ revision }) => revision))).toEqual(new Set(revisions));
      // Whoever looks once a second has just looked when it has seen the change before: the next one takes the whole second.
      expect(Math.min(...times.slice(1))).toBeLessThan(800);
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
