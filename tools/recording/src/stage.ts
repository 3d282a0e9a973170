import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSystem, eventually, fixtureServer, type Infrastructure, type System } from "@tollgate/testkit";
import { type OwnServers, startOwnServers } from "./servers.ts";

const READY_TIMEOUT_MS = 60_000;
const SERVICES = ["policy", "registry", "audit", "metering", "runner", "gateway"];
const ENV = Object.fromEntries(SERVICES.map((service) => [service, { TOLLGATE_LOG_LEVEL: "warn" }]));
/** May not run twice: what it has done is counted in a file. */
export const TOOL = "fixture__count";

/** A whole system on servers of its own. */
export interface Stage {
  readonly servers: OwnServers;
  readonly infra: Infrastructure;
  readonly system: System;
  /** What the tool was given, each time that it ran. */
  executions(): Promise<string[]>;
  api(method: string, path: string): Promise<Response>;
}

export async function onStage<T>(play: (stage: Stage) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), "tollgate-recording-"));
  const countFile = join(dir, "count");
  const servers = await startOwnServers();
  const { infra } = servers;
  const system = createSystem(infra, { yaml: yamlOf(countFile), env: ENV });
  try {
    await system.startAll();
    const stage: Stage = {
      servers,
      infra,
      system,
      executions: async () => (await readFile(countFile, "utf8").catch(() => "")).split("\n").filter(Boolean),
      api: (method, path) =>
        fetch(`${system.gatewayUrl}/api/v1${path}`, {
          method,
          headers: { authorization: `Bearer ${system.adminToken}` },
        }),
    };
    await untilReady(stage);
    return await play(stage);
  } finally {
    await system.stopAll();
    await servers.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

function yamlOf(countFile: string): string {
  return `
groups: [{ id: demo, name: Demo }]
mcp_servers:
  - { id: fixture, group: demo, type: node, command: ${fixtureServer}, env: { FIXTURE_COUNT_FILE: "${countFile}" } }
policies:
  - { name: all, effect: allow, principals: ["token:caller"], actions: ["tools/call"], resources: ["fixture:*"] }
`;
}

async function untilReady(stage: Stage): Promise<void> {
  await eventually(
    async () => {
      const { items } = (await (await stage.api("GET", "/servers")).json()) as { items: { status: string }[] };
      if (items[0]?.status !== "ready") throw new Error(`the server is not ready: ${JSON.stringify(items)}`);
    },
    { timeoutMs: READY_TIMEOUT_MS },
  );
}
