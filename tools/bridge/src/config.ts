import { join } from "node:path";
import { type FileKey, readConfigFile } from "./config-file.ts";
import { LOG_LEVELS, type LogLevel } from "./log.ts";

const MEBIBYTE = 1024 * 1024;

export interface Config {
  readonly url: URL;
  readonly token: string;
  readonly silenceMsMax: number;
  readonly retryAttempts: number;
  /** The factor by which the wait between two attempts grows. */
  readonly retryBase: number;
  readonly keepaliveMs: number;
  /** A tool set's name; "auto": what goes with the workspace; "off": all tools. */
  readonly toolSet: string;
  /** The folder that the client works in; absent when the gateway is not to know it. */
  readonly workspace: string | undefined;
  readonly proxyEnv: Readonly<Record<string, string | undefined>>;
  readonly cache: { readonly directory: string; readonly bytesMax: number; readonly ttlMs: number } | undefined;
  readonly log: {
    readonly level: LogLevel;
    readonly file: string | undefined;
    readonly bytesMax: number;
    readonly rotateCount: number;
  };
  /** The file that was read, if there is one. */
  readonly file: string | undefined;
}

export interface ConfigSources {
  readonly flags: {
    readonly url?: string | undefined;
    readonly token?: string | undefined;
    readonly config?: string | undefined;
    readonly toolSet?: string | undefined;
  };
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  /** The folder in which the client has started the bridge. */
  readonly workspace: string | undefined;
}

/** Says everything that is wrong with what the user gave, one line each. */
export class ConfigError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join("; "));
    this.problems = problems;
  }
}

export function defaultConfigFile(home: string): string {
  return join(home, ".mcp-bridge", "config.yaml");
}

/** Flags before environment before file. Throws ConfigError. */
export async function loadConfig({ flags, env, home, workspace }: ConfigSources): Promise<Config> {
  const givenUrl = flags.url ?? (env["TOLLGATE_URL"] || undefined);
  const givenToken = flags.token ?? (env["TOLLGATE_TOKEN"] || undefined);
  const overridden = new Set<FileKey>();
  if (givenUrl !== undefined) overridden.add("bridge.control_plane_url");
  if (givenToken !== undefined) overridden.add("bridge.auth_token");
  if (flags.toolSet !== undefined || env["TOLLGATE_TOOL_SET"]) overridden.add("bridge.tool_set");

  const path = flags.config ?? defaultConfigFile(home);
  const file = await readConfigFile({ path, env, overridden });
  const problems = [...(file?.problems ?? [])];
  if (!file && flags.config !== undefined) problems.push(`there is no file ${path}`);
  const textOf = (key: FileKey): string | undefined => {
    const value = file?.values.get(key);
    return typeof value === "string" ? value : undefined;
  };
  const numberOf = (key: FileKey, otherwise: number): number => {
    const value = file?.values.get(key);
    return typeof value === "number" ? value : otherwise;
  };
  const pathOf = (key: FileKey): string | undefined => textOf(key)?.replace(/^~(?=[/\\]|$)/, home);

  const urlText = givenUrl ?? textOf("bridge.control_plane_url");
  const token = givenToken ?? textOf("bridge.auth_token");
  const url = checkUrl(urlText, problems);
  checkToken(token, problems);
  const missing = [
    ...(urlText === undefined ? ["the gateway's URL"] : []),
    ...(token === undefined ? ["a token"] : []),
  ];
  if (missing.length > 0 && (file?.problems ?? []).length === 0) problems.push(howToGive(missing.join(" and "), path));
  if (problems.length > 0 || !url || token === undefined) throw new ConfigError(problems);

  return {
    url,
    token,
    silenceMsMax: numberOf("bridge.connection.timeout_seconds", 300) * 1000,
    retryAttempts: Math.floor(numberOf("bridge.connection.retry_attempts", 3)),
    retryBase: numberOf("bridge.connection.retry_backoff_base", 2),
    keepaliveMs: numberOf("bridge.connection.keepalive_interval", 30) * 1000,
    toolSet: flags.toolSet ?? (env["TOLLGATE_TOOL_SET"] || textOf("bridge.tool_set") || "auto"),
    workspace: file?.values.get("bridge.workspace") === false ? undefined : workspace,
    proxyEnv: env,
    cache:
      file?.values.get("bridge.cache.enabled") === true
        ? {
            directory: pathOf("bridge.cache.directory") ?? join(home, ".mcp-bridge", "cache"),
            bytesMax: numberOf("bridge.cache.max_size_mb", 10) * MEBIBYTE,
            ttlMs: numberOf("bridge.cache.ttl_seconds", 3_600) * 1000,
          }
        : undefined,
    log: {
      level: LOG_LEVELS.find((level) => level === textOf("bridge.logging.level")) ?? "warn",
      file: pathOf("bridge.logging.file"),
      bytesMax: numberOf("bridge.logging.max_size_mb", 10) * MEBIBYTE,
      rotateCount: Math.floor(numberOf("bridge.logging.rotate_count", 3)),
    },
    file: file ? path : undefined,
  };
}

function howToGive(what: string, path: string): string {
  return `${what} must be given: --url URL --token TOKEN, or TOLLGATE_URL and TOLLGATE_TOKEN in the environment, or bridge.control_plane_url and bridge.auth_token in ${path}`;
}

function checkUrl(text: string | undefined, problems: string[]): URL | undefined {
  if (text === undefined) return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && ["http:", "https:", "ws:", "wss:"].includes(url.protocol)) return url;
  problems.push(
    `the URL must look like http://127.0.0.1:8080/mcp (or ws://127.0.0.1:8080/mcp/ws); it is ${JSON.stringify(text)}`,
  );
  return undefined;
}

/** A header carries the token: a newline or a space in it (often a slip when pasting) would break every request. */
function checkToken(token: string | undefined, problems: string[]): void {
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token))
    problems.push("the token must be visible ASCII characters without spaces");
}
