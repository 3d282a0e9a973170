// The thread in which a document is read: YAML of some MiB takes seconds, in which a gateway would answer nobody.
import { isMainThread, parentPort, workerData } from "node:worker_threads";
import { type ErrorCode, toAppError } from "@tollgate/errors";
import { importDocument, type Imported, type ImportOptions } from "@tollgate/imports";

export interface ImportQuestion {
  readonly document: string;
  readonly options: ImportOptions;
}

/** All but the values of secrets, which nobody asked for. */
export type ImportShown = Omit<Imported, "values">;
export type ImportAnswer =
  | { readonly ok: true; readonly imported: ImportShown }
  | {
      readonly ok: false;
      readonly code: ErrorCode;
      readonly message: string;
      readonly details: Readonly<Record<string, unknown>>;
    };

if (!isMainThread && parentPort !== null)
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  parentPort.postMessage(answer(workerData as ImportQuestion));

function answer({ document, options }: ImportQuestion): ImportAnswer {
  try {
    const { values: _, ...imported } = importDocument(document, options);
    return { ok: true, imported };
  } catch (error) {
    const { code, message, details } = toAppError(error);
    return { ok: false, code, message, details };
  }
}
