import type { Bus } from "@tollgate/bus";
import type { auditV1 } from "@tollgate/contracts";
import type { RecordingKeys } from "@tollgate/evidence";
import { type Log, type Pool, serverStream, unary } from "@tollgate/service";
import type { AuditFile } from "./desired-file.ts";
import { createEvidenceHandlers } from "./evidence.ts";
import { createExportHandlers } from "./export-grpc.ts";
import { createHoldHandlers } from "./holds.ts";
import { createRecordingHandlers } from "./recordings.ts";
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
  recordingKeys: RecordingKeys | undefined;
  log: Log;
}): auditV1.AuditServiceServer {
  const { readPool, log } = options;
  return {
    listEvents: unary(log, (request: auditV1.ListEventsRequest) => listEvents(readPool, request)),
    exportEvents: serverStream(log, createExport(readPool)),
    ...createEvidenceHandlers(options),
    ...createSigningHandlers(options),
    ...createVerificationHandlers(options),
    ...createRecordingHandlers(options),
    ...createHoldHandlers(options),
    ...createRetentionHandlers(options),
    ...createExportHandlers(options),
  };
}
