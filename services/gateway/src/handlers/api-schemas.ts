import { parseJson } from "@tollgate/mcp";
import { z } from "zod";
import type { Server } from "../domain/catalogue.ts";

const NAME = z.string().min(1).max(128);
const count = z.number().int().nonnegative();

export const idParam = z.object({ id: NAME });
export const revision = z.object({ revision: count });

const toolRule = z
  .object({
    tool: z.string(),
    concurrency: count,
    callTimeoutMs: count,
    fallbacks: z.array(z.object({ server: z.string(), tool: z.string() })),
    cachedResultMs: count,
    risk: z.string().meta({ description: "Empty: the server's" }),
  })
  .meta({ description: "What was declared of a tool; 0 is no limit of its own" });

export const server = z.object({
  id: z.string(),
  name: z.string(),
  group: z.string(),
  type: z.string(),
  enabled: z.boolean(),
  status: z.string().meta({ description: "pending, ready, unavailable or disabled" }),
  reason: z.string().meta({ description: "Why it is unavailable" }),
  era: z.string().meta({ description: "Of its MCP revision: legacy or modern" }),
  serverInfo: z.record(z.string(), z.unknown()),
  protocol: z.string().meta({ description: "The MCP revision that it speaks" }),
  tools: count,
  prompts: count,
  resources: count,
  resourceTemplates: count,
  isolation: z.string().meta({ description: "How its processes are kept apart: bubblewrap, container or none" }),
  limitsBy: z.string().meta({ description: "Who holds them to their limits: cgroup, prlimit, engine or none" }),
  generation: count.meta({ description: "Counts the restarts that were asked for" }),
  toolRules: z.array(toolRule),
  environment: z.string().meta({ description: "Such as production; empty where none is declared" }),
  risk: z.string().meta({ description: "Of its tools that say nothing else" }),
  reportedAt: z.string().nullable(),
});

export function toServer({ info, items }: Pick<Server, "info" | "items">): z.infer<typeof server> {
  const { id, name, group, type, enabled, status, reason, era, protocol, serverInfo } = info;
  const { isolation, limitsBy, generation, toolRules, environment, risk } = info;
  return {
    id,
    name,
    group,
    type,
    enabled,
    status,
    reason,
    era,
    protocol,
    serverInfo: serverInfo === "" ? {} : (parseJson(serverInfo) as Record<string, unknown>),
    tools: items.tool.size,
    prompts: items.prompt.size,
    resources: items.resource.size,
    resourceTemplates: items.template.size,
    isolation,
    limitsBy,
    generation: Number(generation),
    toolRules,
    environment,
    risk,
    reportedAt: isoOrNull(info.reportedAtMs),
  };
}

export function isoOrNull(ms: bigint): string | null {
  return ms === 0n ? null : new Date(Number(ms)).toISOString();
}
