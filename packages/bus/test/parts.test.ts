import { setTimeout as delay } from "node:timers/promises";
import { eventually, useInfrastructure } from "@tollgate/testkit";
import { beforeAll, expect, it } from "vitest";
import type { Bus } from "../src/connection.ts";
import { answerParts, type PartStatus, requestParts } from "../src/parts.ts";
import { useBus } from "./connected.ts";

const connect = useBus(useInfrastructure());
/** Much longer than the slow part takes. */
const WAIT_MS = 3_000;
let gateway: Bus;
beforeAll(async () => {
  gateway = await connect();
});

/** Of what the bus passes on, only this matters here. */
const statusOf = (name: string) => ({ name }) as PartStatus;

async function join(answer: () => Promise<PartStatus>): Promise<void> {
  const bus = await connect();
  answerParts(bus, answer);
  await bus.connection.flush();
}

async function found(): Promise<string[]> {
  return (await requestParts(gateway, { waitMs: WAIT_MS })).map(({ name }) => name).toSorted();
}

it("is nobody's where there is none, and comes from whoever can tell, also late and beside what cannot be read", async () => {
  expect(await found()).toEqual([]);
  await join(() => Promise.resolve(statusOf("fast")));
  await join(() => Promise.reject(new Error("no number")));
  await join(async () => {
    await delay(600);
    return statusOf("slow");
  });
  const other = await connect();
  other.connection.subscribe(other.subjects.parts, { callback: (_error, message) => void message.respond("{") });
  await other.connection.flush();
  await eventually(async () => expect(await found()).toEqual(["fast", "slow"]));
});
