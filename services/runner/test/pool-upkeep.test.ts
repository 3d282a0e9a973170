import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually, fixtureServer } from "@tollgate/testkit";
import { describe, expect, test } from "vitest";
import type { Pool } from "../src/pool/pool.ts";
import { usePools } from "./pool-fixture.ts";
import { isRunning } from "./processes.ts";
import { remoteServer } from "./remote-server.ts";

const { dir, reports, open, ready, acquire, use, callTool } = usePools();

const pidsOf = (pool: Pool) => pool.health().processes.map(({ pid }) => pid);

/** A fixture server that does not start while the file is there. */
function breakable(name: string): { command: string; flag: string } {
  const flag = join(dir, `${name}.broken`);
  const command = join(dir, `${name}.ts`);
  const broken = `import { existsSync } from "node:fs";\nif (existsSync(${JSON.stringify(flag)})) process.env["FIXTURE_START"] = "exit";\n`;
  writeFileSync(command, `${broken}await import(${JSON.stringify(fixtureServer)});\n`);
  return { command, flag };
}

describe("a restart", () => {
  test("replaces the processes of all tenants while calls go on, and none fails", async () => {
    const pool = open();
    await ready();
    const over = new AbortController();
    const answers: string[] = [];
    const calling = ["one", "two", "three"].flatMap((tenant) =>
      Array.from({ length: 4 }, async () => {
        while (!over.signal.aborted) answers.push(await use(pool, tenant, "sleep", { ms: 40 }));
      }),
    );
    await eventually(() => expect(pidsOf(pool)).toHaveLength(3));
    const before = pidsOf(pool);
    pool.restart(1);
    await eventually(() => expect(pool.health().generation).toBe(1));
    await eventually(() => expect(before.filter(isRunning)).toEqual([]));
    const count = answers.length;
    await eventually(() => expect(answers.length).toBeGreaterThan(count + 12));
    over.abort();
    await Promise.all(calling);
    expect(new Set(answers)).toEqual(new Set(["slept"]));
    expect(pidsOf(pool)).toHaveLength(3);
    expect(pool.health()).toMatchObject({ restarts: 0, state: "ready" });
    expect(reports.every(({ status }) => status === "ready")).toBe(true);
  });

  test("lets a call end in the process that has it, however long it takes, and sends new ones to the new one", async () => {
    const pool = open();
    const lease = await acquire(pool, "acme");
    const answered = callTool(lease, "sleep", { ms: 1_500 });
    pool.restart(1);
    await eventually(() => expect(pool.health().generation).toBe(1));
    const next = await acquire(pool, "acme");
    expect(next.coldStart).toBeUndefined();
    expect(next.connection.pid).not.toBe(lease.connection.pid);
    expect(await answered).toBe("slept");
    expect(isRunning(lease.connection.pid)).toBe(true);
    lease.release();
    await eventually(() => expect(isRunning(lease.connection.pid)).toBe(false));
  });

  test("that was carried out is not carried out again", async () => {
    const pool = open();
    await ready();
    pool.restart(1);
    await eventually(() => expect(pool.health()).toMatchObject({ generation: 1, starts: 2 }));
    pool.restart(1);
    expect(await use(pool, "acme", "echo", { message: "there" })).toBe("there");
    expect(pool.health().starts).toBe(2);
  });

  test("that fails leaves everything as it is; the next one may not", async () => {
    const { command, flag } = breakable("restarted");
    const pool = open({ command });
    const lease = await acquire(pool, "acme");
    writeFileSync(flag, "");
    pool.restart(1);
    await eventually(() => expect(pool.health().starts).toBe(2));
    await eventually(() => expect(pool.processes).toBe(1));
    expect(await callTool(lease, "echo", { message: "still here" })).toBe("still here");
    lease.release();
    expect(await use(pool, "acme", "echo", { message: "here too" })).toBe("here too");
    expect(pool.health()).toMatchObject({ generation: 0, state: "ready" });
    rmSync(flag);
    pool.restart(2);
    await eventually(() => expect(pool.health().generation).toBe(2));
    await eventually(() => expect(isRunning(lease.connection.pid)).toBe(false));
    expect(reports.every(({ status }) => status === "ready")).toBe(true);
  });

  test("of sessions: each goes on in a new process when its calls have ended", async () => {
    const pool = open({ pool: { mode: "session" } });
    const [busy, idle] = await Promise.all(["s-1", "s-2"].map((session) => acquire(pool, "acme", { session })));
    idle!.release();
    const answered = callTool(busy!, "sleep", { ms: 500 });
    pool.restart(1);
    await eventually(() => expect(pool.health().generation).toBe(1));
    expect(await answered).toBe("slept");
    busy!.release();
    for (const [session, before] of [
      ["s-1", busy!],
      ["s-2", idle!],
    ] as const) {
      const lease = await acquire(pool, "acme", { session });
      expect(lease.connection.pid).not.toBe(before.connection.pid);
    }
  });
});

