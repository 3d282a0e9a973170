import { randomUUID } from "node:crypto";
import { useInfrastructure } from "@tollgate/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Bus } from "../src/connection.ts";
import { type KeptAnswers, openKeptAnswers } from "../src/kept-answers.ts";
import { useBus } from "./connected.ts";

const connect = useBus(useInfrastructure());
let bus: Bus;
let here: KeptAnswers;
let there: KeptAnswers;

beforeAll(async () => {
  bus = await connect();
  here = await openKeptAnswers(bus);
  there = await openKeptAnswers(await connect());
});
afterAll(() => bus.jsm.streams.delete(`KV_${bus.subjects.keptAnswersBucket}`));

it("are begun by one of many, and seen by all", async () => {
  const key = randomUUID();
  const revisions = await Promise.all([here, there, here, there].map((each, at) => each.write(key, `${at}`, 0)));
  const taken = revisions.flatMap((revision, at) => (revision === undefined ? [] : [{ revision, at }]));
  expect(taken).toHaveLength(1);
  const [{ revision, at }] = taken as [(typeof taken)[0]];
  for (const each of [here, there]) expect(await each.get(key)).toMatchObject({ text: `${at}`, revision });
});

it("are changed by who has seen the last change only", async () => {
  const key = randomUUID();
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
  await expect(here.write(randomUUID(), "x".repeat(800 * 1024), 0)).rejects.toThrow(/max/i);
});
