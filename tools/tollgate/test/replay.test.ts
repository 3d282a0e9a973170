import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually, modernClient, useInfrastructure, useSystem } from "@tollgate/testkit";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { toEnvFile } from "../src/service-plan.ts";
import { runLauncher } from "./launcher.ts";

// A server whose answers depend on which one it is, and on how often it was asked.
const SERVER = `
import { createInterface } from "node:readline";
const READ_ONLY = { readOnlyHint: true };
const tools = [
  { name: "greet", annotations: READ_ONLY, inputSchema: { type: "object" } },
  { name: "count", annotations: READ_ONLY, inputSchema: { type: "object" } },
  { name: "write", inputSchema: { type: "object" } },
];
let asked = 0;
const answers = {
  initialize: () => ({ protocolVersion: "2025-11-25", capabilities: { tools: {} }, serverInfo: { name: "s", version: "1" } }),
  "tools/list": () => ({ tools }),
  "tools/call": ({ name, arguments: given }) => ({
    content: [{ type: "text", text: name === "greet" ? process.env.GREETING + " " + given.name : "done" }],
    ...(name === "count" ? { structuredContent: { asked: ++asked, of: given } } : {}),
  }),
};
createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined) return;
  const answer = answers[method];
  const body = answer ? { result: answer(params) } : { error: { code: -32601, message: "no such method" } };
  process.stdout.write(JSON.stringify({ jsonrpc: "2.0", id, ...body }) + "\\n");
});
`;

const folder = mkdtempSync(join(tmpdir(), "tollgate-replay-"));
const script = join(folder, "server.mjs");
writeFileSync(script, SERVER);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const infra = useInfrastructure();
const system = useSystem(infra, {
  yaml: `
groups: [{ id: demo, name: Demo }]
mcp_servers:
  - { id: one, group: demo, type: node, command: ${script}, env: { GREETING: hello } }
  - { id: two, group: demo, type: node, command: ${script}, env: { GREETING: hullo } }
policies:
  - { name: kept, effect: allow, principals: ["token:caller"], actions: ["*"], resources: ["*"], record: [arguments, result] }
  - { name: others, effect: allow, principals: ["token:other"], actions: ["*"], resources: ["*"] }
`,
});

/** What `npm start` would have written down. */
function writeState(): void {
  for (const name of ["env", "logs"]) mkdirSync(join(folder, name));
  const { gatewayUrl, token, adminToken } = system;
  writeFileSync(
    join(folder, "connect.json"),
    JSON.stringify({ gatewayUrl, token, adminToken, databaseUrl: infra.adminUrl }),
  );
  const { password } = new URL(infra.databaseUrl("audit"));
  const roles = ["policy", "registry", "audit", "metering"].map((name) => [name, password]);
  const secret = "0123456789abcdef";
  writeFileSync(
    join(folder, "secrets.json"),
    JSON.stringify({
      serviceKey: infra.serviceKey,
      natsPassword: secret,
      databasePassword: secret,
      token,
      adminToken,
      recordingKeys: infra.recordingKeys,
      signingSecret: infra.signingSecret,
      rolePasswords: Object.fromEntries(roles),
    }),
  );
  for (const name of ["audit", "metering"])
    writeFileSync(
      join(folder, "env", `${name}.env`),
      toEnvFile({
        TOLLGATE_SERVICE_KEY: infra.serviceKey,
        TOLLGATE_NATS_URL: infra.natsUrl,
        TOLLGATE_BUS_PREFIX: infra.busPrefix,
        TOLLGATE_DATABASE_URL: infra.databaseUrl(name),
        TOLLGATE_SIGNING_SECRET: infra.signingSecret,
        TOLLGATE_RECORDING_KEYS: infra.recordingKeys,
        TOLLGATE_CONFIG_FILE: join(system.stateDir, "tollgate.yaml"),
      }),
    );
}

const replay = (...words: string[]) => runLauncher(["replay", ...words, "--state", folder]);

async function call(tool: string, args: object, token = system.token): Promise<void> {
  const client = modernClient({ url: `${system.gatewayUrl}/mcp/demo/one`, token });
  const { last } = await client.request("tools/call", { name: tool, arguments: args });
  expect(last).toHaveProperty("result");
}

async function recordedCalls(fromMs = 0): Promise<{ id: string; principal: string; tool: string }[]> {
  const response = await fetch(`${system.gatewayUrl}/api/v1/audit/events?kind=call&limit=1000&from=${fromMs}`, {
    headers: { authorization: `Bearer ${system.adminToken}` },
  });
  return ((await response.json()) as { items: { id: string; principal: string; tool: string }[] }).items;
}

/** The second column is what came of the run: without ids. */
const differencesIn = (output: string): string[] =>
  output
    .split("\n")
    .filter((line) => /^[0-9a-f]{8}-/.test(line))
    .map((line) => line.slice(line.indexOf(" ") + 1));

beforeAll(async () => {
  writeState();
  await eventually(async () => {
    const response = await fetch(`${system.gatewayUrl}/api/v1/servers`, {
      headers: { authorization: `Bearer ${system.adminToken}` },
    });
    const { items } = (await response.json()) as { items: { status: string }[] };
    expect(items.map(({ status }) => status)).toEqual(["ready", "ready"]);
  });
  for (const name of ["ann", "bob", "cid"]) await call("greet", { name });
  await call("count", { n: 1 });
  await call("write", { name: "dan" });
  await call("greet", { name: "eve" }, `${system.token}_other`);
  await eventually(async () => expect(await recordedCalls()).toHaveLength(6));
});

