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
    transport: "",
    headers: {},
    clientCapabilities: ["sampling", "elicitation", "roots", "tasks"],
    sessionContext: false,
    specHash: JSON.stringify(fields.env ?? {}),
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
