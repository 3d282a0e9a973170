import type { CallFacts, ClientSide } from "@tollgate/contracts";
import {
  CLIENT_CAPABILITIES_KEY,
  CLIENT_INFO_KEY,
  type Edit,
  type Era,
  findMembers,
  LOG_LEVEL_KEY,
  MODERN_REVISION,
  PROTOCOL_VERSION_KEY,
  type ResponseFrame,
  rewriteResponse,
  RPC,
} from "@tollgate/mcp";
import { allowedCapabilities, capabilityFor } from "./client-capabilities.ts";

type Meta = Readonly<Record<string, unknown>>;

/** Their results may be kept by a modern client, and have to say for how long. */
const CACHEABLE = new Set([
  "tools/list",
  "prompts/list",
  "resources/list",
  "resources/templates/list",
  "resources/read",
]);

/** Who calls, for servers that ask for it. */
const SESSION_KEY = "io.tollgate/session";

const NOTHING = {};

/** What a request has to say in `_meta` to a server of this era, on behalf of this client. */
export function requestMeta(
  era: Era,
  caller: { client: ClientSide; facts: Pick<CallFacts, "tenant" | "principal" | "session"> },
  server: { clientCapabilities: readonly string[]; sessionContext: boolean },
): { meta?: Meta; owned?: Meta } {
  const context = server.sessionContext ? { [SESSION_KEY]: sessionContext(caller) } : undefined;
  const owned = context === undefined ? NOTHING : { owned: context };
  if (era === "legacy") return owned;
  const { client } = caller;
  const capabilities = allowedCapabilities(client.capabilities, server.clientCapabilities);
  if (client.era === "modern")
    return capabilities === client.capabilities
      ? owned
      : { owned: { ...context, [CLIENT_CAPABILITIES_KEY]: capabilities } };
  return {
    ...owned,
    meta: {
      [PROTOCOL_VERSION_KEY]: MODERN_REVISION,
      [CLIENT_CAPABILITIES_KEY]: capabilities,
      ...(client.info === undefined ? {} : { [CLIENT_INFO_KEY]: client.info }),
      ...(client.logLevel === undefined ? {} : { [LOG_LEVEL_KEY]: client.logLevel }),
    },
  };
}

function sessionContext({ client, facts }: Parameters<typeof requestMeta>[1]): Meta {
  return {
    user_id: facts.principal,
    tenant_id: facts.tenant,
    session_id: facts.session ?? null,
    workspace: client.workspace ?? null,
  };
}

/** A server's response as its client gets it: with the id of the client's request, and as the client's era wants it. */
export function responseForClient(
  frame: ResponseFrame,
  options: { idText: string; method: string; from: Era; to: Era; edits?: readonly Edit[] },
): string {
  const { idText, method, from, to, edits = [] } = options;
  if (from === to || to === "legacy") return rewriteResponse(frame, { idText, edits });
  const members = CACHEABLE.has(method)
    ? { resultType: "complete", ttlMs: 0, cacheScope: "private" }
    : { resultType: "complete" };
  return rewriteResponse(frame, { idText, members, edits: [...edits, ...modernErrorCode(frame)] });
}

/** What a modern client gets whose request needs what it has not declared (2026-07-28, MissingRequiredClientCapability). */
export function missingCapabilityText(idText: string, method: string): string {
  const requiredCapabilities = { [capabilityFor(method)]: {} };
  const message = `the server needs to ask for ${method}, which the client has not declared`;
  const error = { code: RPC.missingClientCapability, message, data: { requiredCapabilities } };
  return `{"jsonrpc":"2.0","id":${idText},"error":${JSON.stringify(error)}}`;
}

/** Since 2026-07-28 a resource that is not there is an invalid parameter. */
function modernErrorCode({ text, members, error }: ResponseFrame): Edit[] {
  if (error?.code !== RPC.resourceNotFound) return [];
  const code = findMembers(text, members.spans["error"]!.start, ["code"])?.spans["code"];
  return code === undefined ? [] : [{ ...code, text: String(RPC.invalidParams) }];
}
