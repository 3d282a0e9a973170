import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { eventually } from "@tollgate/testkit";
import { afterEach, describe, expect, test } from "vitest";
import { runLauncher, startLauncher, useState } from "./launcher.ts";

const state = useState();
const up = ["up", "--state", state.dir];

afterEach(async () => {
  // Whoever waited for it in the background is answered a moment before it has ended.
  await eventually(() => expect(state.processes()).toEqual([]));
  expect(state.has("run.json")).toBe(false);
});

test("a taken port: names it, who has it, and what to do", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await eventually(() => expect(server.listening).toBe(true));
  const { port } = server.address() as { port: number };
  const { code, output } = await runLauncher([...up, "--port", String(port)]);
  server.close();
  expect(output).toMatch(
    new RegExp(
      `^port ${port} is taken by process ${process.pid} \\(node.*\\); stop that, or .*npm start -- --port 8090"\n$`,
    ),
  );
  expect(code).toBe(1);
});

test("a wrong configuration: every mistake with its place", async () => {
  const config = state.file("wrong.yaml");
  writeFileSync(config, "groups: [{ id: g }]\nmcp_servers:\n  - { id: a, group: h, type: npx, command: '${NOPE}' }\n");
  const { code, output } = await runLauncher([...up, "--config", config]);
  expect(output).toMatch(/wrong\.yaml:3:\d+: mcp_servers\[0\]\.group is not the id of a group; there are g/);
  expect(output).toMatch(/wrong\.yaml:3:\d+: mcp_servers\[0\]\.command the environment has no NOPE/);
  expect(code).toBe(1);
});

test("a file that is not there", async () => {
  const { code, output } = await runLauncher([...up, "--detach", "--config", state.file("none.yaml")]);
  expect({ code, output }).toEqual({ code: 1, output: expect.stringMatching(/none\.yaml cannot be read: ENOENT\n$/) });
});

describe("words that are not understood", () => {
  test.each<[string[], string]>([
    [[], "Usage: tollgate"],
    [["upp"], "unknown command 'upp'\n(Did you mean up?)"],
    [["servers"], "Usage: tollgate servers"],
    [["servers", "lsit"], "unknown command 'lsit'\n(Did you mean list?)"],
    [["servers", "list", "--jsn"], "unknown option '--jsn'\n(Did you mean --json?)"],
    [["servers", "show"], "missing required argument 'id'"],
    [["servers", "list", "--limit", "0"], "It has to be a number from 1 to 100000."],
    [["up", "--bogus"], "unknown option '--bogus'"],
    [["up", "now"], "too many arguments"],
    [["up", "--port", "80a"], "It has to be a number from 0 to 65535."],
    [["up", "--port", "70000"], "It has to be a number from 0 to 65535."],
    [["setup"], "setup needs --state DIR"],
  ])("%j", async (words, message) => {
    const { code, output } = await runLauncher(words);
    expect({ code, output }).toEqual({ code: 2, output: expect.stringContaining(message) });
  });
});

test("an end while it is starting leaves nothing", async () => {
  const launcher = startLauncher([...up, "--port", "0"]);
  await eventually(() => expect(launcher.output()).toContain("✓ NATS"), { timeoutMs: 30_000 });
  launcher.child.kill("SIGTERM");
  expect(await launcher.ended).toEqual({ code: 0, output: expect.stringMatching(/Stopping …\n(✓ .*\n)*Stopped\.\n$/) });
}, 40_000);

test("secrets that are gone or damaged: says so, and a reset begins anew", async () => {
  writeFileSync(state.file("secrets.json"), '{"token":"tg_0123456789abcdef"');
  const damaged = await runLauncher([...up, "--port", "0"]);
  expect(damaged).toEqual({ code: 1, output: expect.stringContaining("secrets.json is damaged") });
  expect(damaged.output).not.toContain("tg_0123");
  const launcher = startLauncher([...up, "--port", "0", "--reset"]);
  await eventually(() => expect(launcher.output()).toContain("creating the database folder"), { timeoutMs: 30_000 });
  launcher.child.kill("SIGINT");
  expect((await launcher.ended).code).toBe(0);
}, 40_000);
