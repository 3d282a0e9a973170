import { registryV1 } from "@tollgate/contracts";
import { useInfrastructure } from "@tollgate/testkit";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  assignmentIn,
  hashOf,
  runRegistry,
  type RunningRegistry,
  serverIn,
  toolNames,
  TWO_GROUPS,
} from "./running-registry.ts";

const infra = useInfrastructure();
let registry: RunningRegistry;

beforeEach(async () => {
  registry = await runRegistry(infra);
});
afterEach(() => registry.close());

const SEARCH = `
  - id: search
    group: office
    type: python
    command: search.py
    requirements: requirements.txt
    health_check_interval: 10
    pool: { mode: exclusive, shared: true, min: 2, max: 6, idle_timeout: 60, queue: 50, queue_timeout: 5 }
    limits: { memory_mb: 4096, cpu: 1.5, open_files: 256, processes: 8, output_mb: 2, call_timeout: 20, concurrency: 12 }
    sandbox: { mode: required, network: false, read: [/srv/index], write: [/srv/cache] }
    tools:
      find: { concurrency: 3, call_timeout: 4, cached_result: 90, fallback: [{ server: notes, tool: grep }] }
      add: { concurrency: 1 }
`;

const TOOL_RULES = [
  {
    tool: "find",
    concurrency: 3,
    callTimeoutMs: 4_000,
    fallbacks: [{ server: "notes", tool: "grep" }],
    cachedResultMs: 90_000,
    risk: "",
  },
  { tool: "add", concurrency: 1, callTimeoutMs: 0, fallbacks: [], cachedResultMs: 0, risk: "" },
];

describe("how a server is run", () => {
  test("reaches runners whole, and gateways as far as it concerns them", async () => {
    const work = registry.watchAssignments();
    const catalogue = registry.watchCatalogue();
    await registry.writeFile(TWO_GROUPS + SEARCH);
    const assigned = assignmentIn(await work.until((last) => hashOf(last, "search")), "search");
    expect(assigned).toMatchObject({
      type: "python",
      requirements: expect.stringMatching(/^\/.*\/requirements\.txt$/),
      healthCheckIntervalMs: 10_000,
      generation: 0n,
    });
    expect(assigned.pool).toEqual({
      mode: "exclusive",
      shared: true,
      min: 2,
      max: 6,
      maxPerTenant: 6,
      idleTimeoutMs: 60_000,
      callsPerProcess: 1,
      queue: 50,
      queueTimeoutMs: 5_000,
    });
    expect(assigned.limits).toEqual({
      memoryBytes: 4_294_967_296n,
      cpuMillis: 1_500,
      openFiles: 256,
      processes: 8,
      outputBytes: 2_097_152n,
      callTimeoutMs: 20_000,
      concurrency: 12,
    });
    expect(assigned.sandbox).toEqual({
      mode: "required",
      network: false,
      read: ["/srv/index"],
      write: ["/srv/cache"],
    });
    expect(assigned.toolRules).toEqual(TOOL_RULES);

    const shown = await catalogue.until((last) => serverIn(last, "search"));
    expect(serverIn(shown, "search")).toMatchObject({
      toolRules: TOOL_RULES,
      isolation: "",
      limitsBy: "",
      generation: 0n,
    });
    expect(registryV1.WatchCatalogueResponse.encode(shown).finish().toString()).not.toContain("/srv/index");
  });

  test("has its defaults where the file says nothing", async () => {
    const { assignments } = await registry.watchAssignments().until(() => undefined);
    expect(assignments[0]).toMatchObject({
      requirements: "",
      healthCheckIntervalMs: 30_000,
      pool: { mode: "multiplexed", shared: false, min: 1, max: 16, maxPerTenant: 12 },
      limits: { memoryBytes: 2_147_483_648n, cpuMillis: 0, processes: 128, callTimeoutMs: 0, concurrency: 0 },
      sandbox: { mode: "auto", network: true, read: [], write: [] },
      toolRules: [],
    });
  });

  test.each([
    ["max: 6", "max: 7"],
    ["memory_mb: 4096", "memory_mb: 4095"],
    ["network: false", "network: true"],
    ["cached_result: 90", "cached_result: 91"],
    ["health_check_interval: 10", "health_check_interval: 11"],
  ])("is another spec with %s → %s", async (before, after) => {
    await registry.writeFile(TWO_GROUPS + SEARCH);
    const work = registry.watchAssignments();
    const old = hashOf(await work.until((last) => hashOf(last, "search")), "search");
    const others = hashOf(work.received.at(-1)!, "echo");
    await registry.writeFile(TWO_GROUPS + SEARCH.replace(before, after));
    const last = await work.until((each) => expect(hashOf(each, "search")).not.toBe(old));
    expect(hashOf(last, "echo")).toBe(others);
  });
});

