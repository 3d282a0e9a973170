import { eventually, modernClient } from "@tollgate/testkit";
import { beforeEach, expect, test } from "vitest";
import { principal } from "./controlled-policy.ts";
import { useInstallation } from "./installation.ts";
import { registryServer } from "./sample-catalogue.ts";

const installation = useInstallation({ replicas: 2 });

beforeEach(async () => {
  const { around, runner } = installation;
  around.policy.tokens.set("colleague-token", principal({ id: "colleague" }));
  around.setServers([registryServer({ id: "stateful", poolMode: "session" }), registryServer({ id: "plain" })]);
  for (const replica of [0, 1])
    await eventually(async () => {
      const { last } = await modernClient({ url: installation.url("/mcp", replica), token: "token" }).request(
        "tools/list",
      );
      expect(JSON.stringify(last.result)).toContain("stateful__echo");
    });
  // As it answers calls whose connection is the caller's own.
  runner.onCall = (call) => runner.answer(call, {}, { runner: runner.name });
});

const callAs = (token: string, server: string, replica = 0) =>
  modernClient({ url: installation.url("/mcp", replica), token }).request("tools/call", { name: `${server}__echo` });

test("a client without sessions finds the state that a server keeps for it, through any replica", async () => {
  const { runner } = installation;
  await callAs("token", "stateful");
  expect(runner.bound).toHaveLength(0);
  await eventually(async () => {
    const before = runner.bound.length;
    await callAs("token", "stateful", 1);
    expect(runner.bound.length).toBe(before + 1);
  });
  const before = runner.bound.length;
  await callAs("token", "stateful", 0);
  expect(runner.bound.length).toBe(before + 1);
});

test("another's state is not its own, and servers that keep none are anywhere", async () => {
  const { runner } = installation;
  await callAs("token", "stateful");
  await eventually(async () => {
    await callAs("token", "stateful");
    expect(runner.bound.length).toBeGreaterThan(0);
  });
  const before = runner.bound.length;
  await callAs("colleague-token", "stateful");
  await callAs("token", "plain");
  await callAs("token", "plain");
  expect(runner.bound.length).toBe(before);
});
