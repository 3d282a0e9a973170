import { mkdir, open, rename, stat } from "node:fs/promises";
import { dirname } from "node:path";

/** A server's log is moved aside when a start finds it larger; two files at most remain. */
const logBytesMax = 8 * 1024 * 1024;
const tailBytesMax = 8 * 1024;
const tailLinesMax = 12;

/** A log and where this run's part of it begins, so that an error does not quote an earlier run. */
export interface LogFile {
  readonly path: string;
  readonly startBytes: number;
}

export async function openLog(path: string): Promise<LogFile> {
  await mkdir(dirname(path), { recursive: true });
  const bytes = (await stat(path).catch(() => undefined))?.size ?? 0;
  if (bytes <= logBytesMax) return { path, startBytes: bytes };
  await rename(path, `${path}.1`);
  return { path, startBytes: 0 };
}

/** The last lines that this run wrote, or an empty string. */
export async function logTail(log: LogFile): Promise<string> {
  const file = await open(log.path, "r").catch(() => undefined);
  if (!file) return "";
  try {
    const { size } = await file.stat();
    const from = Math.max(log.startBytes, size - tailBytesMax);
    const { buffer, bytesRead } = await file.read({
      buffer: Buffer.alloc(tailBytesMax),
      position: from,
    });
    return buffer.toString("utf8", 0, bytesRead).trimEnd().split("\n").slice(-tailLinesMax).join("\n");
  } finally {
    await file.close();
  }
}
