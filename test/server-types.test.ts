import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually, modernClient, useInfrastructure, useSystem } from "@tollgate/testkit";
import { afterAll, describe, expect, test } from "vitest";

// Servers that are not Node's, through the whole system, and a secret on its way to them.

const dir = mkdtempSync(join(tmpdir(), "tollgate-types-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const SERVICES = ["policy", "registry", "audit", "metering", "runner", "gateway"] as const;
const SECRET = "correct-horse-battery-staple";
mkdirSync(join(dir, "secrets"));
writeFileSync(join(dir, "secrets", "api.key"), `${SECRET}\n`);

/** One tool, which says where it runs and whether it has the secret. */
const TOOL = { name: "where", inputSchema: { type: "object" } };
const INITIALIZED = {
  protocolVersion: "2025-06-18",
  capabilities: { tools: {} },
  serverInfo: { name: "types", version: "1" },
};
const LENGTH = SECRET.length;
writeFileSync(
  join(dir, "server.py"),
  `import json, os, sys
print("key " + os.environ["API_KEY"], file=sys.stderr)
for line in sys.stdin:
    request = json.loads(line)
    results = {
        "initialize": ${JSON.stringify(INITIALIZED)},
        "tools/list": {"tools": [${JSON.stringify(TOOL)}]},
        "tools/call": {"content": [{"type": "text", "text": "%s %d" % (sys.prefix != sys.base_prefix, len(os.environ["API_KEY"]))}]},
    }
    if "id" not in request: continue
    found = results.get(request["method"])
    answer = {"error": {"code": -32601, "message": "Method not found"}} if found is None else {"result": found}
    print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **answer}))
`,
);
writeFileSync(
  join(dir, "server.cjs"),
  `const results = {
  initialize: () => (${JSON.stringify(INITIALIZED)}),
  "tools/list": () => ({ tools: [${JSON.stringify(TOOL)}] }),
  "tools/call": () => ({ content: [{ type: "text", text: process.pid < 100 ? "inside " + process.env.API_KEY.length : "outside" }] }),
};
require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, method } = JSON.parse(line);
  if (id === undefined) return;
  const found = results[method];
  const answer = found ? { result: found() } : { error: { code: -32601, message: "Method not found" } };
  console.log(JSON.stringify({ jsonrpc: "2.0", id, ...answer }));
}).on("close", () => process.exit());`,
);

const hasDocker = answers("docker") || process.env["TOLLGATE_TEST_BACKEND"] === "containers";
const key = `env: { API_KEY: "\${secret:api.key}" }`;
const container = `  - { id: boxed, group: demo, type: container, command: "node:24-trixie-slim", args: [node, ${dir}/server.cjs], sandbox: { network: false, read: [${dir}] }, ${key} }\n`;
const infra = useInfrastructure();
const system = useSystem(infra, {
  yaml: `
groups: [{ id: demo, name: Demo }]
mcp_servers:
  - { id: snake, group: demo, type: python, command: ${dir}/server.py, ${key} }
  - { id: failing, group: demo, type: command, command: sh, args: [-c, 'echo "key is $API_KEY" >&2; exit 1'], ${key} }
  - { id: unlocked, group: demo, type: uv, command: serve, working_dir: ${dir} }
${hasDocker ? container : ""}policies:
  - { name: all, effect: allow, principals: ["token:caller"], actions: ["tools/call"], resources: ["*:*"] }
`,
  env: { registry: { TOLLGATE_SECRETS_DIR: join(dir, "secrets") } },
});

async function call(tool: string): Promise<string> {
  const client = modernClient({ url: `${system.gatewayUrl}/mcp`, token: system.token });
  const { result, error } = (await client.request("tools/call", { name: tool, arguments: {} })).last as {
    result?: { content: { text: string }[] };
    error?: { message: string };
  };
  return result?.content[0]?.text ?? error!.message;
}

/** What the management API says of the servers, as text. */
async function shownServers(): Promise<string> {
  const headers = { Authorization: `Bearer ${system.adminToken}` };
  return (await fetch(`${system.gatewayUrl}/api/v1/servers`, { headers })).text();
}

const STARTS = { timeoutMs: 60_000 };

test("python, in its virtual environment, with a secret", { timeout: 90_000 }, async () => {
  await eventually(async () => expect(await call("snake__where")).toBe(`True ${LENGTH}`), STARTS);
});

describe.runIf(hasDocker)("with an engine", () => {
  test("a container, with a secret", { timeout: 90_000 }, async () => {
    await eventually(async () => expect(await call("boxed__where")).toBe(`inside ${LENGTH}`), STARTS);
  });
});

test(
  "what a server cannot do without is said where servers are shown; a secret is not",
  { timeout: 90_000 },
  async () => {
    await eventually(async () => {
      const shown = await shownServers();
      expect(shown).toContain("uv.lock is not in");
      expect(shown).toContain("key is [secret]");
    }, STARTS);
    expect(await shownServers()).not.toContain(SECRET);
    expect(SERVICES.filter((service) => system.output(service).includes(SECRET))).toEqual([]);
  },
);

function answers(engine: string): boolean {
  try {
    execFileSync(engine, ["info"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
