import { randomUUID } from "node:crypto";
import { AppError } from "@tollgate/errors";
import { useInfrastructure } from "@tollgate/testkit";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Bus } from "../src/connection.ts";
import { type KeptAnswers, openKeptAnswers } from "../src/kept-answers.ts";
import { useBus } from "./connected.ts";

const connect = useBus(useInfrastructure());
const newKey = (principal = "dev", tenant = "acme") => ({ tenant, principal, id: randomUUID() });
let bus: Bus;
let other: Bus;

beforeAll(async () => {
  [bus, other] = [await connect(), await connect()];
});
afterEach(() => bus.jsm.streams.delete(`KV_${bus.subjects.keptAnswersBucket}`));

describe("kept answers", () => {
  let here: KeptAnswers;
  let there: KeptAnswers;
  beforeEach(async () => {
    here = await openKeptAnswers(bus);
    there = await openKeptAnswers(other);
  });

  it("are begun by one of many, and seen by all", async () => {
    const key = newKey();
    const revisions = await Promise.all([here, there, here, there].map((each, at) => each.write(key, `${at}`, 0)));
    const taken = revisions.flatMap((revision, at) => (revision === undefined ? [] : [{ revision, at }]));
    expect(taken).toHaveLength(1);
    const [{ revision, at }] = taken as [(typeof taken)[0]];
    for (const each of [here, there]) expect(await each.get(key)).toMatchObject({ text: `${at}`, revision });
  });

  it("are changed by who has seen the last change only", async () => {
    const key = newKey();
    const first = (await here.write(key, "begun", 0))!;
    const second = (await there.write(key, "done", first))!;
    expect(await here.write(key, "late", first)).toBeUndefined();
    await here.forget(key, first);
    expect(await here.get(key)).toMatchObject({ text: "done", revision: second });
    await here.forget(key, second);
    expect(await there.get(key)).toBeUndefined();
    expect(await there.write(key, "again", 0)).toBeGreaterThan(second);
  });

  it("are bounded, together and each", async () => {
    const { config } = await bus.jsm.streams.info(`KV_${bus.subjects.keptAnswersBucket}`);
    expect(config).toMatchObject({ max_bytes: 256 * 1024 * 1024, max_age: 24 * 3_600 * 1e9 });
    await expect(here.write(newKey(), "x".repeat(800 * 1024), 0)).rejects.toThrow(/max/i);
  });
});

describe("where as much is kept as may be", () => {
  const KIB = 1024;
  const limits = { maxBytes: 64 * KIB, tenantMaxBytes: 40 * KIB, principalMaxBytes: 20 * KIB, countedForMs: 60_000 };
  const text = "x".repeat(8 * KIB);
  const refused = { code: "overloaded", details: { retryAfterSeconds: expect.any(Number) } };
  /** Those of so many that were taken. */
  async function fill(answers: KeptAnswers, principal: string, tenant?: string): Promise<number> {
    for (let taken = 0; ; taken++)
      try {
        await answers.write(newKey(principal, tenant), text, 0);
      } catch (error) {
        expect(error).toBeInstanceOf(AppError);
        expect(error).toMatchObject(refused);
        return taken;
      }
  }

  it("one principal leaves room for others, one tenant for other tenants, and what is full says so", async () => {
    const answers = await openKeptAnswers(bus, limits);
    const key = newKey("a");
    const mark = (await answers.write(key, "mark", 0))!;
    expect(await fill(answers, "a")).toBe(3);
    // What was begun gets its answer.
    expect(await answers.write(key, "answer", mark)).toBeGreaterThan(mark);
    expect(await fill(answers, "b")).toBe(2);
    expect(await fill(answers, "c")).toBe(0);
    expect(await fill(answers, "a", "globex")).toBeGreaterThan(0);
    await expect(answers.write(newKey("a", "third"), text, 0)).rejects.toMatchObject(refused);
  });

  it("what was kept at another gateway counts", async () => {
    expect(await fill(await openKeptAnswers(bus, limits), "a")).toBe(3);
    const elsewhere = await openKeptAnswers(other, limits);
    expect(await fill(elsewhere, "a")).toBe(0);
    expect(await fill(elsewhere, "b")).toBe(2);
  });

  it("what is forgotten makes room, when it is counted anew", async () => {
    const answers = await openKeptAnswers(bus, { ...limits, countedForMs: 0 });
    const key = newKey("a");
    const revision = (await answers.write(key, text, 0))!;
    expect(await fill(answers, "a")).toBe(2);
    await answers.forget(key, revision);
    expect(await fill(answers, "a")).toBe(1);
  });
});
