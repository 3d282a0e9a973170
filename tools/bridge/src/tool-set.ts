import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Config, ConfigError } from "./config.ts";
import { findRepository } from "./repository.ts";
import { isObject } from "./rpc-error.ts";

/** The file of a repository that says which tool set its people work with. */
const projectFile = ".tollgate.yaml";
const namePattern = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** Which tools the bridge asks for. */
export interface ChosenTools {
  readonly url: URL;
  /** In words, for people. */
  readonly why: string;
}

/**
 * The route of the tool set that is configured, that the project's file names, or that the gateway has for the repository
 * that the client works in. The gateway knows which set that is: it is not asked beforehand. Throws ConfigError.
 */
export async function chooseTools(config: Config): Promise<ChosenTools> {
  const { url, toolSet, workspace } = config;
  const all = (reason: string): ChosenTools => ({ url, why: `all tools: ${reason}` });
  if (toolSet === "off") return all("tool_set is off");
  const route = /^\/mcp(\/ws)?$/.exec(url.pathname);
  if (toolSet !== "auto") {
    if (!namePattern.test(toolSet)) throw new ConfigError([`${JSON.stringify(toolSet)} is no name of a tool set`]);
    if (!route) throw new ConfigError([`tool_set needs a URL whose path is /mcp or /mcp/ws; it is ${url.pathname}`]);
    return { url: urlOf(url, toolSet), why: `the tool set ${toolSet}, as configured` };
  }
  if (!route) return all(`the URL is of ${url.pathname}`);
  if (workspace === undefined) return all("the gateway is not to know the folder");
  const repository = await findRepository(workspace);
  for (const folder of new Set([workspace, repository?.root ?? workspace])) {
    const named = await readProjectFile(join(folder, projectFile));
    if (named !== undefined)
      return { url: urlOf(url, named), why: `the tool set ${named}, as ${join(folder, projectFile)} says` };
  }
  if (repository === undefined) return all(`${workspace} is in no Git repository`);
  if (repository.remote === undefined) return all(`${repository.root} has no remote "origin" on another host`);
  const why = `the tool set that the gateway has for ${repository.remote}, else all tools`;
  return { url: urlOf(url, `~${encodeURIComponent(repository.remote)}`), why };
}

function urlOf(url: URL, set: string): URL {
  const changed = new URL(url);
  changed.pathname = url.pathname.replace("/mcp", `/mcp/sets/${set}`);
  return changed;
}

/** Undefined where there is no such file. Throws ConfigError for one that does not say it right. */
async function readProjectFile(path: string): Promise<string | undefined> {
  let source: string;
  try {
    source = await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw new ConfigError([`cannot read ${path}: ${String(error)}`]);
  }
  // Most repositories have no such file, so the parser is loaded only now.
  const { parse } = await import("yaml");
  let content: unknown;
  try {
    content = parse(source);
  } catch (error) {
    const reason = error instanceof Error ? error.message.split("\n")[0] : String(error);
    throw new ConfigError([`${path} is not valid YAML: ${reason}`]);
  }
  const named = isObject(content) ? content["tool_set"] : undefined;
  if (typeof named !== "string" || !namePattern.test(named) || Object.keys(content as object).length > 1)
    throw new ConfigError([`${path} must say "tool_set: NAME" and nothing else`]);
  return named;
}
