import { changeEvent } from "@tollgate/contracts";
import { type DesiredServer, type DesiredState, followDesiredState } from "@tollgate/desired-state";
import { AppError } from "@tollgate/errors";
import type { Life, Log, Pool } from "@tollgate/service";
import { type Assignments, assignmentsOf, isSameWork, toAssignment, toToolRules } from "../domain/assignment.ts";
import { changesBetween } from "../domain/changes.ts";
import type { RegistryMetrics } from "../metrics.ts";
import { applyDesired } from "../store/desired.ts";
import { type Catalogue, SNAPSHOT_SPACING_MS } from "./catalogue.ts";
import { createLatest, type Latest } from "./latest.ts";

const NOTHING: Assignments = { revision: 0n, groups: [], assignments: [] };

/** The user's file, applied. */
export interface DesiredFile {
  readonly assignments: Latest<Assignments>;
  /** With its secrets. */
  serverOf(id: string): DesiredServer | undefined;
}

/**
 * Applies the file and follows its changes. A file with mistakes is logged with their places, and what was applied
 * before goes on.
 * @throws {AppError} invalid_argument if the file cannot be read or has mistakes when the service starts
 */
export async function followDesiredFile(options: {
  path: string;
  env: Readonly<Record<string, string | undefined>>;
  pool: Pool;
  catalogue: Catalogue;
  metrics: RegistryMetrics;
  life: Life;
  log: Log;
}): Promise<DesiredFile> {
  const { path, env, pool, catalogue, metrics, life, log } = options;
  const assignments = createLatest(NOTHING, { spacingMs: SNAPSHOT_SPACING_MS, signal: life.signal });
  let servers = new Map<string, DesiredServer>();

  let current: Pick<DesiredState, "groups" | "servers"> | undefined;

  /** What the file says, with the restarts that were asked for through any replica. */
  const assign = (): void => {
    if (current === undefined) return;
    const { revision, servers: known } = catalogue.latest.value;
    const generations = new Map(known.map(({ id, generation }) => [id, generation]));
    const work = assignmentsOf(current, { revision, generationOf: (server) => generations.get(server) ?? 0n });
    if (!isSameWork(work, assignments.value)) assignments.set(work);
  };
  catalogue.latest.listen(assign);

  const apply = async (desired: DesiredState): Promise<void> => {
    const revision = await applyDesired(pool, toRows(desired), eventsOf);
    servers = new Map(desired.servers.map((server) => [server.id, server]));
    current = desired;
    metrics.setFileValid(true);
    for (const warning of desired.warnings) log.warn({ warning }, "configuration file");
    log.info({ file: path, revision: String(revision), servers: servers.size }, "configuration file applied");
    await catalogue.refresh();
    assign();
  };
  const onProblem = (error: unknown): void => {
    metrics.setFileValid(false);
    if (error instanceof AppError && error.code === "invalid_argument") {
      log.error({ problem: error.message }, "configuration file not taken; the last good one stays");
    } else {
      log.error({ err: error, file: path }, "configuration file could not be applied; trying again");
    }
  };
  await followDesiredState({
    file: path,
    env,
    sections: ["plans", "tenants", "groups", "mcp_servers", "tool_sets"],
    signal: life.signal,
    apply,
    onProblem,
  });
  return { assignments, serverOf: (id) => servers.get(id) };
}

function eventsOf(...sides: Parameters<typeof changesBetween>): ReturnType<typeof changeEvent>[] {
  const nowMs = Date.now();
  return changesBetween(...sides).map((change) => changeEvent({ ...change, principal: "file" }, nowMs));
}

/** What may be stored: the spec as written, and of the resolved one its hash only. */
function toRows({ groups, servers, toolSets, tenants }: DesiredState): Parameters<typeof applyDesired>[1] {
  return {
    tenants,
    toolSets,
    groups: groups.map(({ id, name }) => ({ id, name })),
    servers: servers.map((server) => ({
      id: server.id,
      name: server.name,
      group: server.group,
      type: server.type,
      enabled: server.enabled,
      spec: server.written,
      specHash: toAssignment(server).specHash,
      clientCapabilities: server.clientCapabilities,
      sessionContext: server.sessionContext,
      toolRules: toToolRules(server),
      environment: server.environment,
      risk: server.risk,
      poolMode: server.pool.mode,
    })),
  };
}
