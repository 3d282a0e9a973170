import { execFile } from "node:child_process";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";
import { eventually, fixtureServer, modernClient } from "@tollgate/testkit";
import pg from "pg";
import { expect, test } from "vitest";
import { runLauncher, startLauncher, useState } from "./launcher.ts";

const START_MS = 60_000;
const state = useState();
const up = ["up", "--state", state.dir];

const secretsText = () => readFileSync(state.file("secrets.json"), "utf8");
const mode = (name: string) => (statSync(state.file(name)).mode & 0o777).toString(8);

async function api(path: string): Promise<{ items: Record<string, unknown>[] }> {
  const { gatewayUrl, adminToken } = state.connect();
  const response = await fetch(`${gatewayUrl}${path}`, { headers: { authorization: `Bearer ${adminToken}` } });
  expect(response.status).toBe(200);
  return (await response.json()) as { items: Record<string, unknown>[] };
}

async function call(tool: string, params: Record<string, unknown>): Promise<string> {
  const { mcpUrl: url, token } = state.connect();
  const { last } = await modernClient({ url, token }).request("tools/call", { name: tool, arguments: params });
  return (last as { result: { content: { text: string }[] } }).result.content[0]!.text;
}

// The steps of one installation's life, in their order.
test(
  "starts in the background, makes a call through the bridge, and shows its audit event and cost",
  async () => {
    const { code, output } = await runLauncher([...up, "--detach", "--port", "0"]);
    expect(output).toMatch(/✓ first call through the bridge: everything__echo says "Echo: hello"/);
    expect(output).toMatch(
      /audit {2}[0-9a-f-]{36}: default-user called everything:echo: ok .* allowed by policy demo-for-all/,
    );
    expect(output).toMatch(/cost {3}0\.000\d+ USD for 1 call/);
    expect(code).toBe(0);

    const connect = state.connect();
    expect(Object.keys(connect)).toEqual(["gatewayUrl", "mcpUrl", "token", "adminToken", "natsUrl", "databaseUrl"]);
    expect(connect.mcpUrl).toBe(`${connect.gatewayUrl}/mcp`);
    expect(output).toContain(connect.token);
    expect(output).not.toContain(connect.adminToken);
    expect([mode(""), mode("connect.json"), mode("secrets.json"), mode("env/policy.env")]).toEqual([
      "700",
      "600",
      "600",
      "600",
    ]);
    const client = new pg.Client({ connectionString: connect.databaseUrl });
    await client.connect();
    const { rows } = await client.query("SELECT count(*)::int AS count FROM audit.events WHERE kind = 'call'");
    await client.end();
    expect(rows).toEqual([{ count: 1 }]);
  },
  START_MS,
);

test("what the screen says to try next works when it is pasted", async ({ skip }) => {
  const shell = (command: string) => promisify(execFile)("sh", ["-c", command]).then(({ stdout }) => stdout);
  const hasCurl = await shell("command -v curl").catch(() => "");
  skip(hasCurl === "", "there is no curl");
  const [tools = "", usage = "", stop] = readFileSync(state.file("welcome.txt"), "utf8")
    .split("What to try next\n")[1]!
    .trim()
    .split(/\n {2}/);
  expect(await shell(tools)).toContain('"name":"everything__echo"');
  expect(await shell(usage)).toMatch(/"server":"everything","tool":"echo"\},.*"calls":1,.*"currency":"USD"/);
  expect(stop).toBe(`npm stop -- --state ${state.dir}`);
});

test("the filesystem server sees one folder only", async () => {
  expect(await call("filesystem__read_text_file", { path: state.file("files/welcome.txt") })).toMatch(/only one/);
  expect(await call("filesystem__read_text_file", { path: state.file("secrets.json") })).toMatch(/denied/i);
});

test("says that it runs already, and does not reset what runs", async () => {
  const again = await runLauncher(up);
  expect(again).toEqual({ code: 0, output: expect.stringContaining(`runs already: ${state.connect().gatewayUrl}`) });
  const reset = await runLauncher([...up, "--reset"]);
  expect(reset).toEqual({ code: 1, output: expect.stringContaining(`"npm stop" first`) });
});

