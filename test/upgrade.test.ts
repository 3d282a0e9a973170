import { readFileSync, rmSync } from "node:fs";
import { basename } from "node:path";
import { eventually, fixtureServer, modernClient, useInfrastructure, useSystem } from "@tollgate/testkit";
import { afterAll, describe, expect, test } from "vitest";
import { newMigrations, unpackLastVersion } from "./upgrade/last-version.ts";

/** The order in which docs/upgrading.md says it is done. */
const SERVICES = ["policy", "registry", "audit", "metering", "runner", "gateway"] as const;

/** What a service of the last version, which knows nothing of it, may stumble over. */
const BREAKING: readonly [what: string, pattern: RegExp][] = [
  ["removes a table or a column", /\bDROP\s+(?:TABLE|COLUMN|SCHEMA|VIEW)\b/i],
  ["renames something", /\bRENAME\b/i],
  ["changes a column's type", /\bALTER\s+(?:COLUMN\s+)?\w+\s+(?:SET\s+DATA\s+)?TYPE\b/i],
  ["asks for values that the last version does not write", /\bSET\s+NOT\s+NULL\b/i],
  ["adds a column that the last version does not write", /\bADD\s+COLUMN\s+(?![^,;]*\bDEFAULT\b)[^,;]*\bNOT\s+NULL\b/i],
];

test.each(newMigrations().map((file) => [basename(file), file] as const))(
  "%s leaves what the last version needs",
  (_name, file) => {
    const sql = readFileSync(file, "utf8").replaceAll(/--.*$/gm, "");
    expect(BREAKING.filter(([, pattern]) => pattern.test(sql)).map(([what]) => what)).toEqual([]);
  },
);

const lastVersion = unpackLastVersion();
afterAll(() => lastVersion !== undefined && rmSync(lastVersion, { recursive: true }));

// The commit is in every clone; a copy without history has the check above.
describe.runIf(lastVersion !== undefined)("an installation of the last version", () => {
  const infra = useInfrastructure();
  const system = useSystem(infra, {
    root: lastVersion!,
    yaml: `
groups: [{ id: demo, name: Demo }]
mcp_servers:
  - { id: counter, group: demo, type: node, command: ${fixtureServer} }
policies:
  - { name: allow, effect: allow, principals: ["token:caller"], actions: ["tools/call"], resources: ["counter:*"] }
`,
  });
  let calls = 0;

  async function api(path: string, init: RequestInit = {}): Promise<any> {
    const headers = { authorization: `Bearer ${system.adminToken}`, "content-type": "application/json" };
    const response = await fetch(`${system.gatewayUrl}${path}`, { ...init, headers });
    const body: unknown = await response.json();
    expect(response.ok, JSON.stringify(body)).toBe(true);
    return body;
  }

  /** A call goes through, and is on record and billed, as all that were before it. */
  async function works(): Promise<void> {
    const client = modernClient({ url: `${system.gatewayUrl}/mcp`, token: system.token });
    await eventually(async () => {
      const { status, text } = await client.request("tools/call", {
        name: "counter__echo",
        arguments: { message: "hello" },
      });
      expect(status, text).toBe(200);
      expect(text).toContain("hello");
    });
    calls += 1;
    await eventually(async () => {
      const { items } = await api("/api/v1/audit/events?kind=call&limit=1000");
      const { total } = await api("/metering/usage");
      expect(items.filter(({ outcome }: { outcome: string }) => outcome === "ok")).toHaveLength(calls);
      expect(total.calls).toBe(items.length);
    });
  }

  async function replaceEach(root: string | undefined): Promise<void> {
    for (const service of SERVICES) {
      await system.replace(service, root);
      await works();
    }
  }

  test("works", works);

  test("is upgraded service by service, and each step works", async () => {
    const policy = { effect: "deny", principals: ["*"], actions: ["tools/call"], resources: ["counter:add"] };
    await api("/api/v1/policies/kept", { method: "PUT", body: JSON.stringify(policy) });
    await replaceEach(undefined);
    expect(await api("/api/v1/policies/kept")).toMatchObject(policy);
  });

  test("goes back service by service, on the database that this version has changed", async () => {
    await replaceEach(lastVersion);
    expect(await api("/api/v1/policies/kept")).toMatchObject({ effect: "deny" });
  });
});
