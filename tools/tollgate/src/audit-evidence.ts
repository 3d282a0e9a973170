import { createWriteStream, renameSync, rmSync } from "node:fs";
import { pipeline } from "node:stream/promises";
import { AppError } from "@tollgate/errors";
import { atGateway, type Connect } from "./connect.ts";
import { openOwnGateway } from "./own-gateway.ts";

/** Exports of years take their time; a gateway that says nothing for so long is gone. */
const SILENCE_MAX_MS = 60_000;

/** Writes evidence as it comes: to the file as a whole or not at all, or to the standard output. */
export async function fetchEvidence(
  { query, output }: { query: Readonly<Record<string, string>>; output: string | undefined },
  { gatewayUrl: url, adminToken, certFile }: Connect,
): Promise<number> {
  const silence = new AbortController();
  const timer = setTimeout(() => silence.abort(), SILENCE_MAX_MS);
  const path = `/api/v1/audit/evidence?${new URLSearchParams(query).toString()}`;
  const { status, body } = await atGateway(url, () =>
    openOwnGateway({ url, certFile }, path, {
      method: "GET",
      headers: { authorization: `Bearer ${adminToken}` },
      signal: silence.signal,
    }),
  );
  if (status !== 200) {
    clearTimeout(timer);
    const text = Buffer.concat((await body.toArray()) as Buffer[]).toString("utf8");
    throw new AppError("unavailable", detailOf(text) ?? `the gateway answered ${status}`);
  }
  body.on("data", () => timer.refresh());
  try {
    if (output === undefined) await pipeline(body, process.stdout, { end: false });
    else await writeWhole(output, body);
  } catch (error) {
    throw new AppError("unavailable", `the evidence has broken off: ${(error as Error).message}`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
  if (output !== undefined)
    process.stderr.write(`${output} is written. npx tollgate audit verify ${output} proves it.\n`);
  return 0;
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

function detailOf(text: string): string | undefined {
  try {
    return (JSON.parse(text) as { detail?: string } | null)?.detail;
  } catch {
    return undefined;
  }
}
