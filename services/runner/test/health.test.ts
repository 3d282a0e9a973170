import { requestHealth } from "@tollgate/bus";
import { eventually } from "@tollgate/testkit";
import { expect, test } from "vitest";
import { assignment } from "./assigning-registry.ts";
import { useRunner } from "./runner-fixture.ts";

const { traffic, ask } = useRunner(() => [assignment()]);
const healthOf = (server: string) => requestHealth(traffic.bus, { group: "demo", server, waitMs: 5_000 });

test("a runner says how a server of its groups is: its pool, its processes, and how its calls went", async () => {
  const before = Date.now();
  await ask("echo");
  await ask("fail");
  const { pid } = JSON.parse((await ask("client")).result.content[0].text) as { pid: number };
  await eventually(async () => {
    const [health, ...others] = await healthOf("fixture");
    expect(others).toEqual([]);
    expect(health).toMatchObject({
      server: "fixture",
      runner: expect.stringMatching(/^r-/),
      state: "ready",
      generation: 0,
      breaker: "closed",
      pool: { mode: "multiplexed", processes: 1, starting: 0, max: 16, callsWaiting: 0 },
      processes: [{ pid, tenant: "acme" }],
      calls: { ended: { ok: 2, tool_error: 1 }, retries: 0, fallbacks: 0 },
    });
    expect(health!.at).toBeGreaterThanOrEqual(before);
    expect(health!.calls.durationMs.p99).toBeGreaterThan(0);
  });
});

test("it says nothing of servers that it does not have, or of groups that it does not follow", async () => {
  const asked = { server: "fixture", waitMs: 200 };
  expect(await requestHealth(traffic.bus, { ...asked, group: "demo", server: "other" })).toEqual([]);
  expect(await requestHealth(traffic.bus, { ...asked, group: "elsewhere" })).toEqual([]);
});
