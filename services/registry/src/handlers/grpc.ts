import { hideSecrets, registryV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { type Log, type Pool, unary } from "@tollgate/service";
import { assignmentsFor } from "../domain/assignment.ts";
import { deltaBetween } from "../domain/catalogue-delta.ts";
import { parseReport } from "../domain/report.ts";
import type { RegistryMetrics } from "../metrics.ts";
import { type Recorded, recordReport } from "../store/reports.ts";
import { nextGeneration } from "../store/restarts.ts";
import type { Catalogue } from "./catalogue.ts";
import { authorOf, type Entries } from "./entries.ts";
import { recordTools } from "./tool-reports.ts";
import type { Watches } from "./watch.ts";

interface Options {
  readonly pool: Pool;
  readonly catalogue: Catalogue;
  readonly entries: Entries;
  readonly watches: Watches;
  readonly metrics: RegistryMetrics;
  readonly log: Log;
}

/** RegistryService of proto/tollgate/registry/v1. */
export function createGrpcService(options: Options): {
  definition: registryV1.RegistryServiceService;
  implementation: registryV1.RegistryServiceServer;
} {
  const { catalogue, entries, watches, log } = options;
  const deltaOf = sharedDeltas();
  return {
    definition: withSharedEncoding(),
    implementation: {
      watchCatalogue(call) {
        const { watcher, deltas } = call.request;
        log.info({ watcher, deltas }, "catalogue watched");
        watches.open(call, catalogue.latest, (snapshot, before) =>
          deltas && before !== undefined ? deltaOf(before, snapshot) : snapshot,
        );
      },
      watchAssignments(call) {
        const { runner, groups } = call.request;
        log.info({ runner, groups }, "assignments watched");
        watches.open(call, entries.assignments, (all) => assignmentsFor(all, groups));
      },
      reportServer: unary(log, (request) => reportServer(request, options)),
      restartServer: unary(log, (request) => restartServer(request, options)),
    },
  };
}

/** Most watchers have the same snapshot when the next one comes: what is new to them is found once, and one message. */
function sharedDeltas(): typeof deltaBetween {
  let last: Readonly<Record<"before" | "next" | "delta", registryV1.WatchCatalogueResponse>> | undefined;
  return (before, next) => {
    if (last?.before !== before || last.next !== next) last = { before, next, delta: deltaBetween(before, next) };
    return last.delta;
  };
}

/** A catalogue may be megabytes, and all watchers get the same one: it is turned into bytes once. */
function withSharedEncoding(): registryV1.RegistryServiceService {
  const { watchCatalogue, ...others } = registryV1.RegistryServiceService;
  const encoded = new WeakMap<registryV1.WatchCatalogueResponse, Buffer>();
  const responseSerialize = (snapshot: registryV1.WatchCatalogueResponse): Buffer => {
    const bytes = encoded.get(snapshot) ?? watchCatalogue.responseSerialize(snapshot);
    encoded.set(snapshot, bytes);
    return bytes;
  };
  return { ...others, watchCatalogue: { ...watchCatalogue, responseSerialize } };
}

async function reportServer(
  request: registryV1.ReportServerRequest,
  options: Options,
): Promise<registryV1.ReportServerResponse> {
  const { catalogue, metrics, log } = options;
  const { serverId, runner, status } = request;
  try {
    const { kind, revision } = await takeReport(request, options);
    metrics.countReport(kind);
    if (kind === "changed") {
      log.info({ server: serverId, runner, status, ...countsOf(request) }, "server reported");
      await catalogue.refresh();
    }
    return { revision };
  } catch (error) {
    if (!(error instanceof AppError)) {
      log.error({ err: error, server: serverId, runner }, "report could not be stored");
      throw new AppError("unavailable", `the report on server "${serverId}" could not be stored; try again`, {
        cause: error,
      });
    }
    metrics.countReport("refused");
    log.warn({ server: serverId, runner, problem: error.message }, "report refused");
    throw error;
  }
}

async function restartServer(
  { serverId, actor, address }: registryV1.RestartServerRequest,
  { pool, catalogue, log }: Options,
): Promise<registryV1.RestartServerResponse> {
  const restarted = await nextGeneration(pool, { serverId, ...authorOf({ actor, address }) });
  if (restarted === undefined) throw new AppError("not_found", `there is no server "${serverId}"`);
  if (restarted === "disabled") throw new AppError("failed_precondition", `server "${serverId}" is disabled`);
  log.info({ server: serverId, actor, generation: String(restarted.generation) }, "restart asked for");
  await catalogue.refresh();
  return restarted;
}

function countsOf(request: registryV1.ReportServerRequest): Record<string, number> {
  return {
    tools: request.toolDefinitions.length,
    prompts: request.promptDefinitions.length,
    resources: request.resourceDefinitions.length,
    resourceTemplates: request.resourceTemplateDefinitions.length,
  };
}

/** @throws {AppError} invalid_argument, not_found, failed_precondition or payload_too_large; the message says why */
async function takeReport(
  request: registryV1.ReportServerRequest,
  { pool, entries }: Options,
): Promise<Extract<Recorded, { revision: bigint }>> {
  const server = `server "${request.serverId}"`;
  const report = parseReport(request, (text) => hideSecrets(text, entries.serverOf(request.serverId)));
  if (!report.ok) throw new AppError("invalid_argument", `${server}: ${report.reason}`);
  const recorded = await recordReport(pool, report.value, {
    runner: request.runner,
    nowMs: Date.now(),
    recordTools,
  });
  switch (recorded.kind) {
    case "unknown_server":
      throw new AppError("not_found", `there is no ${server}`);
    case "outdated":
      throw new AppError("failed_precondition", `${server}: the report is outdated; its spec has changed since`);
    case "disabled":
      throw new AppError("failed_precondition", `${server} is disabled`);
    default:
      return recorded;
  }
}