describe("calls run again", () => {
  test("give what they gave, or each difference is told; what might do something is left out", async () => {
    const { code, output } = await replay("calls", "--server", "one");
    expect(differencesIn(output)).toEqual(["count: structuredContent.asked: 1 → 2"]);
    expect(output).toContain("4 calls run again: 3 the same, 1 different, 0 failed\n");
    expect(output).toContain("1 left out: they are of tools that are not declared read-only\n");
    expect(output).toContain("1 left out: they were recorded without their arguments and results\n");
    expect(code).toBe(1);

    // They are calls like any others: decided, recorded, of whoever runs them.
    await eventually(async () => {
      const calls = await recordedCalls();
      expect(calls).toHaveLength(10);
      expect(new Set(calls.slice(0, 4).map(({ principal }) => principal))).toEqual(new Set(["caller"]));
    });
  });

  test("of one tool, against another server", async () => {
    const to = new Date().toISOString();
    const { code, output } = await replay(
      "calls",
      "--server",
      "one",
      "--against",
      "two",
      "--tool",
      "greet",
      "--to",
      to,
      "--limit",
      "5",
    );
    const differences = differencesIn(output);
    expect(differences[0]).toMatch(/^greet: content\[0\]\.text: "hello \w+" → "hullo \w+"$/);
    expect(code).toBe(1);
    const ignoring = await replay(
      "calls",
      "--server",
      "one",
      "--against",
      "two",
      "--tool",
      "greet",
      "--to",
      to,
      "--ignore",
      "content[*].text",
    );
    expect(differencesIn(ignoring.output)).toEqual([]);
    expect(ignoring.code).toBe(0);
  });

  test("go on where they were, and are of the same question", async () => {
    const file = join(folder, "replay.state");
    const words = ["calls", "--server", "one", "--tool", "greet", "--resume", file];
    const whole = await replay(...words);
    expect(whole.code).toBe(0);
    const lines = readFileSync(file, "utf8").trimEnd().split("\n");

    // As after a kill in the middle of its last line.
    writeFileSync(file, `${lines.slice(0, 3).join("\n")}\n${lines[3]!.slice(0, 20)}`);
    const since = Date.now();
    const again = await replay(...words);
    expect(again.output).toBe(whole.output);
    await eventually(async () => expect(await recordedCalls(since)).toHaveLength(lines.length - 3));

    const other = await replay(...words.with(4, "count"));
    expect(other).toMatchObject({ code: 1, output: expect.stringContaining("is of another replay") });
  });

  test("are refused where the tool might do something, or is nobody's", async () => {
    const refused = await replay("calls", "--server", "one", "--tool", "write");
    expect(refused).toMatchObject({ code: 1, output: expect.stringContaining("one:write is not declared read-only") });
    const unknown = await replay("calls", "--server", "none");
    expect(unknown).toMatchObject({ code: 1, output: expect.stringContaining("none") });
  });
});

describe("a rebuilt database", () => {
  const name = `${new URL(infra.adminUrl).pathname.slice(1)}_rebuilt`;
  const url = new URL(infra.adminUrl);
  url.pathname = `/${name}`;
  const rebuild = () => replay("rebuild", "--database", url.toString());
  afterAll(async () => {
    const admin = new pg.Client({ connectionString: infra.adminUrl });
    await admin.connect();
    await admin.query(`DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`);
    await admin.end();
  });

  test("is the same as the one in use, to the chain's last hash", async () => {
    const { code, output } = await rebuild();
    expect(output).toMatch(/^acme\/call: \d+ events, the same; the chain's hash at \d+, too$/m);
    expect(output).toMatch(/^acme usage: \d+ calls, cost [\d.]+, the same$/m);
    expect(output).toMatch(/the rebuilt tables are the same$/m);
    expect(code).toBe(0);
  }, 60_000);

  test("that is another is found", async () => {
    const client = new pg.Client({ connectionString: url.toString() });
    await client.connect();
    await client.query(
      "UPDATE audit.events SET event = event || ' ' WHERE tenant = 'acme' AND kind = 'call' AND number = 2",
    );
    await client.query("UPDATE metering.calls SET cost = cost + 1 WHERE tenant = 'rival'");
    await client.end();
    const { code, output } = await rebuild();
    expect(output).toMatch(/^acme\/call: DIFFERENT: /m);
    expect(output).toMatch(/^rival usage: DIFFERENT: cost /m);
    expect(code).toBe(1);
  }, 60_000);
});

test.each<[string[], string]>([
  [[], "Usage: tollgate replay"],
  [["again"], "unknown command 'again'"],
  [["calls"], "required option '--server <id>' not specified"],
  [["calls", "--server", "one", "--limit", "0"], "It has to be a number from 1 to 100000."],
  [["calls", "--server", "one", "--from", "yesterday"], "It has to be a time"],
  [["rebuild", "--bogus"], "unknown option '--bogus'"],
])("replay %j is not understood", async (words, message) => {
  const { code, output } = await runLauncher(["replay", ...words]);
  expect({ code, output }).toEqual({ code: 2, output: expect.stringContaining(message) });
});
