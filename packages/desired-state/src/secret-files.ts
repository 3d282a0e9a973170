import { closeSync, openSync, readSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import type { ReadSecret } from "./placeholders.ts";

const SECRET_MAX_BYTES = 64 * 1024;
const FOLDER_VARIABLE = "TOLLGATE_SECRETS_DIR";

/** Secrets are files, named like them, in the folder TOLLGATE_SECRETS_DIR, as docker and Kubernetes mount them. */
export function secretsFrom(env: Readonly<Record<string, string | undefined>>): ReadSecret {
  const folder = env[FOLDER_VARIABLE] ?? "";
  return (name) => {
    const refuse = (reason: string) => ({ ok: false, reason }) as const;
    if (!isAbsolute(folder)) {
      const problem = folder === "" ? "is not set" : "is not an absolute path";
      return refuse(`needs the secret ${name}, and ${FOLDER_VARIABLE} ${problem}: set it to the folder with that file`);
    }
    try {
      const bytes = readStart(join(folder, name), SECRET_MAX_BYTES + 1);
      if (bytes.length > SECRET_MAX_BYTES) return refuse(`needs the secret ${name}, which is larger than 64 KiB`);
      // Editors and `echo` end a file with a line break that is no part of the secret.
      return { ok: true, value: bytes.toString("utf8").replace(/\r?\n$/, "") };
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "ENOENT") return refuse(`needs the secret ${name}, which cannot be read: ${code}`);
      return refuse(`needs the secret ${name}: put it in a file of that name into ${FOLDER_VARIABLE}, ${folder}`);
    }
  };
}

/** At most so much of it: whatever the folder holds. */
function readStart(file: string, maxBytes: number): Buffer {
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
