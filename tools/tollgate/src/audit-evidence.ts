import { createWriteStream, renameSync, rmSync } from "node:fs";
import { pipeline } from "node:stream/promises";
import { AppError } from "@tollgate/errors";
import type { Api, Query } from "./api.ts";

/** Exports of years take their time; a gateway that says nothing for so long is gone. */
const SILENCE_MAX_MS = 60_000;

/** Writes evidence as it comes: to the file as a whole or not at all, or to the standard output. */
export async function fetchEvidence(
  api: Api,
  { query, output }: { query: Query; output: string | undefined },
): Promise<void> {
  const silence = new AbortController();
  const timer = setTimeout(() => silence.abort(), SILENCE_MAX_MS);
  const body = await api
    .open("/api/v1/audit/evidence", { query, signal: silence.signal })
    .catch((error: unknown) => (clearTimeout(timer), Promise.reject(error as Error)));
  body.on("data", () => timer.refresh());
  try {
    if (output === undefined) await pipeline(body, process.stdout, { end: false });
    else await writeWhole(output, body);
  } catch (error) {
    throw new AppError("unavailable", `the evidence has broken off: ${(error as Error).message}`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

async function writeWhole(file: string, body: NodeJS.ReadableStream): Promise<void> {
  const part = `${file}.${process.pid}.part`;
  try {
    // It holds what the record holds: for its owner's eyes.
    await pipeline(body, createWriteStream(part, { mode: 0o600 }));
    renameSync(part, file);
  } finally {
    rmSync(part, { force: true });
  }
}
