import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Config, ConfigError, loadConfig } from "./config.ts";

let home = "";
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "bridge-config-"));
});
afterAll(() => rm(home, { recursive: true }));

async function load(yaml: string, env: Record<string, string> = {}): Promise<Config> {
  const config = join(home, "config.yaml");
  await writeFile(config, yaml);
  return loadConfig({ flags: { config }, env, home, workspace: "/projects/a" });
}

async function problemsOf(yaml: string, env?: Record<string, string>): Promise<readonly string[]> {
  try {
    await load(yaml, env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

const GIVEN = { TOLLGATE_URL: "https://gate.example/mcp", TOLLGATE_TOKEN: "t" };

test("reads every key, with units", async () => {
  const config = await load(
    `bridge:
  control_plane_url: http://\${HOST}:8080/mcp
  auth_token: "\${MCP_AUTH_TOKEN}"
  connection: { timeout_seconds: "\${SECONDS}", retry_attempts: 5, retry_backoff_base: 1.5, keepalive_interval: 20 }
  cache: { enabled: true, directory: ~/kept, max_size_mb: 2, ttl_seconds: 60 }
  logging: { level: info, file: /var/log/bridge.log, max_size_mb: 1, rotate_count: 2 }
`,
    { HOST: "gate.example", MCP_AUTH_TOKEN: "abc", SECONDS: "12" },
  );
  expect(config).toMatchObject({
    token: "abc",
    silenceMsMax: 12_000,
    retryAttempts: 5,
    retryBase: 1.5,
    keepaliveMs: 20_000,
    cache: { directory: join(home, "kept"), bytesMax: 2 * 1024 * 1024, ttlMs: 60_000 },
    log: { level: "info", file: "/var/log/bridge.log", bytesMax: 1024 * 1024, rotateCount: 2 },
  });
  expect(config.url.href).toBe("http://gate.example:8080/mcp");
});

test("an empty file is as good as none", async () => {
  for (const yaml of ["", "bridge:\n", "bridge:\n  cache:\n"]) {
    expect(await load(yaml, GIVEN)).toMatchObject({
      token: "t",
      cache: undefined,
      retryAttempts: 3,
      log: { level: "warn" },
    });
  }
});

test("reports everything that is wrong at once, naming key and file", async () => {
  const problems = await problemsOf(
    `bridge:
  auth_tokn: x
  connection: { timeout_seconds: 0, retry_attempts: many }
  cache: yes please
  logging: { level: loud }
other: 1
`,
    GIVEN,
  );
  const file = join(home, "config.yaml");
  expect(problems).toEqual([
    `unknown key bridge.auth_tokn in ${file}`,
    `bridge.connection.timeout_seconds in ${file} must be a number from 1 to 86400`,
    `bridge.connection.retry_attempts in ${file} must be a number from 0 to 10`,
    `bridge.cache must be a mapping in ${file}`,
    `bridge.logging.level in ${file} must be one of error, warn, info, debug`,
    `unknown key other in ${file}`,
  ]);
  expect((await problemsOf("bridge: [", GIVEN))[0]).toContain("is not valid YAML");
});

test("names a variable that is missing, unless a flag or the environment has the value", async () => {
  const yaml = "bridge:\n  control_plane_url: https://gate.example/mcp\n  auth_token: ${MCP_AUTH_TOKEN}\n";
  expect((await problemsOf(yaml))[0]).toContain("bridge.auth_token");
  expect((await problemsOf(yaml))[0]).toContain("MCP_AUTH_TOKEN");
  expect((await load(yaml, { TOLLGATE_TOKEN: "t" })).token).toBe("t");
});

test("refuses a URL or token that cannot work, without repeating the token", async () => {
  expect(await problemsOf("", { ...GIVEN, TOLLGATE_URL: "gate.example/mcp" })).toEqual([
    'the URL must look like http://127.0.0.1:8080/mcp (or ws://127.0.0.1:8080/mcp/ws); it is "gate.example/mcp"',
  ]);
  expect(await problemsOf("", { ...GIVEN, TOLLGATE_TOKEN: "two words" })).toEqual([
    "the token must be visible ASCII characters without spaces",
  ]);
});