test("a server that ends again and again is in a crash loop, which says why and when it is tried again", async () => {
  const { command, flag } = breakable("crashing");
  writeFileSync(flag, "");
  const pool = open({ command });
  await eventually(() => expect(pool.health().state).toBe("unavailable"));
  await eventually(() => expect(pool.health().state).toBe("crash-loop"), { timeoutMs: 40_000 });
  const reason = expect.stringMatching(
    /^it ended 5 times in a row, last: .*exited with code 4; its standard error ends with: fixture: cannot open its database; next try in \d+ s$/,
  );
  expect(reports.at(-1)).toEqual({ status: "unavailable", reason });
  await expect(acquire(pool, "acme")).rejects.toMatchObject({ code: "unavailable" });
  // Whoever has repaired it need not wait.
  rmSync(flag);
  pool.restart(1);
  await ready();
  expect(await use(pool, "acme", "echo", { message: "back" })).toBe("back");
  expect(pool.health().state).toBe("ready");
}, 60_000);

describe("health checks", () => {
  test("end a process that hangs, and another takes its place", async () => {
    const pool = open({ healthCheckIntervalMs: 250 });
    await ready();
    await eventually(() => expect(pool.health().checkedAt).toBeGreaterThan(0));
    const [pid] = pidsOf(pool);
    process.kill(pid!, "SIGSTOP");
    await eventually(() => expect(isRunning(pid!)).toBe(false));
    await eventually(() => expect(pool.health()).toMatchObject({ state: "ready", restarts: 1 }));
    expect(pidsOf(pool)).not.toContain(pid);
    expect(await use(pool, "acme", "echo", { message: "back" })).toBe("back");
  });

  test("leave one alone that is at work, unless a call of it has passed its deadline", async () => {
    const pool = open({ healthCheckIntervalMs: 200 });
    const [lease, late, other] = [
      await acquire(pool, "acme"),
      await acquire(pool, "acme"),
      await acquire(pool, "rival"),
    ];
    other.release();
    const answered = callTool(lease, "sleep", { ms: 60_000 });
    process.kill(lease.connection.pid, "SIGSTOP");
    // The other tenant's is asked meanwhile, more than once.
    const checkedAt = pool.health().checkedAt ?? 0;
    await eventually(() => expect(pool.health().checkedAt).toBeGreaterThan(checkedAt + 800));
    expect(pidsOf(pool)).toContain(lease.connection.pid);
    late.release("badly");
    expect(await answered).toMatch(/^lost: /);
    expect(isRunning(other.connection.pid)).toBe(true);
    lease.release();
  });

  test("notice a remote server that is gone, and that it is back", async () => {
    let there = true;
    const results: Record<string, object> = {
      "server/discover": { supportedVersions: ["2026-07-28"], capabilities: { tools: {} } },
      "tools/list": { tools: [] },
    };
    const { url } = await remoteServer(({ message }, response) => {
      if (!there) return response.writeHead(503).end();
      const result = { resultType: "complete", ttlMs: 0, cacheScope: "private", ...results[message.method] };
      response.writeHead(200, { "Content-Type": "application/json" });
      response.end(JSON.stringify({ jsonrpc: "2.0", id: message.id, result }));
    });
    open({ url, transport: "streamable-http", type: "remote", healthCheckIntervalMs: 200 });
    await ready();
    there = false;
    await eventually(() => expect(reports.at(-1)).toMatchObject({ status: "unavailable" }));
    there = true;
    await ready();
  });
});

describe("circuit breakers", () => {
  test("refuse a tool's calls after failures in a row, of this tenant only", async () => {
    const pool = open();
    for (let n = 0; n < 5; n++) (await acquire(pool, "acme", { tool: "bad" })).release("badly");
    await expect(acquire(pool, "acme", { tool: "bad" })).rejects.toMatchObject({
      code: "unavailable",
      retryable: true,
      message: "tool bad of fixture: its circuit breaker is open after 5 failures in a row; next try in 10 s",
      details: { retryAfterSeconds: 10 },
    });
    (await acquire(pool, "acme", { tool: "good" })).release("well");
    (await acquire(pool, "rival", { tool: "bad" })).release("well");
    expect(pool.health()).toMatchObject({ breaker: "closed", toolBreakers: { bad: "open" } });
  });

  test("refuse all of a tenant's calls when several tools fail", async () => {
    const pool = open();
    for (const tool of ["a", "b", "c", "a", "b"]) (await acquire(pool, "acme", { tool })).release("badly");
    await expect(acquire(pool, "acme", { tool: "d" })).rejects.toThrow("server fixture: its circuit breaker is open");
    expect(pool.health().breaker).toBe("open");
    expect(await use(pool, "rival", "echo", { message: "not mine" })).toBe("not mine");
  });
});
