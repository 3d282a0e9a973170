import { registryV1 } from "@tollgate/contracts";
import { callUnary, followStream, type Life, type Log, openGrpcClient, serviceMetadata } from "@tollgate/service";
import type { RunnerConfig } from "../config.ts";

const REPORT_TIMEOUT_MS = 5_000;

/** The registry, as this runner sees it. */
export interface Registry {
  report(report: Omit<registryV1.ReportServerRequest, "runner">): Promise<void>;
  /** Hears of the servers that are to be run here, now and whenever that changes. */
  follow(onAssignments: (message: registryV1.WatchAssignmentsResponse) => void): void;
}

export function connectRegistry(
  config: RunnerConfig,
  { runner, life, log }: { runner: string; life: Life; log: Log },
): Registry {
  const address = config.registryAddress;
  const client = openGrpcClient(registryV1.RegistryServiceClient, { address, name: "registry", life });
  const metadata = serviceMetadata(config.serviceKey);
  return {
    async report(report) {
      const options = { metadata, timeoutMs: REPORT_TIMEOUT_MS, service: "registry" };
      await callUnary(client.reportServer.bind(client), { ...report, runner }, options);
    },
    follow: (onMessage) =>
      followStream({
        name: "registry assignments",
        open: () => client.watchAssignments({ runner, groups: [...config.groups] }, metadata),
        onMessage,
        signal: life.signal,
        log,
      }),
  };
}
