import { registryV1 } from "@tollgate/contracts";
import { toAppError } from "@tollgate/errors";
import type { NotificationFrame } from "@tollgate/mcp";
import type { Log } from "@tollgate/service";
import type { RunnerConfig } from "../config.ts";
import type { Containment } from "../containment/containment.ts";
import { toServerSpec } from "../domain/server-spec.ts";
import type { CommandResolver } from "../launch/command.ts";
import { openPool, type Pool, type PoolOptions, type ServerReport } from "../pool/pool.ts";
import { createSpawning } from "../pool/spawning.ts";

const REPORT_RETRY_MS = 1_000;

type Report = Omit<registryV1.ReportServerRequest, "runner">;

export interface Pools {
  readonly processes: number;
  get(server: string): Pool | undefined;
  /** What a client's session tells its servers unasked. */
  tell(session: string, frame: NotificationFrame): void;
  /** The connections that a session has had for itself end when their calls have. */
  endSession(session: string): void;
  /** Makes the pools those of a new set of assignments: a changed server gets a new pool, the old one finishes and ends. */
  apply(assignments: readonly registryV1.Assignment[]): void;
  /** Ends all processes now. */
  close(): Promise<void>;
}

interface Entry {
  readonly pool: Pool;
  readonly specHash: string;
  /** The newest report; an older one is not sent again. */
  report: ServerReport | undefined;
}

export function createPools(options: {
  config: RunnerConfig;
  resolveCommand: CommandResolver;
  containment: Containment;
  report: (report: Report) => Promise<void>;
  listenerOf: PoolOptions["listenerOf"];
  updatesOf: (server: string) => PoolOptions["onResourceUpdated"];
  log: Log;
}): Pools {
  const { config, log } = options;
  const spawning = createSpawning(config);
  const pools = new Map<string, Entry>();
  const ending = new Set<Promise<void>>();
  const stopping = new AbortController();

  function end(server: string): void {
    const entry = pools.get(server);
    if (!entry) return;
    pools.delete(server);
    const closed = entry.pool.close().finally(() => ending.delete(closed));
    ending.add(closed);
  }

  function begin(assignment: registryV1.Assignment): void {
    const { serverId, specHash } = assignment;
    const pool = openPool({
      ...options,
      spec: toServerSpec(assignment),
      generation: Number(assignment.generation),
      spawning,
      signal: stopping.signal,
      onResourceUpdated: options.updatesOf(serverId),
      log: log.child({ server: serverId }),
      report: (found) => {
        entry.report = found;
        void send(assignment, entry, found);
      },
    });
    const entry: Entry = { pool, specHash, report: undefined };
    pools.set(serverId, entry);
  }

  /** Until the registry has it, or there is a newer one. */
  async function send(assignment: registryV1.Assignment, entry: Entry, found: ServerReport): Promise<void> {
    while (entry.report === found && pools.get(assignment.serverId) === entry) {
      try {
        return await options.report(toReport(assignment, found));
      } catch (error) {
        const { message, retryable } = toAppError(error);
        log.warn({ server: assignment.serverId, reason: message, retryable }, "the registry did not take a report");
        if (!retryable) return;
      }
      await new Promise((resolve) => setTimeout(resolve, REPORT_RETRY_MS).unref());
    }
  }

  return {
    get processes() {
      let count = 0;
      for (const { pool } of pools.values()) count += pool.processes;
      return count;
    },
    get: (server) => pools.get(server)?.pool,
    tell(session, frame) {
      for (const { pool } of pools.values()) pool.tell(session, frame);
    },
    endSession(session) {
      for (const { pool } of pools.values()) pool.endSession(session);
    },
    apply(assignments) {
      if (stopping.signal.aborted) return;
      const wanted = new Map(assignments.map((each) => [each.serverId, each]));
      for (const [server, entry] of pools) if (wanted.get(server)?.specHash !== entry.specHash) end(server);
      for (const assignment of wanted.values()) if (!pools.has(assignment.serverId)) begin(assignment);
    },
    async close() {
      stopping.abort();
      for (const server of pools.keys()) end(server);
      await Promise.all(ending);
    },
  };
}

const NOTHING_FOUND: Report = registryV1.ReportServerRequest.create();

function toReport(assignment: registryV1.Assignment, found: ServerReport): Report {
  const { serverId, specHash } = assignment;
  if (found.status === "unavailable")
    return { ...NOTHING_FOUND, serverId, specHash, status: "unavailable", reason: found.reason };
  const { tools, prompts, resources, resourceTemplates, ...described } = found;
  return {
    ...NOTHING_FOUND,
    ...described,
    serverId,
    specHash,
    toolDefinitions: [...tools],
    promptDefinitions: [...prompts],
    resourceDefinitions: [...resources],
    resourceTemplateDefinitions: [...resourceTemplates],
  };
}
