import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { AppError } from "@tollgate/errors";
import type { Row } from "./table.ts";

/** @param file `-` is the standard input. @throws {AppError} invalid_argument */
export function readText(file: string, here: string): string {
  try {
    return readFileSync(file === "-" ? 0 : resolve(here, file), "utf8");
  } catch (error) {
    throw new AppError("invalid_argument", `${file} cannot be read: ${(error as NodeJS.ErrnoException).code}`);
  }
}

/** One entry, in YAML or JSON. @throws {AppError} invalid_argument with line and column */
export async function readEntry(file: string, here: string): Promise<Row> {
  const { parseDocument } = await import("yaml");
  const document = parseDocument(readText(file, here));
  const [mistake] = document.errors;
  if (mistake !== undefined) throw new AppError("invalid_argument", `${file}: ${mistake.message}`);
  const entry: unknown = document.toJS({ maxAliasCount: 100 });
  if (typeof entry === "object" && entry !== null && !Array.isArray(entry)) return entry as Row;
  throw new AppError("invalid_argument", `${file} has to hold one entry: names with their values`);
}
