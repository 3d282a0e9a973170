import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { registryV1 } from "@tollgate/contracts";
import { freePort } from "@tollgate/embedded";
import { callUnary, createLog, type Life, openGrpcClient, openLife, serviceMetadata } from "@tollgate/service";
import { createInfrastructure, eventually, startService, startSharedServers } from "@tollgate/testkit";

const SERVERS = 50;
const TOOLS_PER_SERVER = 40;
/** The servers of the group "first": 200 tools. */
const FIRST_SERVERS = 5;
export const TOOLS_IN_ALL = SERVERS * TOOLS_PER_SERVER;
export const TOOLS_IN_FIRST = FIRST_SERVERS * TOOLS_PER_SERVER;
const REPORT_TIMEOUT_MS = 10_000;
const READY_TIMEOUT_MS = 30_000;

/**
 * What answers lists: policy, registries and gateways, as processes, with 2,000 tools on 50 servers. Nothing runs the
 * servers: what a runner would have found out about them is reported by the stage.
 */
export interface CatalogueStage {
  /** Of the gateways; each has a registry of its own. */
  readonly urls: readonly string[];
  readonly token: string;
  /** Process ids of all services, by name and number. */
  readonly pids: Readonly<Record<string, number>>;
  /** Reports the nth server once more through the first registry, with a tool of this name more. */
  reportTool(server: number, name: string): Promise<void>;
}

export async function onCatalogueStage<T>(
  { replicas }: { replicas: number },
  play: (stage: CatalogueStage) => Promise<T>,
): Promise<T> {
  const log = createLog({ name: "bench", level: "warn" });
  const life = openLife(log);
  try {
    const shared = await startSharedServers("embedded");
    life.onClose("servers", 20_000, () => shared.stop());
    const infra = createInfrastructure(shared);
    await infra.createDatabase();
    life.onClose("database", 10_000, () => infra.dropDatabase());
    return await play(await startStage(infra, { replicas, life }));
  } finally {
    await life.close();
  }
}

type Infrastructure = ReturnType<typeof createInfrastructure>;

async function startStage(
  infra: Infrastructure,
  { replicas, life }: { replicas: number; life: Life },
): Promise<CatalogueStage> {
  const token = `tg_${infra.busPrefix}_caller`;
  const directory = await mkdtemp(join(tmpdir(), "tollgate-bench-"));
  life.onClose("files", 5_000, () => rm(directory, { recursive: true }));
  const configFile = join(directory, "tollgate.yaml");
  await writeFile(configFile, yamlWith(token));
  const pids: Record<string, number> = {};
  const start = starter(infra, { configFile, life, pids });
  const policyPort = await start("policy", {});
  const urls: string[] = [];
  let reporter: Reporter | undefined;
  for (let n = 0; n < replicas; n++) {
    const registryPort = await start("registry", {});
    reporter ??= await openReporter(registryPort, infra.serviceKey, life);
    const addresses = { policy: `127.0.0.1:${policyPort}`, registry: `127.0.0.1:${registryPort}` };
    urls.push(`http://127.0.0.1:${await start("gateway", addresses)}`);
  }
  // One after the other, as the registry takes them anyway.
  for (let n = 0; n < SERVERS; n++) await reporter!.report(n, toolsOf(n));
  return {
    urls,
    token,
    pids,
    reportTool: (server, name) => reporter!.report(server, [...toolsOf(server), toolOf(name)]),
  };
}

