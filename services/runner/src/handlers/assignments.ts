import { registryV1 } from "@tollgate/contracts";
import { toAppError } from "@tollgate/errors";
import type { NotificationFrame } from "@tollgate/mcp";
import type { Log } from "@tollgate/service";
import type { RunnerConfig } from "../config.ts";
import type { Containment } from "../containment/containment.ts";
import { type ServerSpec, toServerSpec } from "../domain/server-spec.ts";
import type { CommandResolver } from "../launch/command.ts";
import { openPool, type Pool, type PoolOptions, type ServerNews, type ServerReport } from "../pool/pool.ts";
import { createSpawning } from "../pool/spawning.ts";

const REPORT_RETRY_MS = 1_000;

type Report = Omit<registryV1.ReportServerRequest, "runner">;

export interface Pools {
  readonly processes: number;
  get(server: string): Pool | undefined;
  /** Those that calls go to. */
  all(): Iterable<Pool>;
  /** What a client's session tells its servers unasked. */
  tell(session: string, frame: NotificationFrame): void;
  /** The connections that a session has had for itself end when their calls have. */
  endSession(session: string): void;
  /** Makes the pools those of a new set of assignments: a changed server gets a new pool, the old one finishes and ends. */
  apply(assignments: readonly registryV1.Assignment[]): void;
  /** Ends all processes now. */
  close(): Promise<void>;
}

/** A pool and what it was opened for. */
interface Entry {
  readonly assignment: registryV1.Assignment;
  readonly pool: Pool;
  /** The newest report; an older one is not sent again. */
  report: ServerReport | undefined;
}

/** A server as it is run here. While a changed one starts, the calls go to what was there before. */
interface Served {
  current: Entry;
  next: { readonly entry: Entry; readonly late: NodeJS.Timeout } | undefined;
}

const newestOf = ({ current, next }: Served): Entry => next?.entry ?? current;

export function createPools(options: {
  config: RunnerConfig;
  resolveCommand: CommandResolver;
  containment: Containment;
  report: (report: Report) => Promise<void>;
  listenerOf: PoolOptions["listenerOf"];
  newsOf: (spec: ServerSpec) => ServerNews;
  updatesOf: (server: string) => PoolOptions["onResourceUpdated"];
  log: Log;
}): Pools {
  const { config, log } = options;
  const spawning = createSpawning(config);
  const servers = new Map<string, Served>();
  const ending = new Set<Promise<void>>();
  const stopping = new AbortController();

  function open(assignment: registryV1.Assignment): Entry {
    const { serverId } = assignment;
    const spec = toServerSpec(assignment);
    const pool = openPool({
      ...options,
      spec,
      news: options.newsOf(spec),
      generation: Number(assignment.generation),
      spawning,
      signal: stopping.signal,
      onResourceUpdated: options.updatesOf(serverId),
      log: log.child({ server: serverId }),
      report(found) {
        entry.report = found;
        if (found.status === "ready") takeOver(entry);
        void send(entry, found);
      },
    });
    const entry: Entry = { assignment, pool, report: undefined };
    return entry;
  }

  function close({ pool }: Entry): void {
    const closed = pool.close().finally(() => ending.delete(closed));
    ending.add(closed);
  }

  /** From now on the calls go to the changed server; the old one finishes its own and ends. */
  function takeOver(entry: Entry): void {
    const served = servers.get(entry.assignment.serverId);
    if (served?.next?.entry !== entry) return;
    clearTimeout(served.next.late);
    close(served.current);
    served.current = entry;
    served.next = undefined;
  }

  function dropNext(served: Served): void {
    if (served.next === undefined) return;
    clearTimeout(served.next.late);
    close(served.next.entry);
    served.next = undefined;
  }

  function end(server: string, served: Served): void {
    servers.delete(server);
    dropNext(served);
    close(served.current);
  }

  function follow(served: Served, assignment: registryV1.Assignment): void {
    const { specHash, generation } = assignment;
    const newest = newestOf(served);
    if (newest.assignment.specHash === specHash) return newest.pool.restart(Number(generation));
    dropNext(served);
    const { current } = served;
    if (current.assignment.specHash === specHash) {
      // It was changed back: the registry has forgotten what is known of it.
      current.pool.restart(Number(generation));
      if (current.report) void send(current, current.report);
      return;
    }
    const entry = open(assignment);
    // What does not start replaces the old one all the same: that is not what is wanted any more.
    served.next = { entry, late: setTimeout(() => takeOver(entry), assignment.startupTimeoutMs) };
  }

  /** Until the registry has it, or there is a newer one. */
  async function send(entry: Entry, found: ServerReport): Promise<void> {
    const { serverId } = entry.assignment;
    const isNewest = () => {
      const served = servers.get(serverId);
      return served !== undefined && newestOf(served) === entry && entry.report === found;
    };
    while (isNewest()) {
      try {
        return await options.report(toReport(entry.assignment, found));
      } catch (error) {
        const { message, retryable } = toAppError(error);
        log.warn({ server: serverId, reason: message, retryable }, "the registry did not take a report");
        if (!retryable) return;
      }
      await new Promise((resolve) => setTimeout(resolve, REPORT_RETRY_MS).unref());
    }
  }

  function* withNext(): Generator<Pool> {
    for (const { current, next } of servers.values()) {
      yield current.pool;
      if (next) yield next.entry.pool;
    }
  }

  return {
    get processes() {
      return spawning.count;
    },
    get: (server) => servers.get(server)?.current.pool,
    all: () => Array.from(servers.values(), ({ current }) => current.pool),
    tell(session, frame) {
      for (const pool of withNext()) pool.tell(session, frame);
    },
    endSession(session) {
      for (const pool of withNext()) pool.endSession(session);
    },
    apply(assignments) {
      if (stopping.signal.aborted) return;
      const wanted = new Map(assignments.map((each) => [each.serverId, each]));
      for (const [server, served] of servers) if (!wanted.has(server)) end(server, served);
      for (const assignment of wanted.values()) {
        const served = servers.get(assignment.serverId);
        if (served) follow(served, assignment);
        else servers.set(assignment.serverId, { current: open(assignment), next: undefined });
      }
    },
    async close() {
      stopping.abort();
      for (const [server, served] of servers) end(server, served);
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
