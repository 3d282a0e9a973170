import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { checkNode } from "../src/doctor/machine.ts";
import { run } from "./run.ts";

// What doctor makes of what it finds: of a gateway, and of a folder. A real gateway is asked in commands.test.ts.

const folder = mkdtempSync(join(tmpdir(), "tollgate-doctor-"));
const READY = { version: "0.1.0", ready: true, reasons: {}, behind: 0 };
const NAMES = ["gateway", "policy", "registry", "runner", "audit", "metering"];
const stream = (name: string, messages = 0, bytes = 0) => ({ name, messages, bytes, maxBytes: 100 });
const HEALTH = {
  status: "ready",
  version: "0.1.0",
  parts: NAMES.map((name) => ({ name, ...READY })),
  missing: [] as string[],
  streams: [stream("CALLS"), stream("AUDIT"), stream("REPLIES", 9, 99), stream("DEAD")],
  servers: {},
};
const FILE = `
groups: [{ id: demo }]
mcp_servers: [{ id: one, group: demo, type: node, command: one.mjs }]
policies: [{ name: some, effect: allow, principals: ["token:ann"], actions: ["*"], resources: ["*"] }]
`;

/** The gateway's answers, by path. */
let answers: Record<string, unknown> = {};
let gateway: Server;
beforeAll(async () => {
  gateway = createServer((request, response) => {
    const path = request.url!.split("?")[0]!;
    const answer =
      path === "/api/v1/health" ? { at: new Date().toISOString(), ...(answers[path] as object) } : answers[path];
    response.writeHead(answer === undefined ? 404 : 200, { "content-type": "application/json" });
    response.end(JSON.stringify(answer ?? { code: "not_found", detail: `there is no ${path}` }));
  });
  await new Promise<void>((resolve) => gateway.listen(0, "127.0.0.1", resolve));
});
afterAll(() => {
  gateway.close();
  rmSync(folder, { recursive: true, force: true });
});

async function examine(given: Record<string, unknown>, file = FILE) {
  const list = (items: unknown[] = []) => ({ items, nextCursor: null });
  const lists = Object.fromEntries(["servers", "tools", "tokens", "drift"].map((name) => [`/api/v1/${name}`, list()]));
  answers = { "/api/v1/health": HEALTH, ...lists };
  for (const [name, value] of Object.entries(given))
    answers[`/api/v1/${name}`] = Array.isArray(value) ? list(value) : value;
  writeFileSync(join(folder, "tollgate.yaml"), file);
  const { port } = gateway.address() as AddressInfo;
  const env = { TOLLGATE_URL: `http://127.0.0.1:${port}`, TOLLGATE_ADMIN_TOKEN: "x" };
  const words = ["doctor", "-f", "tollgate.yaml", "--state", folder];
  const { code, out } = await run([...words, "--json"], { env, here: folder });
  const { findings } = JSON.parse(out) as { findings: { level: string; what: string; advice?: string }[] };
  const text = await run(words, { env, here: folder });
  expect(text.code).toBe(code);
  expect(text.out.trimEnd().split("\n").at(-1)).toMatch(/^\d+ fine, \d+ unwise, \d+ broken$/);
  return { code, found: findings.filter(({ level }) => level !== "ok"), findings };
}

const placed = (place: string, what: string) => `${join(folder, "tollgate.yaml")}:${place}: ${what}`;

test("a healthy installation has nothing to be said of", async () => {
  chmodSync(folder, 0o700);
  const { code, found } = await examine({});
  expect({ code, found }).toEqual({ code: 0, found: [] });
});

describe("a gateway", () => {
  const named = (name: string, of: object) =>
    HEALTH.parts.map((part) => (part.name === name ? { ...part, ...of } : part));

  test.each([
    [{ parts: named("audit", { ready: false, reasons: { lag: "9 wait" } }) }, "problem", "audit is not ready: 9 wait"],
    [{ missing: ["policy"] }, "problem", "nobody answers for policy"],
    [{ parts: named("runner", { version: "0.0.9" }) }, "warning", "there are several versions: 0.1.0, 0.0.9"],
    [{ parts: named("metering", { behind: 5_000 }) }, "warning", "metering is 5000 messages behind"],
    [{ streams: [stream("DEAD", 2, 1)] }, "warning", "2 messages could not be processed"],
    [{ streams: [stream("AUDIT", 1, 81)] }, "problem", "the stream AUDIT is full to 81 %"],
    [{ at: "2020-01-01T00:00:00Z" }, "warning", expect.stringContaining("clock differs by -")],
  ])("%j", async (given, level, what) => {
    const { code, found } = await examine({ health: { ...HEALTH, ...given } });
    expect(found).toEqual([{ level, what, advice: expect.any(String) }]);
    expect(code).toBe(level === "problem" ? 1 : 0);
  });

  test("that nobody answers for", async () => {
    const env = { TOLLGATE_URL: "http://127.0.0.1:9", TOLLGATE_ADMIN_TOKEN: "x" };
    const { code, out } = await run(["doctor", "--state", folder], { env, here: folder });
    expect({ code, out }).toEqual({
      code: 1,
      out: expect.stringMatching(/✗ nobody answers at http:\/\/127\.0\.0\.1:9.*\n {4}Start it/),
    });
  });
});

