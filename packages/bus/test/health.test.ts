import type { ServerHealth } from "@tollgate/contracts";
import { eventually, useInfrastructure } from "@tollgate/testkit";
import { beforeAll, describe, expect, it } from "vitest";
import type { Bus } from "../src/connection.ts";
import { answerHealth, requestHealth } from "../src/health.ts";
import { useBus } from "./connected.ts";

const connect = useBus(useInfrastructure());
/** Longer than a test may take: it passes only when the wait ends early. */
const WAIT_MS = 60_000;
let gateway: Bus;
beforeAll(async () => {
  gateway = await connect();
});

/** Of what the bus passes on, only this matters here. */
const healthOf = (server: string, runner: string) => ({ server, runner, restarts: 1 }) as unknown as ServerHealth;

async function follow(group: string, runner: string, servers: readonly string[]): Promise<void> {
  const bus = await connect();
  answerHealth(bus, group, (server) => {
    if (server === "broken") throw new Error("the pool is in pieces");
    return servers.includes(server) ? healthOf(server, runner) : undefined;
  });
  await bus.connection.flush();
}

const ask = (group: string, server: string, waitMs = WAIT_MS) => requestHealth(gateway, { group, server, waitMs });

describe("a server's health", () => {
  it("comes from every runner of its group that has the server, long before the time is over", async () => {
    await follow("many", "r-1", ["one", "two"]);
    await follow("many", "r-2", ["one"]);
    await follow("other", "r-3", ["one"]);
    await eventually(async () => {
      const found = await ask("many", "one");
      expect(found.toSorted((a, b) => a.runner.localeCompare(b.runner))).toEqual([
        healthOf("one", "r-1"),
        healthOf("one", "r-2"),
      ]);
    });
    expect(await ask("many", "two")).toEqual([healthOf("two", "r-1")]);
  });

  it("is nobody's where no runner follows the group, or none has the server", async () => {
    expect(await ask("nobody", "one")).toEqual([]);
    await follow("without", "r-1", []);
    expect(await ask("without", "one", 50)).toEqual([]);
  });

  it("that a runner cannot tell is left out, and the next question is answered", async () => {
    await follow("trouble", "r-1", ["one"]);
    expect(await ask("trouble", "broken", 50)).toEqual([]);
    expect(await ask("trouble", "one")).toEqual([healthOf("one", "r-1")]);
  });
});
