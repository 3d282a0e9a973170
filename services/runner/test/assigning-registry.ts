import { registryV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { type Life, startGrpcServer, unary } from "@tollgate/service";
import { fixtureServer, testLog } from "@tollgate/testkit";

type Stream = Parameters<registryV1.RegistryServiceServer["watchAssignments"]>[0];

/** The registry's side of the contract with runners. */
export interface AssigningRegistry {
  readonly address: string;
  readonly reports: registryV1.ReportServerRequest[];
  /** So many of the next reports cannot be taken. */
  failReports(count: number): void;
  assign(assignments: readonly registryV1.Assignment[]): void;
}

export function assignment(fields: Partial<registryV1.Assignment> = {}): registryV1.Assignment {
  return {
    serverId: "fixture",
    name: "Fixture",
    group: "demo",
    type: "node",
    command: fixtureServer,
    args: [],
    env: {},
    workingDir: "",
    startupTimeoutMs: 10_000,
    url: "",
    connector: "",
    transport: "",
    headers: {},
    clientCapabilities: ["sampling", "elicitation", "roots", "tasks"],
    sessionContext: false,
    requirements: "",
    healthCheckIntervalMs: 0,
    pool: poolOf(),
    limits: limitsOf(),
    sandbox: { mode: "off", network: true, read: [], write: [] },
    toolRules: [],
    generation: 0n,
    secretNames: [],
    secrets: [],
    specHash: JSON.stringify(fields.env ?? {}),
    ...fields,
  };
}

export function poolOf(fields: Partial<registryV1.Pool> = {}): registryV1.Pool {
  return {
    mode: "multiplexed",
    shared: false,
    min: 1,
    max: 16,
    maxPerTenant: 16,
    idleTimeoutMs: 600_000,
    callsPerProcess: 256,
    queue: 2_000,
    queueTimeoutMs: 30_000,
    ...fields,
  };
}

export function limitsOf(fields: Partial<registryV1.Limits> = {}): registryV1.Limits {
  return {
    memoryBytes: 0n,
    cpuMillis: 0,
    openFiles: 0,
    processes: 0,
    outputBytes: 6n * 1024n * 1024n,
    callTimeoutMs: 0,
    concurrency: 0,
    ...fields,
  };
}

export async function startRegistry(options: { serviceKey: string; life: Life }): Promise<AssigningRegistry> {
  const reports: registryV1.ReportServerRequest[] = [];
  const streams = new Set<Stream>();
  let assignments: readonly registryV1.Assignment[] = [];
  let revision = 0n;
  let failures = 0;
  const snapshot = () => ({ revision, groups: ["demo"], assignments: [...assignments] });
  const implementation: Partial<registryV1.RegistryServiceServer> = {
    watchAssignments(stream) {
      streams.add(stream);
      stream.on("cancelled", () => streams.delete(stream));
      stream.write(snapshot());
    },
    reportServer: unary(testLog, (report: registryV1.ReportServerRequest) => {
      if (failures > 0) {
        failures -= 1;
        throw new AppError("unavailable", "the database is away");
      }
      reports.push(report);
      return { revision };
    }),
  };
  const definition = registryV1.RegistryServiceService;
  const services = [{ definition, implementation: implementation as registryV1.RegistryServiceServer }];
  const { port } = await startGrpcServer({ host: "127.0.0.1", port: 0, services, ...options });
  return {
    address: `127.0.0.1:${port}`,
    reports,
    failReports(count) {
      failures = count;
    },
    assign(next) {
      assignments = next;
      revision += 1n;
      for (const stream of streams) stream.write(snapshot());
    },
  };
}
