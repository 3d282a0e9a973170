import { closeSync, openSync, readSync } from "node:fs";

/** The file's first bytes, at most so many. @throws what opening and reading throw */
export function readStart(file: string, maxBytes: number): Buffer {
  const handle = openSync(file, "r");
  try {
    const buffer = Buffer.alloc(maxBytes);
    let length = 0;
    for (let read = -1; read !== 0 && length < maxBytes; length += read) {
      read = readSync(handle, buffer, length, maxBytes - length, null);
    }
    return buffer.subarray(0, length);
  } finally {
    closeSync(handle);
  }
}
