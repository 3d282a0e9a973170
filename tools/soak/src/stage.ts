import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createInfrastructure,
  createSystem,
  eventually,
  fixtureServer,
  type Line,
  must,
  processesMarked,
  type startSharedServers,
  type System,
} from "@tollgate/testkit";

type SharedServers = Awaited<ReturnType<typeof startSharedServers>>;

/** A whole system of its own for one scenario. */
export interface Stage {
  readonly system: System;
  readonly natsUrl: string;
  readonly busPrefix: string;
  /** For the scenario's files; gone afterwards. */
  readonly dir: string;
  /** The pids of what MCP servers have started, themselves included. */
  serverProcesses(): number[];
  /** JSON of the management API. */
  api<T>(path: string): Promise<T>;
}

export interface Setting {
  readonly groups: readonly string[];
  /** Each: a server of the test fixture, with what else its entry in tollgate.yaml says. */
  readonly servers: readonly { readonly id: string; readonly group: string; readonly more?: string }[];
  readonly tenants: readonly string[];
  /** Further sections of tollgate.yaml. */
  readonly more?: string;
}

const MARK = "SOAK_MARK";
const READY_TIMEOUT_MS = 30_000;
const GONE_TIMEOUT_MS = 5_000;
const LOG_LEVEL = { TOLLGATE_LOG_LEVEL: "warn" };
const ENV = {
  policy: LOG_LEVEL,
  registry: LOG_LEVEL,
  audit: LOG_LEVEL,
  metering: LOG_LEVEL,
  runner: LOG_LEVEL,
  gateway: LOG_LEVEL,
};

/** Starts everything, has the scenario done, stops everything, and adds to its lines what was left. */
export async function onStage(
  shared: SharedServers,
  setting: Setting,
  scenario: (stage: Stage) => Promise<Line[]>,
): Promise<Line[]> {
  const infra = createInfrastructure(shared);
  const mark = infra.busPrefix;
  const dir = await mkdtemp(join(tmpdir(), "tollgate-soak-"));
  const { tenants } = setting;
  const system = createSystem(infra, { yaml: yamlOf(setting, { mark, dir }), tenants, env: ENV });
  await infra.createDatabase();
  try {
    await system.startAll();
    const stage: Stage = {
      system,
      natsUrl: infra.natsUrl,
      busPrefix: infra.busPrefix,
      dir,
      serverProcesses: () => processesMarked(MARK, mark),
      api: (path) => askApi(system, path),
    };
    await untilReady(stage, setting.servers.length);
    const lines = await scenario(stage);
    await system.stopAll();
    return [...lines, await countLeft(stage)];
  } finally {
    await system.stopAll();
    await infra.dropDatabase();
    await rm(dir, { recursive: true, force: true });
  }
}

function yamlOf({ groups, servers, tenants, more }: Setting, { mark, dir }: { mark: string; dir: string }): string {
  const env = `env: { ${MARK}: ${mark}, FIXTURE_COUNT_FILE: "${join(dir, "count")}" }`;
  const principals = tenants.map((tenant) => `"token:${tenant}"`).join(", ");
  return [
    "groups:",
    ...groups.map((id) => `  - { id: ${id}, name: ${id} }`),
    "mcp_servers:",
    ...servers.map(
      ({ id, group, more: rest }) =>
        `  - { id: ${id}, group: ${group}, type: node, command: ${fixtureServer}, ${env}${rest ? `, ${rest}` : ""} }`,
    ),
    "policies:",
    `  - { name: all, effect: allow, principals: [${principals}], actions: ["tools/call"], resources: ["*:*"] }`,
    more ?? "",
  ].join("\n");
}

async function askApi<T>(system: System, path: string): Promise<T> {
  const response = await fetch(`${system.gatewayUrl}${path}`, {
    headers: { authorization: `Bearer ${system.adminToken}` },
  });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

async function untilReady(stage: Stage, servers: number): Promise<void> {
  await eventually(
    async () => {
      const { items } = await stage.api<{ items: { status: string }[] }>("/api/v1/servers");
      const ready = items.filter(({ status }) => status === "ready");
      if (ready.length < servers) throw new Error(`not all servers are ready: ${JSON.stringify(items)}`);
    },
    { timeoutMs: READY_TIMEOUT_MS },
  );
}

async function countLeft(stage: Stage): Promise<Line> {
  const left = await eventually(
    () => {
      const pids = stage.serverProcesses();
      if (pids.length > 0) throw new Error(String(pids.length));
      return 0;
    },
    { timeoutMs: GONE_TIMEOUT_MS },
  ).catch((error: Error) => Number(error.message));
  return must("processes left after the stop", String(left), "0", left === 0);
}