describe("tenants", () => {
  const PLANS = `
plans:
  - { name: default, weight: 2, max_concurrent: 40 }
  - { name: gold, lane: interactive, weight: 10, max_concurrent: 64, max_waiting: 8 }
tenants: [{ id: zeta, plan: gold }, { id: acme }]
`;
  const all = { id: "", plan: "default", lane: "standard", weight: 2, maxConcurrent: 40, maxWaiting: 0 };
  const zeta = { id: "zeta", plan: "gold", lane: "interactive", weight: 10, maxConcurrent: 64, maxWaiting: 8 };

  test("are in the catalogue with what their plans give, first the one that stands for all others", async () => {
    const catalogue = registry.watchCatalogue();
    const first = await catalogue.until((last) => expect(last.tenants).toHaveLength(1));
    expect(first.tenants).toEqual([{ ...all, weight: 1, maxConcurrent: 0 }]);

    await registry.writeFile(PLANS + TWO_GROUPS);
    const listed = await catalogue.until((last) => expect(last.tenants).toHaveLength(3));
    expect(listed.tenants).toEqual([all, zeta, { ...all, id: "acme" }]);

    // Another order, one less, another plan.
    await registry.writeFile(
      PLANS.replace("{ id: zeta, plan: gold }, { id: acme }", "{ id: acme }, { id: zeta }") + TWO_GROUPS,
    );
    await catalogue.until((last) => expect(last.tenants.map(({ id }) => id)).toEqual(["", "acme", "zeta"]));
    await registry.writeFile(
      PLANS.replace(", { id: acme }", "").replace("max_waiting: 8", "max_waiting: 9") + TWO_GROUPS,
    );
    await catalogue.until((last) => expect(last.tenants).toEqual([all, { ...zeta, maxWaiting: 9 }]));
  });

  test("that change wake gateways, leave servers as they are, and are none of the runners' business", async () => {
    const catalogue = registry.watchCatalogue();
    const work = registry.watchAssignments();
    await registry.reportTools("echo", ["echo"]);
    const before = await catalogue.until((last) => expect(toolNames(last, "echo")).toEqual(["echo"]));
    const assigned = await work.until(() => undefined);
    const told = work.received.length;
    await registry.writeFile(PLANS + TWO_GROUPS);
    const after = await catalogue.until((last) => expect(last.tenants).toHaveLength(3));
    expect(after.revision).toBe(before.revision + 1n);
    expect(after.servers).toEqual(before.servers);
    // What comes next is the next thing that concerns runners.
    await registry.writeFile(PLANS + TWO_GROUPS.replace("args: [--verbose]", "args: [--quiet]"));
    await work.until((last) => expect(hashOf(last, "echo")).not.toBe(hashOf(assigned, "echo")));
    expect(work.received).toHaveLength(told + 1);
  });

  test("are the same for whoever comes later, and after a restart", async () => {
    await registry.writeFile(PLANS + TWO_GROUPS);
    const { tenants } = await registry.watchCatalogue().until((last) => expect(last.tenants).toHaveLength(3));
    const other = await runRegistry(infra, { text: PLANS + TWO_GROUPS });
    expect((await other.watchCatalogue().until(() => undefined)).tenants).toEqual(tenants);
    await other.close();
  });
});
