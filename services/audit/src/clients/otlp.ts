import { plain } from "../domain/exported.ts";

const REASON_MAX_CHARS = 200;

/**
 * What a collector has answered with its 200. Records that it has rejected are never to be sent again (OTLP
 * specification, "Partial Success"); an answer that cannot be read says that there are none.
 */
export function partialSuccessOf(answer: string): { readonly rejected: number; readonly reason: string } {
  const { partialSuccess } = parsed(answer);
  // 64-bit integers are texts in protobuf's JSON.
  const rejected = Number(partialSuccess?.rejectedLogRecords ?? 0);
  const reason = typeof partialSuccess?.errorMessage === "string" ? partialSuccess.errorMessage : "";
  return { rejected: Number.isSafeInteger(rejected) ? rejected : 0, reason: plain(reason.slice(0, REASON_MAX_CHARS)) };
}

interface Answer {
  readonly partialSuccess?: { readonly rejectedLogRecords?: unknown; readonly errorMessage?: unknown } | null;
}

function parsed(text: string): Answer {
  try {
    return (JSON.parse(text) ?? {}) as Answer;
  } catch {
    return {};
  }
}
