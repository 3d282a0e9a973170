import type { Bus } from "@tollgate/bus";
import { AppError } from "@tollgate/errors";
import { auditV1 } from "@tollgate/contracts";
import { type Log, type Pool, serverStream, unary } from "@tollgate/service";
import type { AuditFile } from "./desired-file.ts";
import { createEvidenceHandlers } from "./evidence.ts";
import { createExportHandlers } from "./export-grpc.ts";
import { createHoldHandlers } from "./holds.ts";
import { createRetentionHandlers } from "./retention.ts";
import { createExport, listEvents } from "./searches.ts";
import { createSigningHandlers, type Signing } from "./signing.ts";
import { createVerificationHandlers } from "./verify-record.ts";

export function createAuditHandlers(options: {
  pool: Pool;
  /** For what only reads. */
  readPool: Pool;
  bus: Bus;
  file: AuditFile;
  signing: Signing;
  secret: string;
  log: Log;
}): auditV1.AuditServiceServer {
  const { readPool, log } = options;
  return {
    ...notYet(),
    listEvents: unary(log, (request: auditV1.ListEventsRequest) => listEvents(readPool, request)),
    exportEvents: serverStream(log, createExport(readPool)),
    ...createEvidenceHandlers(options),
    ...createSigningHandlers(options),
    ...createVerificationHandlers(options),
    ...createHoldHandlers(options),
    ...createRetentionHandlers(options),
    ...createExportHandlers(options),
  };
}

/** Methods that nobody answers yet. */
function notYet(): auditV1.AuditServiceServer {
  const refuse = (call: unknown, callback?: unknown): void => {
    const error = Object.assign(new AppError("failed_precondition", "not yet"), { code: 12 });
    if (typeof callback === "function") callback(error);
    else (call as { destroy(error: Error): void }).destroy(error);
  };
  return Object.fromEntries(
    Object.keys(auditV1.AuditServiceService).map((name) => [name, refuse]),
  ) as unknown as auditV1.AuditServiceServer;
}
