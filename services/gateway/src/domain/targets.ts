import type { Risk } from "@tollgate/contracts";
import { type Path, type RequestFrame, type Sealers, splitName, splitUri } from "@tollgate/mcp";
import { type Catalogue, isReached, type Item, type Scope, type Server, serverIn } from "./catalogue.ts";
import type { Action } from "./lists.ts";

/** Names and uris become parts of events, which are bounded. */
const NAME_MAX_CHARS = 2_048;

/** What a decision is about. */
export interface Subject {
  readonly group: string;
  readonly server: string;
  /** The tool or prompt, or the resource's uri, as the server knows it. */
  readonly name: string;
  /** The server's processes are in a sandbox. */
  readonly sandboxed: boolean;
  /** Of the server, such as "production"; empty where none is declared. */
  readonly environment: string;
  readonly risk: Risk;
}

/** Where a request goes, what has to be allowed for it, and what its server knows as what the client has named. */
export interface Target {
  readonly server: Server;
  readonly action: Action;
  readonly subject: Subject;
  readonly retrySafe: boolean;
  /** The string below `params` that says whom it is for, and what the server calls it. */
  readonly path: Path;
  readonly own: string;
  /** The same as the client has named it. */
  readonly named: string;
  readonly item?: Item | undefined;
  /** Why it is called by nobody now; whoever may call it is told. */
  readonly withheld?: string;
  /** Where it has to go, when only one runner can answer. */
  readonly runner?: string | undefined;
}

export type Found = { readonly ok: true; readonly target: Target } | { readonly ok: false; readonly reason: string };

interface Whose {
  readonly tenant: string;
  readonly id: string;
}

interface Lookup {
  readonly catalogue: Catalogue;
  readonly scope: Scope;
  readonly frame: RequestFrame;
  readonly sealers: Sealers;
  readonly principal: Whose;
}

type Finder = (lookup: Lookup) => Found;

/** The methods that a server answers; the others are the gateway's own. */
const FINDERS: Readonly<Record<string, Finder>> = {
  "tools/call": findTool,
  "prompts/get": (lookup) => findNamed(lookup, { path: ["name"], what: "prompt", action: "prompts/get" }),
  "resources/read": (lookup) => findResource(lookup, ["uri"]),
  "resources/subscribe": (lookup) => findResource(lookup, ["uri"]),
  "resources/unsubscribe": (lookup) => findResource(lookup, ["uri"]),
  "completion/complete": findReference,
  "tasks/get": findTask,
  "tasks/result": findTask,
  "tasks/cancel": findTask,
  "tasks/update": findTask,
};

export function isForServer(method: string): boolean {
  return Object.hasOwn(FINDERS, method);
}

/** @returns why there is no such target, naming what is not there */
export function findTarget(lookup: Lookup): Found {
  return FINDERS[lookup.frame.method]!(lookup);
}

function findTool(lookup: Lookup): Found {
  const { frame } = lookup;
  const args = frame.params?.["arguments"];
  if (args !== undefined && (typeof args !== "object" || args === null || Array.isArray(args)))
    return no('"params.arguments" has to be an object');
  const found = findNamed(lookup, { path: ["name"], what: "tool", action: "tools/call" });
  if (!found.ok) return found;
  const { server, action, subject, path, own, named } = found.target;
  const item = server.items.tool.get(own);
  const about = { server, action, subject, path, own, named };
  if (item) return { ok: true, target: { ...about, retrySafe: item.retrySafe, item } };
  const withheld = server.withheld.get(own)?.tool?.holdReason;
  if (withheld === undefined) return no(`unknown tool: ${named}`);
  return { ok: true, target: { ...about, retrySafe: false, withheld } };
}

