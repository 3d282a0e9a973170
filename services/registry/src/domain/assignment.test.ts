import type { DesiredServer } from "@tollgate/desired-state";
import { describe, expect, test } from "vitest";
import { assignmentsFor, assignmentsOf, isSameWork, toAssignment } from "./assignment.ts";

const POOL: DesiredServer["pool"] = {
  mode: "multiplexed",
  shared: false,
  min: 1,
  max: 16,
  maxPerTenant: 12,
  idleTimeoutMs: 600_000,
  callsPerProcess: 256,
  queue: 2_000,
  queueTimeoutMs: 30_000,
};
const LIMITS: DesiredServer["limits"] = {
  memoryBytes: 2 ** 31,
  cpuMillis: 0,
  openFiles: 4_096,
  processes: 128,
  outputBytes: 6_291_456,
  callTimeoutMs: 0,
  concurrency: 0,
};

const SERVER: DesiredServer = {
  id: "files",
  name: "Files",
  group: "demo",
  type: "npx",
  command: "@example/files@1.0.0",
  args: ["/data"],
  env: { A: "1", B: "2" },
  url: "",
  transport: "",
  headers: {},
  startupTimeoutMs: 60_000,
  requirements: "",
  healthCheckIntervalMs: 30_000,
  environment: "",
  risk: "LOW",
  pool: POOL,
  limits: LIMITS,
  sandbox: { mode: "auto", network: true, read: [], write: [] },
  toolPolicy: { changes: "serve_old", certification: "optional", fourEyes: false },
  toolRules: [],
  clientCapabilities: ["sampling", "roots"],
  sessionContext: false,
  enabled: true,
  secrets: [],
  secretNames: ["api-key"],
  written: {},
};

const CONNECTOR: NonNullable<DesiredServer["connector"]> = {
  baseUrl: "https://pets.example",
  operations: [],
  auth: { type: "bearer", token: "token" },
  headers: {},
  timeoutMs: 30_000,
  retry: { attempts: 3, backoffMs: 200, statuses: [503] },
  pagination: { style: "none" },
  result: { pick: "", schema: false },
  ca: "",
};

function desiredOf(servers: readonly DesiredServer[]): Parameters<typeof assignmentsOf>[0] {
  const groups = [...new Set(servers.map(({ group }) => group))].map((id) => ({ id, name: id }));
  return { groups, servers };
}

describe("the hash of a spec", () => {
  const { specHash } = toAssignment(SERVER);

  test.each<[string, Partial<DesiredServer>]>([
    ["id", { id: "other" }],
    ["name", { name: "Other" }],
    ["group", { group: "other" }],
    ["type", { type: "node" }],
    ["command", { command: "@example/files@1.0.1" }],
    ["args", { args: ["/data", ""] }],
    ["a value of env", { env: { A: "1", B: "3" } }],
    ["a name of env", { env: { A: "1", C: "2" } }],
    ["working_dir", { workingDir: "/elsewhere" }],
    ["startup_timeout", { startupTimeoutMs: 60_001 }],
    ["url", { url: "https://files.example/mcp" }],
    ["transport", { transport: "auto" }],
    ["a header", { headers: { A: "1", B: "2" } }],
    ["client_capabilities", { clientCapabilities: ["sampling"] }],
    ["session_context", { sessionContext: true }],
    ["requirements", { requirements: "/r.txt" }],
    ["health_check_interval", { healthCheckIntervalMs: 0 }],
    ["pool", { pool: { ...POOL, mode: "exclusive" } }],
    ["limits", { limits: { ...LIMITS, memoryBytes: 2 ** 30 } }],
    ["sandbox", { sandbox: { mode: "required", network: true, read: [], write: [] } }],
    ["a connector", { connector: CONNECTOR }],
    ["a secret's name", { secretNames: ["other-key"] }],
    [
      "a tool's rule",
      { toolRules: [{ tool: "t", concurrency: 1, callTimeoutMs: 0, fallbacks: [], cachedResultMs: 0, risk: "" }] },
    ],
  ])("changes with %s", (_name, change) => {
    expect(toAssignment({ ...SERVER, ...change }).specHash).not.toBe(specHash);
  });

  test("tells a header from a variable, and one header's value from another's", () => {
    const hashes = [
      { A: "1", B: "2" },
      { A: "1", B: "3" },
      { A: "1", C: "2" },
    ].map((headers) => toAssignment({ ...SERVER, env: {}, headers }).specHash);
    expect(new Set([specHash, ...hashes]).size).toBe(4);
  });

  test("does not change with the order of env and headers, with enabled, with risk, or with how it was written", () => {
    const policies = { environment: "production", risk: "HIGH" } as const;
    const same = { ...SERVER, env: { B: "2", A: "1" }, enabled: false, written: { id: "x" }, ...policies };
    expect(toAssignment(same).specHash).toBe(specHash);
    const withHeaders = (headers: Record<string, string>) => toAssignment({ ...SERVER, headers }).specHash;
    expect(withHeaders({ X: "1", Y: "2" })).toBe(withHeaders({ Y: "2", X: "1" }));
    expect(specHash).toMatch(/^[0-9a-f]{64}$/);
  });

  test("each connector has its own, and runners get it whole", () => {
    const [one, other] = ["token", "other"].map((token) =>
      toAssignment({ ...SERVER, connector: { ...CONNECTOR, auth: { type: "bearer", token } } }),
    );
    expect(one!.specHash).not.toBe(other!.specHash);
    expect(JSON.parse(one!.connector)).toEqual(CONNECTOR);
  });
});

describe("assignments", () => {
  const all = assignmentsOf(
    desiredOf([SERVER, { ...SERVER, id: "off", enabled: false }, { ...SERVER, id: "notes", group: "office" }]),
    { revision: 7n, generationOf: (server) => (server === "notes" ? 2n : 0n) },
  );
  const ids = (groups: string[]): string[] => assignmentsFor(all, groups).assignments.map(({ serverId }) => serverId);

  test("hold enabled servers only", () => expect(ids([])).toEqual(["files", "notes"]));
  test("are those of the asked groups", () => expect(ids(["office", "unknown"])).toEqual(["notes"]));
  test("say which groups they cover", () => {
    expect(assignmentsFor(all, [])).toMatchObject({ revision: 7n, groups: ["demo", "office"] });
    expect(assignmentsFor(all, ["office", "unknown"]).groups).toEqual(["office"]);
    expect(assignmentsFor(all, ["unknown"])).toEqual({ revision: 7n, groups: [], assignments: [] });
  });

  test("are the same work whatever the revision, and other work once a spec differs", () => {
    expect(isSameWork(all, { ...all, revision: 8n })).toBe(true);
    expect(isSameWork(all, { ...all, assignments: all.assignments.slice(1) })).toBe(false);
    expect(isSameWork(all, { ...all, groups: [...all.groups, "new"] })).toBe(false);
    const restarted = all.assignments.map((each) => ({ ...each, generation: each.generation + 1n }));
    expect(isSameWork(all, { ...all, assignments: restarted })).toBe(false);
  });
});
