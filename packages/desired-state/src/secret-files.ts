import { isAbsolute, join } from "node:path";
import { readStart } from "./file-start.ts";
import type { ReadSecret } from "./placeholders.ts";

const SECRET_MAX_BYTES = 64 * 1024;
const FOLDER_VARIABLE = "TOLLGATE_SECRETS_DIR";

/** `absent`: there is no such file, which another store may make good. The reason says what to do. */
export type SecretFile =
  | { readonly kind: "found"; readonly value: string }
  | { readonly kind: "absent" | "failed"; readonly reason: string };

/** Secrets are files, named like them, in the folder TOLLGATE_SECRETS_DIR, as docker and Kubernetes mount them. */
export function secretFilesIn(env: Readonly<Record<string, string | undefined>>): (name: string) => SecretFile {
  const folder = env[FOLDER_VARIABLE] ?? "";
  return (name) => {
    if (!isAbsolute(folder)) {
      const problem = folder === "" ? "is not set" : "is not an absolute path";
      const reason = `needs the secret ${name}, and ${FOLDER_VARIABLE} ${problem}: set it to the folder with that file`;
      return { kind: "absent", reason };
    }
    try {
      const bytes = readStart(join(folder, name), SECRET_MAX_BYTES + 1);
      if (bytes.length > SECRET_MAX_BYTES)
        return { kind: "failed", reason: `needs the secret ${name}, which is larger than 64 KiB` };
      // Editors and `echo` end a file with a line break that is no part of the secret.
      return { kind: "found", value: bytes.toString("utf8").replace(/\r?\n$/, "") };
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "ENOENT")
        return { kind: "failed", reason: `needs the secret ${name}, which cannot be read: ${code}` };
      const reason = `needs the secret ${name}: put it in a file of that name into ${FOLDER_VARIABLE}, ${folder}`;
      return { kind: "absent", reason };
    }
  };
}

/** The same where files are all that there is. */
export function secretsFrom(env: Readonly<Record<string, string | undefined>>): ReadSecret {
  const readFile = secretFilesIn(env);
  return (name) => {
    const file = readFile(name);
    return file.kind === "found" ? { ok: true, value: file.value } : { ok: false, reason: file.reason };
  };
}
