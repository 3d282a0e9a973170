import { AppError } from "@tollgate/errors";
import { readText } from "./entry-file.ts";
import type { Row } from "./table.ts";

/** `--args` as a whole, `--arg` one by one; undefined where none are said. */
export interface ArgumentOptions {
  readonly arg?: readonly string[];
  readonly args?: string;
}

/**
 * @param schema of the tool's arguments, where it is known: what it calls a string stays one
 * @throws {AppError} invalid_argument
 */
export function readArguments(
  { arg = [], args }: ArgumentOptions,
  { here, schema = {} }: { here: string; schema?: Row },
): Record<string, unknown> | undefined {
  if (args === undefined && arg.length === 0) return undefined;
  const whole = args === undefined ? {} : objectIn(args === "-" ? readText("-", here) : args);
  const properties = (schema["properties"] ?? {}) as Readonly<Record<string, Row | undefined>>;
  return { ...whole, ...Object.fromEntries(arg.map((each) => argumentIn(each, properties))) };
}

function objectIn(text: string): Record<string, unknown> {
  const parsed = jsonIn(text);
  if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)) return parsed as Record<string, unknown>;
  throw new AppError("invalid_argument", `--args has to be an object in JSON, such as '{"message":"hello"}'`);
}

function argumentIn(text: string, properties: Readonly<Record<string, Row | undefined>>): [string, unknown] {
  const at = text.indexOf("=");
  if (at < 1) throw new AppError("invalid_argument", `--arg ${text} has to be such as name=value`);
  const [name, value] = [text.slice(0, at), text.slice(at + 1)];
  if (properties[name]?.["type"] === "string") return [name, value];
  const parsed = jsonIn(value);
  return [name, parsed === undefined ? value : parsed];
}

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
