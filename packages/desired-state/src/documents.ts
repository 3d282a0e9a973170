import { statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { DOCUMENT_MAX_BYTES } from "@tollgate/connectors";
import type { Parsed } from "@tollgate/contracts";
import { parseSource, valuesOf } from "./document.ts";
import { readStart } from "./file-start.ts";

/** The text of a file that an entry names. The reason of a refusal is to be read after "names a file". */
export type ReadDocument = (name: string) => Parsed<string>;

/** Relative names start at the folder of `file`. */
export function documentsBeside(file: string): ReadDocument {
  return (name) => {
    const path = resolve(dirname(resolve(file)), name);
    try {
      const bytes = readStart(path, DOCUMENT_MAX_BYTES + 1);
      if (bytes.length > DOCUMENT_MAX_BYTES)
        return { ok: false, reason: `that is larger than ${DOCUMENT_MAX_BYTES} bytes` };
      return { ok: true, value: bytes.toString("utf8") };
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      return { ok: false, reason: `that cannot be read: ${code} (${path})` };
    }
  };
}

/** Of an entry that has no folder. */
export const documentsRefused: ReadDocument = () => ({
  ok: false,
  reason: "and only tollgate.yaml has files beside it: put the content itself here",
});

/** The files that a file's connectors name; none where the text is no such file. */
export function documentsNamed(text: string): string[] {
  const { source, mistakes } = parseSource(text);
  if (mistakes.length > 0) return [];
  const { groups } = valuesOf(source) as { groups?: unknown };
  const connectors = listOf(groups).flatMap((group) => listOf((group as { connectors?: unknown } | null)?.connectors));
  return connectors.flatMap((connector) => {
    const { openapi, ca_file: ca } = (connector ?? {}) as { openapi?: unknown; ca_file?: unknown };
    return [openapi, ca].filter((each) => typeof each === "string");
  });
}

/** Another text whenever the file is another one: they may be large, and are looked at often. */
export function documentState(file: string, name: string): string {
  try {
    const { ino, size, mtimeMs } = statSync(resolve(dirname(resolve(file)), name));
    return `${ino} ${size} ${mtimeMs}`;
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}