function findNamed(lookup: Lookup, options: { path: Path; what: string; action: Action }): Found {
  const { catalogue, scope } = lookup;
  const { path, what, action } = options;
  const name = readParam(lookup, path);
  if (typeof name !== "string") return no(name.reason);
  const split = scope.server === undefined ? splitName(name) : { server: scope.server, own: name };
  const server = split && serverIn(catalogue, scope, split.server);
  const kind = action === "tools/call" ? "tool" : "prompt";
  if (!server || !isReached(catalogue, scope, { kind, server, name: split.own })) return no(`unknown ${what}: ${name}`);
  return targetOf(server, { action, path, own: split.own, named: name });
}

function findResource(lookup: Lookup, path: Path): Found {
  const { catalogue, scope } = lookup;
  const uri = readParam(lookup, path);
  if (typeof uri !== "string") return no(uri.reason);
  const split = scope.server === undefined ? splitUri(uri) : { server: scope.server, own: uri };
  const server = split && serverIn(catalogue, scope, split.server);
  if (!server || !isReached(catalogue, scope, { kind: "resource", server, name: split.own }))
    return no(`unknown resource: ${uri}`);
  return targetOf(server, { action: "resources/read", path, own: split.own, named: uri });
}

/** `completion/complete`: what may be completed is what may be used. */
function findReference(lookup: Lookup): Found {
  const reference = lookup.frame.params?.["ref"] as { type?: unknown } | null | undefined;
  if (reference?.type === "ref/prompt")
    return findNamed(lookup, { path: ["ref", "name"], what: "prompt", action: "prompts/get" });
  if (reference?.type === "ref/resource") return findResource(lookup, ["ref", "uri"]);
  return no('"params.ref.type" has to be "ref/prompt" or "ref/resource"');
}

/** A task is whose it is: to everybody else it does not exist. It may be asked for by whoever may still call its tool. */
function findTask({ catalogue, scope, frame, sealers, principal }: Lookup): Found {
  const taskId = frame.params?.["taskId"];
  const task = sealers.task.open(taskId);
  const server = task && serverIn(catalogue, scope, task.server);
  const isOwn = task?.tenant === principal.tenant && task.principal === principal.id;
  if (!server || !isOwn || !isReached(catalogue, scope, { kind: "tool", server, name: task.tool }))
    return no(`unknown task: ${JSON.stringify(taskId)?.slice(0, NAME_MAX_CHARS)}`);
  const retrySafe = frame.method === "tasks/get" || frame.method === "tasks/result";
  const found = targetOf(server, { action: "tools/call", path: ["taskId"], own: task.task, named: task.tool });
  if (!found.ok) return found;
  const subject = { ...found.target.subject, name: task.tool };
  return { ok: true, target: { ...found.target, subject, retrySafe, runner: task.runner } };
}

/** Reading again changes nothing, so all but tools may run again. */
function targetOf(server: Server, of: { action: Action; path: Path; own: string; named: string }): Found {
  const { action, path, own, named } = of;
  const subject = subjectOf(server, own);
  return { ok: true, target: { server, action, subject, retrySafe: true, path, own, named } };
}

/** `name` is as the server knows it. */
export function subjectOf({ info, sandboxed, items, withheld, risk }: Server, name: string): Subject {
  const { group, id: server, environment } = info;
  return {
    group,
    server,
    name,
    sandboxed,
    environment,
    risk: (items.tool.get(name) ?? withheld.get(name))?.risk ?? risk,
  };
}

function readParam({ frame }: Lookup, path: Path): string | { readonly reason: string } {
  let value: unknown = frame.params;
  for (const key of path)
    value = typeof value === "object" && value !== null ? (value as Record<string, unknown>)[key] : undefined;
  const place = `"params.${path.join(".")}"`;
  if (typeof value !== "string") return { reason: `${place} has to be a string` };
  if (value.length > NAME_MAX_CHARS) return { reason: `${place} is longer than ${NAME_MAX_CHARS} characters` };
  return value;
}

function no(reason: string): Found {
  return { ok: false, reason };
}
