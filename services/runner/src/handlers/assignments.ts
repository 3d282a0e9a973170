import type { registryV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import type { Log } from "@tollgate/service";
import type { RunnerConfig } from "../config.ts";
import type { ProcessLedger } from "../upstream/process-ledger.ts";
import { openPool, type Pool, type ServerReport } from "../upstream/pool.ts";

type Report = Omit<registryV1.ReportServerRequest, "runner">;

export interface Pools {
  readonly processes: number;
  get(server: string): Pool | undefined;
  /** Makes the pools those of a new set of assignments: a changed server gets a new pool, the old one finishes and ends. */
  apply(assignments: readonly registryV1.Assignment[]): void;
  close(): Promise<void>;
}

export function createPools(options: {
  config: RunnerConfig;
  installDir: string;
  baseEnv: RunnerConfig["baseEnv"];
  ledger: ProcessLedger;
  report: (report: Report) => Promise<void>;
  log: Log;
}): Pools {
  const { log } = options;
  const pools = new Map<string, { pool: Pool; specHash: string }>();
  const ending = new Set<Promise<void>>();

  function end(server: string): void {
    const entry = pools.get(server);
    if (!entry) return;
    pools.delete(server);
    const closed = entry.pool.close().finally(() => ending.delete(closed));
    ending.add(closed);
  }

  function begin(assignment: registryV1.Assignment): void {
    const { serverId, specHash } = assignment;
    const report = (found: ServerReport): void => {
      options.report(toReport(assignment, found)).catch((error: unknown) => {
        const reason = error instanceof AppError ? error.message : String(error);
        log.warn({ server: serverId, reason }, "the registry did not take a report");
      });
    };
    pools.set(serverId, { specHash, pool: openPool({ ...options, spec: assignment, report }) });
  }

  return {
    get processes() {
      let count = 0;
      for (const { pool } of pools.values()) count += pool.processes;
      return count;
    },
    get: (server) => pools.get(server)?.pool,
    apply(assignments) {
      const wanted = new Map(assignments.map((each) => [each.serverId, each]));
      for (const [server, entry] of pools) if (wanted.get(server)?.specHash !== entry.specHash) end(server);
      for (const assignment of wanted.values()) if (!pools.has(assignment.serverId)) begin(assignment);
    },
    async close() {
      for (const server of pools.keys()) end(server);
      await Promise.all(ending);
    },
  };
}

function toReport(assignment: registryV1.Assignment, found: ServerReport): Report {
  const { serverId, specHash } = assignment;
  if (found.status === "ready") {
    const { era, serverInfo, tools } = found;
    return { serverId, specHash, status: "ready", reason: "", era, serverInfo, toolDefinitions: [...tools] };
  }
  return {
    serverId,
    specHash,
    status: "unavailable",
    reason: found.reason,
    era: "",
    serverInfo: "",
    toolDefinitions: [],
  };
}
