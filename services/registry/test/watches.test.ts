import { eventually, useInfrastructure } from "@tollgate/testkit";
import { Client } from "pg";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { hashOf, runRegistry, type RunningRegistry, serverIn, toolNames } from "./running-registry.ts";

const infra = useInfrastructure();
let registry: RunningRegistry;

beforeEach(async () => {
  registry = await runRegistry(infra);
});
afterEach(() => registry.close());

describe("watches", () => {
  test("a slow reader skips to the newest snapshot while others get on", async () => {
    const changes = 40;
    const padding = "x".repeat(200_000);
    const hash = hashOf(await registry.watchAssignments().until(() => undefined), "echo");
    const slow = registry.watchCatalogue();
    const quick = registry.watchCatalogue();
    await slow.until(() => undefined);
    slow.stream.pause();
    let revision = 0n;
    for (let index = 0; index < changes; index++) {
      const toolDefinitions = [JSON.stringify({ name: `t${index}`, inputSchema: {}, description: padding })];
      revision = await registry.report({ serverId: "echo", specHash: hash, status: "ready", toolDefinitions });
    }
    await quick.until((last) => expect(last.revision).toBe(revision));
    slow.stream.resume();
    await slow.until((last) => expect(toolNames(last, "echo")).toEqual([`t${changes - 1}`]));
    expect(slow.received.length).toBeLessThan(changes / 2);
    expect(slow.received.map((each) => each.revision)).toEqual(
      slow.received.map((each) => each.revision).toSorted((a, b) => Number(a - b)),
    );
  });

  test("are counted, and forgotten when their readers leave", async () => {
    const count = async (): Promise<string | undefined> => {
      const text = await (await fetch(`http://127.0.0.1:${registry.httpPort}/metrics`)).text();
      return /^tollgate_registry_watchers (\d+)$/m.exec(text)?.[1];
    };
    const watches = [registry.watchCatalogue(), registry.watchCatalogue(), registry.watchAssignments()];
    await eventually(async () => expect(await count()).toBe("3"));
    for (const { stream } of watches) stream.cancel();
    await eventually(async () => expect(await count()).toBe("0"));
  });

  test("end when the service stops", async () => {
    const other = await runRegistry(infra, { file: registry.file });
    const { stream } = other.watchCatalogue();
    const ended = new Promise((resolve) => stream.once("end", () => resolve("ended")));
    await other.watchAssignments().until(() => undefined);
    const closing = other.close();
    expect(await ended).toBe("ended");
    await closing;
  });

  test("outlive the database; readiness tells of it", async () => {
    const readiness = async (): Promise<unknown> =>
      (await fetch(`http://127.0.0.1:${registry.httpPort}/readyz`)).json();
    const hash = hashOf(await registry.watchAssignments().until(() => undefined), "echo");
    const database = new URL(infra.adminUrl).pathname.slice(1);
    const elsewhere = new URL(infra.adminUrl);
    elsewhere.pathname = "/postgres";
    const admin = new Client({ connectionString: elsewhere.toString() });
    await admin.connect();
    try {
      await admin.query(`ALTER DATABASE "${database}" ALLOW_CONNECTIONS false`);
      await admin.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", [database]);
      await eventually(async () =>
        expect(await readiness()).toMatchObject({ reasons: { database: "the database cannot be reached" } }),
      );
      const report = registry.report({ serverId: "echo", specHash: hash, status: "unavailable", reason: "down" });
      await expect(report).rejects.toMatchObject({ code: "unavailable", retryable: true });
      const catalogue = await registry.watchCatalogue().until(() => undefined);
      expect(serverIn(catalogue, "echo").group).toBe("demo");
    } finally {
      await admin.query(`ALTER DATABASE "${database}" ALLOW_CONNECTIONS true`);
      await admin.end();
    }
    await eventually(async () => expect(await readiness()).toEqual({ status: "ready" }));
    await registry.report({ serverId: "echo", specHash: hash, status: "unavailable", reason: "down" });
  });
});