describe("the catalogue", () => {
  const server = { id: "one", type: "npx", status: "ready", reason: "", isolation: "bubblewrap", limitsBy: "cgroup" };
  const admin = { name: "admin", source: "file", permissions: ["admin"], expiresAt: null, revokedAt: null };

  test.each([
    [
      "servers",
      [{ ...server, status: "unavailable", reason: "it ended" }],
      "problem",
      "the server one is unavailable: it ended",
    ],
    ["servers", [{ ...server, isolation: "none" }], "warning", "processes that see the whole machine: one"],
    ["servers", [{ ...server, limitsBy: "none" }], "warning", "processes that nothing holds to their limits: one"],
    ["tools", [{ server: "one", name: "t", hold: "held" }], "warning", "tools that are kept back: one:t"],
    [
      "tools",
      [{ server: "one", name: "t", risk: "HIGH" }],
      "warning",
      "of risk HIGH or CRITICAL, with at most one token that may approve: one:t",
    ],
    ["tokens", [{ ...admin, name: "ci", source: "api" }], "warning", "tokens that never expire: ci"],
    ["drift", [{ kind: "server", id: "one", drift: "changed" }], "warning", "otherwise than the file says: server one"],
    ["drift", undefined, "warning", "could not be looked at: /api/v1/drift"],
  ])("%s %j", async (name, items, level, what) => {
    const { found } = await examine({ [name]: items });
    expect(found).toEqual([{ level, what, advice: expect.any(String) }]);
  });

  test("nobody approves of his own calls: one who may decide is not enough", async () => {
    const { found } = await examine({ servers: [{ ...server, risk: "CRITICAL" }], tokens: [admin] });
    expect(found).toEqual([
      {
        level: "warning",
        what: expect.stringMatching(/at most one token that may approve: one$/),
        advice: expect.any(String),
      },
    ]);
  });

  test("what is disabled, remote, expiring or revoked is fine; and two may approve", async () => {
    const { found } = await examine({
      servers: [
        { ...server, status: "disabled" },
        { ...server, type: "remote", isolation: "none", limitsBy: "none" },
      ],
      tokens: [admin, { ...admin, name: "ann" }, { ...admin, source: "api", revokedAt: "2026-01-01T00:00:00Z" }],
      tools: [{ server: "one", name: "t", risk: "HIGH", hold: "" }],
    });
    expect(found).toEqual([]);
  });
});

describe("the configuration file", () => {
  test("with mistakes: each with its place", async () => {
    const { code, found } = await examine(
      {},
      "groups: [{ id: g }]\nmcp_servers: [{ id: a, group: h, type: node, command: x }]\n",
    );
    expect(found).toEqual([
      {
        level: "problem",
        what: expect.stringMatching(/tollgate\.yaml:2:\d+: mcp_servers\[0\]\.group is not the id of a group/),
        advice: expect.any(String),
      },
    ]);
    expect(code).toBe(1);
  });

  test.each([
    [
      "secrets in plain text",
      FILE.replace(
        "command: one.mjs",
        "command: one.mjs, env: { API_TOKEN: abc, GREETING: hello, OTHER_KEY: '${KEY}' }",
      ),
      placed("3:87", "mcp_servers[0].env.API_TOKEN stands there in plain text"),
    ],
    [
      "a token in plain text",
      `control_plane: { auth: { tokens: [{ name: ann, token: abc, expires_at: "2030-01-01T00:00:00Z" }] } }\n${FILE}`,
      placed("1:55", "control_plane.auth.tokens[0].token stands there in plain text"),
    ],
    [
      "a token without an end",
      `control_plane: { auth: { tokens: [{ name: ann, token: "\${T}" }] } }\n${FILE}`,
      "tokens that never expire: ann",
    ],
    ["everything for everybody", FILE.replace('"token:ann"', '"*"'), "everybody may do everything, by the policy some"],
    [
      "a package of no version",
      FILE.replace("type: node, command: one.mjs", "type: npx, command: some-server"),
      expect.stringMatching(/:3:\d+: mcp_servers\[0\]\.command .*version/),
    ],
  ])("%s", async (_name, file, what) => {
    const { found, code } = await examine({}, file);
    expect(found).toEqual([{ level: "warning", what, advice: expect.any(String) }]);
    expect(JSON.stringify(found)).not.toContain("abc");
    expect(code).toBe(0);
  });
});

describe("this machine", () => {
  test("an old Node", () => {
    expect(checkNode("20.11.1")).toMatchObject({ level: "problem", what: "Node 20.11.1 is too old" });
    expect(checkNode("24.0.0")).toMatchObject({ level: "ok" });
  });

  test("a folder of secrets that others can read", async () => {
    const open = join(folder, "secrets");
    mkdirSync(open);
    chmodSync(open, 0o755);
    const env = { TOLLGATE_URL: "http://127.0.0.1:9", TOLLGATE_ADMIN_TOKEN: "x", TOLLGATE_SECRETS_DIR: open };
    const { out } = await run(["doctor", "--state", folder], { env, here: folder });
    expect(out).toContain(`✗ others on this machine can read ${open}\n    chmod go-rwx ${open}\n`);
  });
});
