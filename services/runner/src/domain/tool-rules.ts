import type { CallFacts } from "@tollgate/contracts";
import type { ServerSpec, ToolRule } from "./server-spec.ts";

/** How long a server may work on a call, and where that is said. */
export interface TimeLimit {
  readonly ms: number;
  readonly setting: string;
}

type Called = Pick<CallFacts, "method" | "tool">;

/** What is declared for the tool that is called. */
export function ruleOf({ tools }: Pick<ServerSpec, "tools">, { method, tool }: Called): ToolRule | undefined {
  return tools.size === 0 || method !== "tools/call" ? undefined : tools.get(tool);
}

/** The tool's own limit, else that of all the server's calls. */
export function timeLimitOf(spec: Pick<ServerSpec, "tools" | "limits">, called: Called): TimeLimit | undefined {
  const ofTool = ruleOf(spec, called)?.callTimeoutMs ?? 0;
  if (ofTool > 0) return { ms: ofTool, setting: `tools.${called.tool}.call_timeout` };
  const { callTimeoutMs } = spec.limits;
  return callTimeoutMs > 0 ? { ms: callTimeoutMs, setting: "limits.call_timeout" } : undefined;
}
