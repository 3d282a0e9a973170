import { z } from "zod";
import { bridgeBundle, openBridgeClient } from "./bridge.ts";
import type { GatewayClient } from "./gateway-client.ts";
import type { Screen } from "./screen.ts";

const RECORD_TIMEOUT_MS = 15_000;
const PROTOCOL_VERSION = "2025-11-25";
/** The server and tool of the default configuration that answer without doing anything. */
const DEMONSTRATION = { server: "everything", tool: "echo", arguments: { message: "hello" } };

const tools = z.object({ tools: z.array(z.object({ name: z.string() })) });
const result = z.object({ content: z.array(z.object({ text: z.string().optional() })) });

/**
 * What an AI client does: spawns the bridge, shakes hands, lists the tools, and calls one. That is the demonstration's
 * echo; a configuration that has none is only listed, since any other tool might do something.
 */
export async function makeFirstCall(options: {
  root: string;
  mcpUrl: string;
  token: string;
  caFile: string | undefined;
  home: string;
  gateway: GatewayClient;
  screen: Screen;
  signal: AbortSignal;
}): Promise<void> {
  const { screen, gateway, signal } = options;
  const client = openBridgeClient({ ...options, bundle: bridgeBundle(options.root), url: options.mcpUrl });
  const { server, tool } = DEMONSTRATION;
  const name = `${server}__${tool}`;
  const fromMs = Date.now();
  try {
    const clientInfo = { name: "tollgate-start", version: "1" };
    await client.request("initialize", { protocolVersion: PROTOCOL_VERSION, capabilities: {}, clientInfo });
    client.notify("notifications/initialized");
    const listed = tools.parse(await client.request("tools/list", {})).tools;
    screen.line(`✓ the bridge lists ${listed.length} tools`);
    if (!listed.some((each) => each.name === name)) return;
    const since = performance.now();
    const answer = result.parse(await client.request("tools/call", { name, arguments: DEMONSTRATION.arguments }));
    const text = answer.content.map((each) => each.text ?? "").join(" ");
    screen.line(
      `✓ first call through the bridge: ${name} says ${JSON.stringify(text)} (${(performance.now() - since).toFixed(0)} ms)`,
    );
  } finally {
    await client.close();
  }
  const { call, usage } = await gateway.recordOf({
    tool: { server, tool },
    fromMs,
    timeoutMs: RECORD_TIMEOUT_MS,
    signal,
  });
  screen.line(
    `  audit  ${call.id}: ${call.principal} called ${call.server}:${call.tool}: ${call.outcome} after ${call.durationMs} ms; ${call.decision.reason}`,
  );
  screen.line(`  cost   ${usage.cost} ${usage.currency} for ${usage.calls} call${usage.calls === 1 ? "" : "s"}`);
}
