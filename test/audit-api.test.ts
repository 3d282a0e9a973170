import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { AccessEvent, AuditEvent, CallEvent } from "@tollgate/contracts";
import { eventually, fixtureServer, modernClient, useInfrastructure, useSystem } from "@tollgate/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

// The record of a whole system, read, exported and followed through the API; and what docs/audit.md tells its readers.

const COMMAND_TIMEOUT_MS = 30_000;
const CALLS = 12;
const TRACE = "0af7651916cd43dd8448eb211c80319c";

const infra = useInfrastructure();
const system = useSystem(infra, {
  yaml: `
groups: [{ id: demo }]
mcp_servers:
  - { id: fixture, group: demo, type: node, command: ${fixtureServer} }
policies:
  - { name: callers, effect: allow, principals: ["token:caller", "token:other"], actions: ["tools/call"], resources: ["fixture:echo"] }
  - { name: auditors, effect: allow, principals: ["token:other"], actions: ["admin/audit/read"], resources: ["*"] }
`,
});

type Token = "admin" | "caller" | "other";
const tokens = (): Record<Token, string> => ({
  admin: system.adminToken,
  caller: system.token,
  other: system.tokenOf("other"),
});

function get(path: string, { token = "admin", ...init }: RequestInit & { token?: Token } = {}) {
  const headers = { authorization: `Bearer ${tokens()[token]}` };
  return fetch(`${system.gatewayUrl}/api/v1/audit/${path}`, { headers, ...init });
}

async function list(query: string, token: Token = "admin"): Promise<AuditEvent[]> {
  const response = await get(`events?limit=1000&${query}`, { token });
  expect(response.status).toBe(200);
  return ((await response.json()) as { items: AuditEvent[] }).items;
}

const echo = (token: string) =>
  modernClient({
    url: `${system.gatewayUrl}/mcp`,
    token,
    headers: { traceparent: `00-${TRACE}-b7ad6b7169203331-01` },
  }).request("tools/call", {
    name: "fixture__echo",
    arguments: { text: "x" },
  });

beforeAll(async () => {
  await eventually(async () => expect((await echo(system.token)).last.result).toBeDefined());
  for (let at = 0; at < CALLS; at++) await echo(system.token);
  await echo(system.tokenOf("other"));
  const refused = { name: "fixture__count", arguments: {} };
  await modernClient({ url: `${system.gatewayUrl}/mcp`, token: system.token }).request("tools/call", refused);
  await eventually(async () => {
    expect((await list("kind=call&tenant=acme")).length).toBeGreaterThanOrEqual(CALLS);
    expect(await list("kind=call&tenant=rival")).toHaveLength(1);
    expect(await list("kind=refusal&decision=deny")).not.toEqual([]);
  });
});

describe("the record", () => {
  test("is found by what calls are known by", async () => {
    const [call] = (await list("kind=call&tenant=acme")) as CallEvent[];
    const about = `id=${call!.id}`;
    for (const query of [
      "outcome=ok",
      "principal=caller",
      "team=research",
      "group=demo",
      "server=fixture",
      "tool=echo",
      "policy=callers",
      "decision=allow",
      `trace=${TRACE.toUpperCase()}`,
    ])
      expect([query, await list(`${about}&${query}`)]).toEqual([query, [call]]);
    expect(await list(`trace=${TRACE}&tenant=acme`)).toEqual(await list("kind=call&tenant=acme"));
    const denied = await list("text=policy+allows&kind=refusal");
    expect(denied).toContainEqual(expect.objectContaining({ principal: "caller", tool: "count" }));
  });

  test("of another tenant is nobody's who is no administrator of all", async () => {
    expect(new Set((await list("", "other")).map(({ tenant }) => tenant))).toEqual(new Set(["rival"]));
    for (const path of ["events?tenant=acme", "export?tenant=acme", "tail?tenant=acme"])
      expect((await get(path, { token: "other" })).status).toBe(403);
    for (const path of ["events", "export", "tail"]) expect((await get(path, { token: "caller" })).status).toBe(403);
    const [foreign] = await list("tenant=acme&kind=call");
    expect(await list(`id=${foreign!.id}`, "other")).toEqual([]);
  });

  test("is exported as it is listed", async () => {
    const listed = await list("kind=call");
    const text = await (await get("export?kind=call")).text();
    const lines = text.trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line) as AuditEvent)).toEqual(listed.toReversed());
    const rows = (await (await get("export?kind=call&format=csv")).text()).trimEnd().split("\r\n");
    expect(rows.slice(1).map((row) => row.split(",")[1])).toEqual(listed.map(({ id }) => id).toReversed());
  });

  test("says who has read it", async () => {
    await (await get("export?tool=echo&outcome=ok")).text();
    await eventually(async () => {
      const accesses = (await list("kind=access&outcome=export")) as AccessEvent[];
      const its = accesses.filter(({ query }) => query["tool"] === "echo");
      expect(its.map(({ principal, count }) => [principal, count > 0]).toReversed()).toEqual([
        ["admin", false],
        ["admin", true],
      ]);
    });
  });
});

describe("docs/audit.md", () => {
  let folder = "";
  let commands: string[] = [];
  beforeAll(async () => {
    const text = await readFile(join(import.meta.dirname, "../docs/audit.md"), "utf8");
    commands = [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => match[1]!);
    folder = await mkdtemp(join(tmpdir(), "tollgate-audit-"));
    await mkdir(join(folder, ".tollgate"));
    await writeFile(join(folder, ".tollgate/connect.json"), JSON.stringify({ adminToken: system.adminToken }));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  async function paste(block: string): Promise<string> {
    const here = block.replaceAll("http://127.0.0.1:8080", system.gatewayUrl);
    const options = { cwd: folder, timeout: COMMAND_TIMEOUT_MS };
    // A tail has no end of its own: curl ends it, and says so.
    const { stdout } = await promisify(execFile)("bash", ["-uc", here], options).catch((error: unknown) => {
      if ((error as { code?: unknown }).code === 28) return error as { stdout: string };
      throw error;
    });
    return stdout;
  }

  test("has commands that do what it says", async () => {
    const [search, save, follow, ...others] = commands;
    expect(others).toEqual([]);
    const { items } = JSON.parse(await paste(search!)) as { items: AuditEvent[] };
    expect(new Set(items.map(({ kind }) => kind))).toEqual(new Set(["refusal"]));
    await paste(save!);
    expect(await readFile(join(folder, "audit.csv"), "utf8")).toMatch(/^time,id,kind,[\s\S]*,call,ok,acme,/);
    const following = paste(follow!);
    const refusing = setInterval(() => void get("events", { token: "caller" }).catch(() => undefined), 200);
    const shown = await following.finally(() => clearInterval(refusing));
    expect(shown).toMatch(/^id: \d+\.\d+\nevent: message\ndata: \{.*"kind":"refusal"/m);
  });
});
