import { type auditV1, isCallId, parseAuditEvent, timeOfId } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { openRecording, type RecordingKeys } from "@tollgate/evidence";
import { type Log, type Pool, unary } from "@tollgate/service";
import { findEvent } from "../store/chain-events.ts";

/** Arguments and results that were kept whole, decrypted. Whoever asks has checked who may, and recorded that. */
export function createRecordingHandlers(options: {
  readPool: Pool;
  /** Undefined where the service was given none. */
  recordingKeys: RecordingKeys | undefined;
  log: Log;
}): Pick<auditV1.AuditServiceServer, "getRecording"> {
  const { readPool, recordingKeys: keys, log } = options;
  return {
    getRecording: unary(
      log,
      async ({ tenant, id }: auditV1.GetRecordingRequest): Promise<auditV1.GetRecordingResponse> => {
        const found = isCallId(id) ? await findEvent(readPool, { tenant, id, timeMs: timeOfId(id) }) : undefined;
        const parsed = found && parseAuditEvent(found.line);
        if (!parsed?.ok || parsed.value.kind !== "call")
          throw new AppError("not_found", "there is no such call in the record");
        const { recorded } = parsed.value;
        if (recorded === undefined)
          throw new AppError(
            "failed_precondition",
            "nothing of the call was kept: neither a policy nor its risk asks for it",
          );
        if (keys === undefined)
          throw new AppError(
            "failed_precondition",
            "the audit service has no keys for recordings (TOLLGATE_RECORDING_KEYS)",
          );
        const opened = openRecording({ keys, callId: parsed.value.id, recording: recorded });
        return {
          event: found!.line,
          keyId: recorded.keyId,
          arguments: opened.arguments,
          result: opened.result,
          omitted: [...(recorded.omitted ?? [])],
        };
      },
    ),
  };
}
