import { eventually, testLog, useInfrastructure } from "@tollgate/testkit";
import pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { lead, type Leadership } from "../src/lead.ts";
import { type Life, openLife } from "../src/life.ts";
import { openPool } from "../src/postgres.ts";

const infra = useInfrastructure();
let admin: pg.Client;
const lives: Life[] = [];

beforeAll(async () => {
  admin = new pg.Client({ connectionString: infra.adminUrl });
  await admin.connect();
});
afterEach(async () => {
  await Promise.all(lives.splice(0).map((life) => life.close()));
});
afterAll(() => admin.end());

/** A replica with a work that counts how often it began, and that ends when it is told to. */
async function openReplica(): Promise<{
  leadership: Leadership;
  life: Life;
  began: () => number;
  active: () => boolean;
}> {
  const life = openLife(testLog);
  lives.push(life);
  const pool = await openPool({ url: infra.databaseUrl("audit"), max: 2, name: "lead", life, log: testLog });
  const leadership = lead({ pool, name: "test", life, log: testLog });
  let began = 0;
  let active = 0;
  leadership.run("work", async (signal) => {
    began += 1;
    active += 1;
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    active -= 1;
  });
  return { leadership, life, began: () => began, active: () => active > 0 };
}

const endSessions = (): Promise<unknown> =>
  admin.query(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
  );

describe("of several replicas", () => {
  it("one leads and works; another does when it stops", async () => {
    const first = await openReplica();
    await eventually(() => expect(first.active()).toBe(true));
    const second = await openReplica();
    expect(second.leadership.leading()).toBe(false);
    await first.life.close();
    expect(first.active()).toBe(false);
    expect(first.leadership.leading()).toBe(false);
    await eventually(() => expect(second.active()).toBe(true));
    expect([first.began(), second.began()]).toEqual([1, 1]);
  });

  it("each stops working when its connection is lost, and one goes on", async () => {
    const replicas = [await openReplica(), await openReplica()];
    await eventually(() => expect(replicas.filter((each) => each.active())).toHaveLength(1));
    const began = (): number => replicas.reduce((sum, each) => sum + each.began(), 0);
    const before = began();
    await endSessions();
    await eventually(() => {
      expect(began()).toBeGreaterThan(before);
      expect(replicas.filter((each) => each.active())).toHaveLength(1);
    });
  });
});

describe("a work", () => {
  it("that fails is done again, says why meanwhile, and has no problem when it goes well", async () => {
    const { leadership } = await openReplica();
    let tries = 0;
    let mend = false;
    const work = leadership.run("failing", async (signal, begun) => {
      tries += 1;
      if (!mend) throw new Error("not yet");
      begun();
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    });
    await eventually(() => expect(work.problem()).toBe("not yet"));
    await eventually(() => expect(tries).toBeGreaterThan(2));
    mend = true;
    await eventually(() => expect(work.problem()).toBeUndefined());
  });

  it("that never ends does not keep the service from stopping", async () => {
    const { leadership, life } = await openReplica();
    let began = false;
    leadership.run("stuck", () => {
      began = true;
      return new Promise(() => {});
    });
    await eventually(() => expect(began).toBe(true));
    const started = performance.now();
    await life.close();
    expect(performance.now() - started).toBeLessThan(9_000);
  }, 20_000);
});
