import { legacyClient, type McpReply, modernClient } from "@tollgate/testkit";
import type { Stage } from "./stage.ts";

/** How a call ended: the tool's text, or why there is none. */
export interface Answer {
  readonly ok: boolean;
  readonly text: string;
  /** Of the error's data, such as `outcome_unknown`; empty where the tool answered. */
  readonly code: string;
  readonly retryAfterSeconds?: number;
}

export type CallTool = (tool: string, args?: Record<string, unknown>) => Promise<Answer>;

/** A tenant's stateless client. `tool` is `<server>__<tool>`. */
export function callerOf({ system }: Stage, tenant: string): CallTool {
  const client = modernClient({ url: `${system.gatewayUrl}/mcp`, token: system.tokenOf(tenant) });
  return async (tool, args = {}) =>
    toAnswer(await client.request("tools/call", { name: tool, arguments: args, _meta: { progressToken: 1 } }));
}

/** A client with a session of its own. */
export async function openSession(
  { system }: Stage,
  tenant: string,
): Promise<{ readonly call: CallTool; end(this: void): Promise<void> }> {
  const [url, token] = [`${system.gatewayUrl}/mcp`, system.tokenOf(tenant)];
  const client = await legacyClient({ url, token });
  const headers = { authorization: `Bearer ${token}`, "mcp-session-id": client.session };
  return {
    call: async (tool, args = {}) => toAnswer(await client.request("tools/call", { name: tool, arguments: args })),
    end: async () => void (await fetch(url, { method: "DELETE", headers })),
  };
}

function toAnswer({ last, status }: McpReply): Answer {
  const { result, error } = last ?? {};
  if (result) return { ok: result.isError !== true, text: result.content?.[0]?.text ?? "", code: "" };
  const retryAfterSeconds = error?.data?.retryAfterSeconds;
  return {
    ok: false,
    text: error?.message ?? `HTTP ${status}`,
    code: String(error?.data?.code ?? error?.code ?? status),
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
  };
}

/** Throws where the tool did not answer well: for loads that have to be answered. */
export async function expectOk(answer: Promise<Answer>): Promise<string> {
  const { ok, text, code } = await answer;
  if (!ok) throw new Error(`${code}: ${text}`);
  return text;
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
