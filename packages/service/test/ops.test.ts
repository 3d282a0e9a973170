import { openLife } from "../src/life.ts";
import { createMetrics } from "../src/metrics.ts";
import { createOps, startOpsServer } from "../src/ops.ts";
import { testLog } from "@tollgate/testkit";
import { afterEach, describe, expect, it } from "vitest";

let life = openLife(testLog);
afterEach(() => life.close());

async function start() {
  life = openLife(testLog);
  const ops = createOps(createMetrics(), life);
  const port = await startOpsServer({ host: "127.0.0.1", port: 0, ops, life });
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    return { status: response.status, text: await response.text(), type: response.headers.get("content-type") };
  };
  return { ops, get, port };
}

describe("what a service says of itself", () => {
  it("is ready when no check has anything to say", async () => {
    const { ops, get } = await start();
    ops.checks.set("database", () => undefined);
    const { status, text } = await get("/readyz");
    expect([status, JSON.parse(text)]).toEqual([200, { status: "ready" }]);
  });

  it("is not ready with every reason, and ready again without", async () => {
    const { ops, get } = await start();
    ops.checks.set("database", () => "cannot be reached");
    ops.checks.set("nats", () => "disconnected from NATS");
    const refused = await get("/readyz");
    expect([refused.status, JSON.parse(refused.text)]).toEqual([
      503,
      { status: "not ready", reasons: { database: "cannot be reached", nats: "disconnected from NATS" } },
    ]);
    expect((await get("/healthz")).status).toBe(200);
    ops.checks.set("database", () => undefined);
    ops.checks.delete("nats");
    expect((await get("/readyz")).status).toBe(200);
  });

  it("is not ready when a check itself fails, and says which", async () => {
    const { ops, get } = await start();
    ops.checks.set("lag", () => {
      throw new Error("no number");
    });
    const { status, text } = await get("/readyz");
    expect([status, JSON.parse(text)]).toEqual([503, { status: "not ready", reasons: { lag: "no number" } }]);
  });

  it("is not ready as soon as closing begins", async () => {
    const { get } = await start();
    let during: Awaited<ReturnType<typeof get>> | undefined;
    life.onClose("step", 2_000, async () => (during = await get("/readyz")));
    await life.close();
    expect(during?.status).toBe(503);
    expect(JSON.parse(during!.text).reasons).toEqual({ running: "stopping" });
    await expect(get("/healthz")).rejects.toThrow("fetch failed");
  });

  it("shows its metrics in Prometheus' format, and each service only its own", async () => {
    const { ops, get } = await start();
    createMetrics().counter("tollgate_other_total", "Of another service").inc();
    ops.metrics.counter("tollgate_test_total", "Tests", ["kind"]).inc({ kind: "ops" }, 2);
    ops.metrics.histogram("tollgate_test_seconds", "Time").observe(0.003);
    let waiting = 1;
    ops.metrics.gauge("tollgate_test_waiting", "Asked for when somebody looks", [], (gauge) => gauge.set(waiting));
    expect((await get("/metrics")).text).toContain("tollgate_test_waiting 1");
    waiting = 2;
    const { text, type } = await get("/metrics");
    expect(type).toContain("text/plain");
    expect(text).toContain('tollgate_test_total{kind="ops"} 2');
    expect(text).toContain("tollgate_test_waiting 2");
    expect(text).toContain('tollgate_test_seconds_bucket{le="0.005"} 1');
    expect(text).toContain("process_cpu_seconds_total");
    expect(text).not.toContain("tollgate_other_total");
  });

  it("says that a port is taken", async () => {
    const { ops, port } = await start();
    const again = startOpsServer({ host: "127.0.0.1", port, ops, life });
    await expect(again).rejects.toThrow(/EADDRINUSE/);
  });
});