test(
  "brings back what is killed",
  async () => {
    const before = state.run().processes;
    for (const name of ["runner", "nats", "postgres", "policy"]) process.kill(before[name]!.pid, "SIGKILL");
    await eventually(() => {
      const now = state.run().processes;
      for (const name of ["runner", "nats", "postgres", "policy"]) expect(now[name]!.pid).not.toBe(before[name]!.pid);
    });
    await eventually(async () => expect(await call("everything__echo", { message: "again" })).toBe("Echo: again"), {
      timeoutMs: 20_000,
    });
    await eventually(async () => expect((await api("/api/v1/audit/events?tool=echo")).items.length).toBeGreaterThan(1));
  },
  START_MS,
);

test(
  "stops, and leaves no process",
  async () => {
    expect(state.processes().length).toBeGreaterThan(9);
    const since = Date.now();
    expect(await runLauncher(["stop", "--state", state.dir])).toEqual({ code: 0, output: "Tollgate is stopped.\n" });
    expect(Date.now() - since).toBeLessThan(10_000);
    expect(state.processes()).toEqual([]);
    expect([state.has("connect.json"), state.has("run.json")]).toEqual([false, false]);
    expect(await runLauncher(["stop", "--state", state.dir])).toEqual({ code: 0, output: "Tollgate does not run.\n" });
  },
  START_MS,
);

const OWN_CONFIG = `
groups: [{ id: own }]
mcp_servers:
  - { id: fixture, group: own, type: node, command: ${JSON.stringify(fixtureServer)}, env: { SECRET: "\${OWN_SECRET}" } }
  - { id: broken, group: own, type: command, command: ${state.file("no-such-program")} }
  - { id: off, group: own, type: node, command: x.js, enabled: false }
`;

test(
  "starts again at a terminal with another file, keeps its tokens and events; Ctrl-C leaves no process",
  async () => {
    const secrets = secretsText();
    const config = state.file("own.yaml");
    writeFileSync(config, OWN_CONFIG);
    const launcher = startLauncher([...up, "--port", "0", "--config", config], { OWN_SECRET: "own-secret-1" });
    await eventually(() => expect(launcher.output()).toContain("has no policies"), { timeoutMs: START_MS });
    expect(launcher.output()).toMatch(/✗ server broken: unavailable: .*no-such-program was not found/);
    expect(launcher.output()).toMatch(/✓ server fixture: \d+ tools/);
    expect(launcher.output()).toMatch(/- server off: disabled/);
    expect(launcher.output()).toMatch(/✓ the bridge lists \d+ tools/);
    expect(launcher.output()).not.toContain("first call");
    expect(secretsText()).toBe(secrets);
    expect((await api("/api/v1/audit/events?tool=echo")).items.length).toBeGreaterThan(1);
    const { env, child } = JSON.parse(await call("fixture__env", {})) as { env: Record<string, string>; child: number };
    expect(env["SECRET"]).toBe("own-secret-1");
    // The mark by which its runner finds all processes of a server, and nothing else.
    expect(Object.keys(env).filter((name) => name.startsWith("TOLLGATE_"))).toEqual(["TOLLGATE_PROCESS"]);

    // Started by the server, which the runner has started.
    expect(state.processes()).toContain(`${child} sleep 300 `);

    launcher.child.kill("SIGINT");
    const since = Date.now();
    expect((await launcher.ended).code).toBe(0);
    expect(Date.now() - since).toBeLessThan(10_000);
    expect(state.processes()).toEqual([]);
  },
  START_MS,
);

test(
  "a launcher that was killed: the services end by themselves, the next start ends the rest",
  async () => {
    await runLauncher([...up, "--detach", "--port", "0"]);
    const before = state.run();
    process.kill(before.launcher.pid, "SIGKILL");
    const { code, output } = await runLauncher([...up, "--detach", "--port", "0"]);
    expect({ code, output }).toEqual({ code: 0, output: expect.stringContaining("Tollgate is ready") });
    const running = state.processes().map((line) => Number.parseInt(line, 10));
    for (const { pid } of Object.values(before.processes)) expect(running).not.toContain(pid);
    process.kill(state.run().launcher.pid, "SIGKILL");
    const stopped = await runLauncher(["stop", "--state", state.dir]);
    expect(stopped).toEqual({
      code: 0,
      output: expect.stringMatching(/launcher was gone.*nats.*postgres|postgres.*nats/),
    });
    expect(state.processes()).toEqual([]);
  },
  START_MS,
);
