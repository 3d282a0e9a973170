import type { Parsed, registryV1 } from "@tollgate/contracts";
import { isObject, parseToolList, type Tool } from "./tool-definition.ts";

const REASON_MAX_CHARS = 2_000;
const SERVER_INFO_MAX_CHARS = 65_536;
/** One server's tools together: no single server may fill the catalogue. */
const TOOLS_MAX_BYTES = 16 * 1024 * 1024;
const ERAS: ReadonlySet<string> = new Set(["legacy", "modern"]);

/** What a runner found out about one server. */
export type Report = { readonly serverId: string; readonly specHash: string } & (
  | { readonly status: "ready"; readonly era: string; readonly serverInfo: string; readonly tools: readonly Tool[] }
  /** Says nothing of tools: the last known ones stay. */
  | { readonly status: "unavailable"; readonly reason: string }
);

/** `hide` takes secrets out of the reason. */
export function parseReport(request: registryV1.ReportServerRequest, hide: (text: string) => string): Parsed<Report> {
  const { serverId, specHash, status, era, serverInfo } = request;
  if (status === "unavailable") {
    const reason = toStorableText(hide(request.reason)).slice(0, REASON_MAX_CHARS);
    return { ok: true, value: { serverId, specHash, status, reason: reason || "the runner gave no reason" } };
  }
  if (status !== "ready") return refuse(`status is "${status}"; it has to be "ready" or "unavailable"`);
  if (!ERAS.has(era)) return refuse(`era is "${era}"; it has to be "legacy" or "modern"`);
  if (!isServerInfo(serverInfo))
    return refuse(`server_info is not a JSON object of at most ${SERVER_INFO_MAX_CHARS} characters`);
  const bytes = request.toolDefinitions.reduce((sum, definition) => sum + Buffer.byteLength(definition), 0);
  if (bytes > TOOLS_MAX_BYTES) return refuse(`the tools have ${bytes} bytes; at most ${TOOLS_MAX_BYTES} are allowed`);
  const tools = parseToolList(request.toolDefinitions);
  if (!tools.ok) return tools;
  return { ok: true, value: { serverId, specHash, status, era, serverInfo, tools: tools.value } };
}

/** PostgreSQL's text cannot hold a NUL. */
function toStorableText(text: string): string {
  return text.replaceAll("\0", "");
}

function isServerInfo(text: string): boolean {
  if (text === "") return true;
  if (text.length > SERVER_INFO_MAX_CHARS) return false;
  try {
    return isObject(JSON.parse(text));
  } catch {
    return false;
  }
}

function refuse(reason: string): { ok: false; reason: string } {
  return { ok: false, reason };
}
