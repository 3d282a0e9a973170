import { readFile } from "node:fs/promises";
import { LOG_LEVELS } from "./log.ts";
import { isObject } from "./rpc-error.ts";

type Value = string | number | boolean;
type Rule =
  | { readonly kind: "text" }
  | { readonly kind: "switch" }
  | { readonly kind: "number"; readonly min: number; readonly max: number }
  | { readonly kind: "choice"; readonly of: readonly string[] };

const text: Rule = { kind: "text" };
const aSwitch: Rule = { kind: "switch" };
const number = (min: number, max: number): Rule => ({ kind: "number", min, max });

const SECTIONS: ReadonlySet<string> = new Set(["bridge", "bridge.connection", "bridge.cache", "bridge.logging"]);
const RULES = {
  "bridge.control_plane_url": text,
  "bridge.auth_token": text,
  "bridge.workspace": aSwitch,
  "bridge.tool_set": text,
  "bridge.connection.timeout_seconds": number(1, 86_400),
  "bridge.connection.retry_attempts": number(0, 10),
  "bridge.connection.retry_backoff_base": number(1, 10),
  "bridge.connection.keepalive_interval": number(1, 3_600),
  "bridge.cache.enabled": aSwitch,
  "bridge.cache.directory": text,
  "bridge.cache.max_size_mb": number(1, 1_024),
  "bridge.cache.ttl_seconds": number(1, 31_536_000),
  "bridge.logging.level": { kind: "choice", of: LOG_LEVELS },
  "bridge.logging.file": text,
  "bridge.logging.max_size_mb": number(1, 1_024),
  "bridge.logging.rotate_count": number(0, 100),
} as const satisfies Record<string, Rule>;
export type FileKey = keyof typeof RULES;

export interface FileContent {
  readonly values: ReadonlyMap<FileKey, Value>;
  readonly problems: readonly string[];
}

export interface FileOptions {
  readonly path: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Keys that a flag or the environment has settled already; a variable that they name may be missing. */
  readonly overridden: ReadonlySet<FileKey>;
}

/** Reads the bridge's own file; undefined if there is none. Everything that is wrong in it is reported at once. */
export async function readConfigFile(options: FileOptions): Promise<FileContent | undefined> {
  const { path } = options;
  const problems: string[] = [];
  const values = new Map<FileKey, Value>();
  let source: string;
  try {
    source = await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    return { values, problems: [`cannot read ${path}: ${String(error)}`] };
  }
  // Most clients configure the bridge without a file, so the parser is loaded only now.
  const { parse } = await import("yaml");
  let document: unknown;
  try {
    document = parse(source);
  } catch (error) {
    return {
      values,
      problems: [`${path} is not valid YAML: ${error instanceof Error ? error.message.split("\n")[0] : String(error)}`],
    };
  }
  for (const [key, raw] of leavesOf(document, "")) {
    if (SECTIONS.has(key) || key === "") problems.push(`${key || "the content"} must be a mapping in ${path}`);
    else if (!isFileKey(key)) problems.push(`unknown key ${key} in ${path}`);
    else if (!options.overridden.has(key)) {
      const result = readValue(RULES[key], raw, options.env);
      if (typeof result === "object") problems.push(`${key} in ${path} ${result.problem}`);
      else values.set(key, result);
    }
  }
  return { values, problems };
}

function isFileKey(key: string): key is FileKey {
  return Object.hasOwn(RULES, key);
}

/** Each value with its dotted key. A key that holds nothing counts as absent. */
function* leavesOf(node: unknown, prefix: string): Generator<[key: string, value: unknown]> {
  if (node === null || node === undefined) return;
  if (!isObject(node) || (prefix !== "" && !SECTIONS.has(prefix))) return yield [prefix, node];
  for (const [key, value] of Object.entries(node)) yield* leavesOf(value, prefix === "" ? key : `${prefix}.${key}`);
}

function readValue(rule: Rule, raw: unknown, env: FileOptions["env"]): Value | { problem: string } {
  const missing: string[] = [];
  const value =
    typeof raw === "string"
      ? raw.replaceAll(/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g, (_whole, name: string) => {
          const found = env[name];
          if (found === undefined || found === "") missing.push(name);
          return found ?? "";
        })
      : raw;
  if (missing.length > 0) return { problem: `needs the environment variable ${missing.join(", ")}, which is not set` };
  switch (rule.kind) {
    case "text":
      return typeof value === "string" && value !== "" ? value : { problem: "must be text" };
    case "switch":
      if (value === true || value === "true" || value === "on") return true;
      if (value === false || value === "false" || value === "off") return false;
      return { problem: "must be on or off" };
    case "choice":
      return typeof value === "string" && rule.of.includes(value)
        ? value
        : { problem: `must be one of ${rule.of.join(", ")}` };
    case "number": {
      const parsed =
        typeof value === "number"
          ? value
          : typeof value === "string" && value.trim() !== ""
            ? Number(value)
            : Number.NaN;
      return parsed >= rule.min && parsed <= rule.max
        ? parsed
        : { problem: `must be a number from ${rule.min} to ${rule.max}` };
    }
  }
}
