import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "@tollgate/errors";
import { z } from "zod";
import { type ApiTarget, openApi } from "./api.ts";

const REQUEST_TIMEOUT_MS = 5_000;
const POLL_MS = 100;
const SERVERS_MAX = 1_000;

const server = z.object({
  id: z.string(),
  enabled: z.boolean(),
  status: z.string(),
  reason: z.string(),
  tools: z.number(),
});
export type ServerStatus = z.infer<typeof server>;
const servers = z.object({ items: z.array(server) });

const call = z.object({
  id: z.string(),
  principal: z.string(),
  server: z.string(),
  tool: z.string(),
  outcome: z.string(),
  durationMs: z.number(),
  decision: z.object({ reason: z.string(), revision: z.number() }),
});
export type CallRecord = z.infer<typeof call>;
const calls = z.object({ items: z.array(call) });

const usageRow = z.object({ calls: z.number(), cost: z.string() });
const usage = z.object({
  items: z.array(usageRow.extend({ key: z.record(z.string(), z.string()) })),
  currency: z.string(),
});
export interface Usage extends z.infer<typeof usageRow> {
  readonly currency: string;
}

/** What a start looks at until it is there. */
export interface GatewayClient {
  untilReady(options: { timeoutMs: number; signal: AbortSignal }): Promise<void>;
  /** The servers, once none is being started any more or the time is over. */
  settledServers(options: { timeoutMs: number; signal: AbortSignal }): Promise<ServerStatus[]>;
  /** The newest call of a tool since then, and what all its calls since then cost; both once they are stored. */
  recordOf(options: {
    tool: Tool;
    fromMs: number;
    timeoutMs: number;
    signal: AbortSignal;
  }): Promise<{ call: CallRecord; usage: Usage }>;
}

export interface Tool {
  readonly server: string;
  readonly tool: string;
}

export function openGatewayClient(target: ApiTarget): GatewayClient {
  const api = openApi(target);
  const get = async <T>(path: string, schema: z.ZodType<T>) =>
    schema.parse(await api.send("GET", path, { timeoutMs: REQUEST_TIMEOUT_MS }));

  return {
    async untilReady(options) {
      await poll(options, "the gateway is not ready", async () => {
        await get("/readyz", z.unknown());
        return true;
      });
    },
    async settledServers(options) {
      let last: ServerStatus[] = [];
      await poll(options, "the servers have no status", async () => {
        last = servers.parse(await api.list("/api/v1/servers", { limit: SERVERS_MAX })).items;
        return last.every(({ status }) => status !== "pending");
      }).catch((error: unknown) => {
        if (last.length === 0) throw error;
      });
      return last;
    },
    async recordOf({ tool, fromMs, ...options }) {
      const query = new URLSearchParams({ ...tool, from: String(fromMs) });
      let found: { call: CallRecord; usage: Usage } | undefined;
      await poll(options, "the call is not on record yet", async () => {
        const [newest] = (await get(`/api/v1/audit/events?kind=call&limit=1&${query.toString()}`, calls)).items;
        const { items, currency } = await get(`/metering/usage?groupBy=server,tool&from=${fromMs}`, usage);
        const billed = items.find(({ key }) => key["server"] === tool.server && key["tool"] === tool.tool);
        if (newest === undefined || billed === undefined) return false;
        found = { call: newest, usage: { calls: billed.calls, cost: billed.cost, currency } };
        return true;
      });
      return found!;
    },
  };
}

/** Asks until the answer is true. @throws the last error, or that it never was */
async function poll(
  options: { timeoutMs: number; signal: AbortSignal },
  otherwise: string,
  ask: () => Promise<boolean>,
): Promise<void> {
  const until = Date.now() + options.timeoutMs;
  for (let last: unknown; ;) {
    try {
      if (await ask()) return;
      last = new AppError("deadline_exceeded", otherwise);
    } catch (error) {
      last = error;
    }
    if (Date.now() > until) throw last;
    await delay(POLL_MS, undefined, { signal: options.signal });
  }
}
