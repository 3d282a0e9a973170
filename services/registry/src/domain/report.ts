import type { Parsed, registryV1 } from "@tollgate/contracts";
import { type Item, isObject, type Kind, parseItems } from "./item.ts";

const REASON_MAX_CHARS = 2_000;
const TEXT_MAX_CHARS = 65_536;
/** All that one server offers: no single server may fill the catalogue. */
const ITEMS_MAX_BYTES = 16 * 1024 * 1024;
const ERAS: ReadonlySet<string> = new Set(["legacy", "modern"]);
/** A revision of MCP, or nothing yet. */
const PROTOCOL = /^[\w.-]{0,64}$/;
const WORD = /^[a-z]{0,32}$/;

/** What a runner found out about a server that runs. */
export interface Findings {
  readonly era: string;
  readonly protocol: string;
  /** The server's own JSON, unchanged. */
  readonly serverInfo: string;
  /** Likewise. */
  readonly capabilities: string;
  readonly instructions: string;
  /** How its processes are kept apart, and who holds them to their limits: words of registry.proto. */
  readonly isolation: string;
  readonly limitsBy: string;
  /** Kind by kind, each in the server's order. */
  readonly items: readonly Item[];
}

/** What a runner found out about one server. */
export type Report = { readonly serverId: string; readonly specHash: string } & (
  | ({ readonly status: "ready" } & Findings)
  /** Says nothing of what the server offers: the last known stays. */
  | { readonly status: "unavailable"; readonly reason: string }
);

/** `hide` takes secrets out of the reason. */
export function parseReport(request: registryV1.ReportServerRequest, hide: (text: string) => string): Parsed<Report> {
  const { serverId, specHash, status } = request;
  if (status === "unavailable") {
    const reason = toStorableText(hide(request.reason)).slice(0, REASON_MAX_CHARS);
    return { ok: true, value: { serverId, specHash, status, reason: reason || "the runner gave no reason" } };
  }
  if (status !== "ready") return refuse(`status is "${status}"; it has to be "ready" or "unavailable"`);
  const findings = parseFindings(request);
  return findings.ok ? { ok: true, value: { serverId, specHash, status, ...findings.value } } : findings;
}

function parseFindings(request: registryV1.ReportServerRequest): Parsed<Findings> {
  const { era, protocol, serverInfo, capabilities, instructions, isolation, limitsBy } = request;
  if (!ERAS.has(era)) return refuse(`era is "${era}"; it has to be "legacy" or "modern"`);
  if (!PROTOCOL.test(protocol)) return refuse("protocol is not a revision of MCP such as 2025-11-25");
  for (const [name, text] of Object.entries({ server_info: serverInfo, capabilities })) {
    if (!isJsonObject(text)) return refuse(`${name} is not a JSON object of at most ${TEXT_MAX_CHARS} characters`);
  }
  if (instructions.length > TEXT_MAX_CHARS || instructions.includes("\0")) {
    return refuse(`instructions are not a text of at most ${TEXT_MAX_CHARS} characters without NUL`);
  }
  if (!WORD.test(isolation) || !WORD.test(limitsBy)) return refuse("isolation and limits_by have to be words");
  const items = parseOffer(request);
  if (!items.ok) return items;
  return {
    ok: true,
    value: { era, protocol, serverInfo, capabilities, instructions, isolation, limitsBy, items: items.value },
  };
}

function parseOffer(request: registryV1.ReportServerRequest): Parsed<readonly Item[]> {
  const lists: readonly (readonly [Kind, readonly string[]])[] = [
    ["tool", request.toolDefinitions],
    ["prompt", request.promptDefinitions],
    ["resource", request.resourceDefinitions],
    ["resource_template", request.resourceTemplateDefinitions],
  ];
  const bytes = lists.flatMap(([, list]) => list).reduce((sum, definition) => sum + Buffer.byteLength(definition), 0);
  if (bytes > ITEMS_MAX_BYTES)
    return refuse(`what it offers has ${bytes} bytes; at most ${ITEMS_MAX_BYTES} are allowed`);
  const items: Item[] = [];
  for (const [kind, definitions] of lists) {
    const parsed = parseItems(kind, definitions);
    if (!parsed.ok) return parsed;
    items.push(...parsed.value);
  }
  return { ok: true, value: items };
}

/** PostgreSQL's text cannot hold a NUL. */
function toStorableText(text: string): string {
  return text.replaceAll("\0", "");
}

/** Or empty: the runner knows of none. */
function isJsonObject(text: string): boolean {
  if (text === "") return true;
  if (text.length > TEXT_MAX_CHARS) return false;
  try {
    return isObject(JSON.parse(text));
  } catch {
    return false;
  }
}

function refuse(reason: string): { ok: false; reason: string } {
  return { ok: false, reason };
}