/** Starts a service, and gives the port that others ask it on: gRPC, and HTTP of a gateway. */
function starter(
  infra: Infrastructure,
  { configFile, life, pids }: { configFile: string; life: Life; pids: Record<string, number> },
) {
  return async (service: "policy" | "registry" | "gateway", addresses: Record<string, string>): Promise<number> => {
    const [grpcPort, httpPort] = [await freePort(), await freePort()];
    const started = await startService(service, {
      TOLLGATE_LOG_LEVEL: "warn",
      TOLLGATE_SERVICE_KEY: infra.serviceKey,
      TOLLGATE_NATS_URL: infra.natsUrl,
      TOLLGATE_BUS_PREFIX: infra.busPrefix,
      TOLLGATE_DATABASE_URL: service === "gateway" ? "" : infra.databaseUrl(service),
      TOLLGATE_CONFIG_FILE: configFile,
      TOLLGATE_GRPC_PORT: String(grpcPort),
      TOLLGATE_HTTP_PORT: String(httpPort),
      ...Object.fromEntries(
        Object.entries(addresses).map(([name, address]) => [`TOLLGATE_${name.toUpperCase()}_ADDRESS`, address]),
      ),
    });
    pids[`${service} ${Object.keys(pids).filter((name) => name.startsWith(service)).length + 1}`] = started.pid;
    life.onClose(service, 20_000, () => started.stop("SIGTERM"));
    return service === "gateway" ? httpPort : grpcPort;
  };
}

interface Reporter {
  report(server: number, toolDefinitions: string[]): Promise<void>;
}

/** Says of servers what a runner says. */
async function openReporter(port: number, serviceKey: string, life: Life): Promise<Reporter> {
  const metadata = serviceMetadata(serviceKey);
  const address = `127.0.0.1:${port}`;
  const client = openGrpcClient(registryV1.RegistryServiceClient, { address, name: "registry", life });
  const hashes = new Map<string, string>();
  const watch = client.watchAssignments({ runner: "bench", groups: [] }, metadata);
  watch.on("error", () => undefined);
  watch.on("data", ({ assignments }: registryV1.WatchAssignmentsResponse) => {
    for (const { serverId, specHash } of assignments) hashes.set(serverId, specHash);
  });
  life.onClose("watch", 1_000, () => watch.cancel());
  await eventually(() => hashes.size === SERVERS || Promise.reject(new Error("no assignments")), {
    timeoutMs: READY_TIMEOUT_MS,
  });
  const unary = { metadata, timeoutMs: REPORT_TIMEOUT_MS, service: "registry" };
  return {
    async report(server, toolDefinitions) {
      const serverId = idOf(server);
      const found = { era: "legacy", status: "ready", protocol: "2025-11-25", capabilities: '{"tools":{}}' };
      const about = { runner: "bench", serverId, specHash: hashes.get(serverId)!, toolDefinitions };
      const request = registryV1.ReportServerRequest.fromPartial({ ...found, ...about });
      await callUnary(client.reportServer.bind(client), request, unary);
    },
  };
}

const idOf = (server: number) => `s${String(server).padStart(2, "0")}`;

function yamlWith(token: string): string {
  const servers = Array.from({ length: SERVERS }, (_each, n) => {
    const group = n < FIRST_SERVERS ? "first" : "rest";
    return `  - { id: ${idOf(n)}, group: ${group}, type: remote, url: "http://127.0.0.1:9/mcp" }`;
  });
  return `control_plane:
  auth:
    tokens:
      - { name: caller, token: ${token}, tenant: acme, team: research, permissions: [mcp] }
groups: [{ id: first }, { id: rest }]
mcp_servers:
${servers.join("\n")}
policies:
  - { name: readers, effect: allow, principals: ["tenant:acme"], actions: ["*"], resources: ["*"] }
  - { name: no-drops, effect: deny, principals: ["*"], actions: ["*"], resources: ["*:drop_*"] }
`;
}

function toolsOf(server: number): string[] {
  return Array.from({ length: TOOLS_PER_SERVER }, (_each, n) => toolOf(`read_record_${server}_${n}`));
}

/** As long as tools of real servers are in the middle: about 600 bytes. */
function toolOf(name: string): string {
  return JSON.stringify({
    name,
    title: `Read the record ${name}`,
    description:
      "Reads one record by its id, with the fields that are asked for. Records that were archived are found as well when include_archived is true; fields that the caller may not see are left out of the answer.",
    inputSchema: {
      type: "object",
      properties: {
        id: { type: "string", description: "The record's id, as lists give it" },
        fields: { type: "array", items: { type: "string" }, description: "Names of fields; without any: all" },
        include_archived: { type: "boolean", default: false },
      },
      required: ["id"],
    },
    annotations: { readOnlyHint: true },
  });
}
