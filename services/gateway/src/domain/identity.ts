import { type Era, MODERN_REVISION, parseJson, SERVER_INFO_KEY } from "@tollgate/mcp";
import { type Catalogue, isWhole, type Scope, type Server, serversIn } from "./catalogue.ts";

const GATEWAY_INFO = { name: "tollgate", title: "Tollgate", version: "0.1.0" };
const INSTRUCTIONS_MAX_CHARS = 32_768;
const TASKS_EXTENSION = "io.modelcontextprotocol/tasks";

type Capabilities = Record<string, unknown>;

/** What a client is told it is talking to. */
export interface Identity {
  readonly capabilities: Capabilities;
  readonly serverInfo: object;
  readonly instructions: string | undefined;
}

/** One server's route is that server; a route of several is the gateway, which can what any of them can. */
export function identityOf(catalogue: Catalogue, scope: Scope, era: Era): Identity {
  const servers = serversIn(catalogue, scope);
  const capabilities = servers.reduce((all, server) => {
    const own = capabilitiesFor(server, era);
    return merge(all, isWhole(catalogue, scope, server) ? own : ofToolsOnly(own));
  }, OWN);
  const only = scope.server === undefined ? undefined : servers[0];
  if (only) {
    const info = parseInfo(only.info.serverInfo);
    return { capabilities, serverInfo: info ?? GATEWAY_INFO, instructions: only.info.instructions || undefined };
  }
  const parts = servers.flatMap(({ info }) => (info.instructions === "" ? [] : [`# ${info.id}\n${info.instructions}`]));
  const instructions = parts.join("\n\n").slice(0, INSTRUCTIONS_MAX_CHARS);
  return { capabilities, serverInfo: GATEWAY_INFO, instructions: instructions || undefined };
}

/** Of a server of which nothing but some tools is reached. */
function ofToolsOnly({ prompts: _prompts, resources: _resources, ...rest }: Capabilities): Capabilities {
  return rest;
}

/** The gateway says itself when a list has changed: it watches the catalogue. */
const OWN: Capabilities = { tools: { listChanged: true } };

/** What a server can, as far as it reaches a client of this era. */
function capabilitiesFor({ capabilities, info }: Server, era: Era): Capabilities {
  const { prompts, resources, tasks, extensions, ...rest } = capabilities as Record<string, object | undefined>;
  const found: Capabilities = { ...rest };
  if (prompts) found["prompts"] = { ...prompts, listChanged: true };
  if (resources) {
    // A modern server needs no capability to be listened to.
    const subscribe = info.era === "modern" || (resources as { subscribe?: unknown }).subscribe === true;
    found["resources"] = { ...resources, listChanged: true, ...(subscribe ? { subscribe } : {}) };
  }
  // Tasks of one era cannot be told in the other's terms. A list of tasks would show those of others.
  if (tasks && era === "legacy" && info.era === "legacy") {
    const { list: _list, ...others } = tasks as { list?: unknown };
    found["tasks"] = others;
  }
  if (extensions) {
    const { [TASKS_EXTENSION]: tasksExtension, ...others } = extensions as Record<string, unknown>;
    const kept =
      era === "modern" && tasksExtension !== undefined ? { ...others, [TASKS_EXTENSION]: tasksExtension } : others;
    if (Object.keys(kept).length > 0) found["extensions"] = kept;
  }
  return found;
}

function merge(all: Capabilities, more: Capabilities): Capabilities {
  const merged = { ...all };
  for (const [key, value] of Object.entries(more)) {
    const known = merged[key];
    merged[key] = isObject(known) && isObject(value) ? merge(known, value) : (known ?? value);
  }
  return merged;
}

function isObject(value: unknown): value is Capabilities {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parseInfo(text: string): object | undefined {
  const info: unknown = text === "" ? undefined : parseJson(text);
  return isObject(info) && typeof info["name"] === "string" ? info : undefined;
}

export function initializeResult(identity: Identity, protocolVersion: string): string {
  const { capabilities, serverInfo, instructions } = identity;
  return JSON.stringify({ protocolVersion, capabilities, serverInfo, instructions });
}

export function discoverResult({ capabilities, serverInfo, instructions }: Identity): string {
  return JSON.stringify({
    supportedVersions: [MODERN_REVISION],
    capabilities,
    instructions,
    resultType: "complete",
    ttlMs: 0,
    cacheScope: "private",
    _meta: { [SERVER_INFO_KEY]: serverInfo },
  });
}
