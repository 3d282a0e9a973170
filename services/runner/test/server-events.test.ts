import type { EventPublisher } from "@tollgate/bus";
import type { AuditEvent } from "@tollgate/contracts";
import { eventually, testLog } from "@tollgate/testkit";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createServerEvents, type ServerEvents } from "../src/handlers/server-events.ts";
import { limitsOf } from "./assigning-registry.ts";
import { usePools } from "./pool-fixture.ts";

const { open, acquire, callTool, ready, news } = usePools();
const told = (state: string) => news.filter((each) => each.state === state);

describe("of a server's processes is told", () => {
  test("that they were started with its secrets, whose they are, and that they were stopped", async () => {
    const pool = open();
    await ready();
    (await acquire(pool, "acme")).release();
    (await acquire(pool, "rival")).release();
    await pool.close();
    expect(told("secrets read")).toMatchObject([{ tenant: undefined }, { tenant: "rival" }]);
    expect(told("started")).toMatchObject([{ tenant: undefined }, { tenant: "rival" }]);
    expect(new Set(told("stopped").map(({ tenant }) => tenant))).toEqual(new Set(["acme", "rival"]));
    expect(told("died")).toEqual([]);
  });

  test("that one has died, and why", async () => {
    const pool = open();
    const lease = await acquire(pool, "acme");
    await callTool(lease, "crash");
    lease.release("badly");
    expect(told("died")).toEqual([{ state: "died", tenant: "acme", reason: "exited with code 3" }]);
  });

  test("that one was killed, and for which limit", async () => {
    const pool = open({ limits: limitsOf({ outputBytes: 1_000n }) });
    const lease = await acquire(pool, "acme");
    await callTool(lease, "flood", { bytes: 100_000 });
    lease.release("badly");
    expect(told("killed")).toMatchObject([{ tenant: "acme", reason: expect.stringContaining("(limits.output_mb)") }]);
  });

  test("that one was not to be started", async () => {
    open({ type: "command", command: "/no/such" });
    await eventually(() =>
      expect(told("failed_to_start")).toMatchObject([{ reason: expect.stringContaining("/no/such was not found") }]),
    );
  });

  test("that it was restarted", async () => {
    const pool = open();
    await ready();
    pool.restart(1);
    await eventually(() => expect(told("restarted")).toHaveLength(1));
    await eventually(() => expect(told("stopped")).toHaveLength(1));
  });
});

describe("on the stream", () => {
  let written: AuditEvent[];
  let refuse: boolean;
  let events: ServerEvents;
  const spec = {
    serverId: "files",
    group: "docs",
    secretNames: ["api-key", "db"],
    env: { KEY: "correct-horse" },
    headers: {},
    url: "",
    secrets: ["battery-staple"],
  };

  beforeEach(() => {
    vi.useFakeTimers();
    written = [];
    refuse = false;
    const publisher: EventPublisher = {
      async publish(event) {
        if (refuse) throw new Error("no stream");
        written.push(event);
      },
    };
    events = createServerEvents({ runner: "r-1", events: publisher, log: testLog });
  });
  afterEach(() => vi.useRealTimers());

  test("each secret that was read is an event, without it", async () => {
    events.of(spec).secretsRead("acme");
    await events.close();
    expect(written).toMatchObject([
      { kind: "secret", tenant: "acme", secret: "api-key", purpose: "server_start", principal: "runner:r-1" },
      { kind: "secret", tenant: "acme", secret: "db", group: "docs", server: "files" },
    ]);
  });

  test("what concerns no tenant is the installation's; reasons hold no secrets, and have a bound", async () => {
    const server = events.of(spec);
    server.tell("died", "", `with correct-horse and battery-staple ${"x".repeat(1_000)}`);
    await events.close();
    expect(written).toMatchObject([
      { kind: "server", state: "died", tenant: "tollgate", server: "files", runner: "r-1" },
    ]);
    const [{ reason }] = written as unknown as [{ reason: string }];
    expect(reason).toMatch(/^with \[secret\] and \[secret\] x/);
    expect(reason).toHaveLength(500);
  });

  test("a flood is counted, and nothing of it is lost", async () => {
    const server = events.of(spec);
    for (let i = 0; i < 1_000; i += 1) {
      server.tell("started", `t${i % 5}`);
      server.tell("died", `t${i % 5}`, `end ${i}`);
    }
    await vi.advanceTimersByTimeAsync(59_000);
    expect(written).toHaveLength(30);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(written).toHaveLength(40);
    const counted = written as unknown as { state: string; count?: number; reason?: string }[];
    const sum = counted.reduce((total, { count = 1 }) => total + count, 0);
    expect(sum).toBe(2_000);
    expect(counted.filter(({ count }) => count !== undefined).map(({ reason }) => reason)).toContain("end 999");
    server.tell("started", "t0");
    await events.close();
    expect(written).toHaveLength(41);
  });

  test("while the stream takes nothing they wait, in their order", async () => {
    refuse = true;
    const server = events.of(spec);
    server.tell("started", "acme");
    server.tell("died", "acme");
    await vi.advanceTimersByTimeAsync(5_000);
    refuse = false;
    await vi.advanceTimersByTimeAsync(1_000);
    expect(written).toMatchObject([{ state: "started" }, { state: "died" }]);
  });
});
