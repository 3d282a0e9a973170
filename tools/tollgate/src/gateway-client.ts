import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "@tollgate/errors";
import { z } from "zod";
import { askOwnGateway, type OwnGateway } from "./own-gateway.ts";

const REQUEST_TIMEOUT_MS = 5_000;
const POLL_MS = 100;
const DEAD_LETTERS_MAX = 100;

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

const deadLetter = z.object({
  id: z.number(),
  at: z.string(),
  service: z.string(),
  subject: z.string(),
  reason: z.string(),
  data: z.string(),
  truncated: z.boolean(),
});
export type DeadLetter = z.infer<typeof deadLetter>;
const deadLetters = z.object({ items: z.array(deadLetter), nextCursor: z.string().nullable() });
export type DeadLetters = z.infer<typeof deadLetters>;
const putBack = z.object({ id: z.number(), subject: z.string() });

const usageRow = z.object({ calls: z.number(), cost: z.string() });
const usage = z.object({
  items: z.array(usageRow.extend({ key: z.record(z.string(), z.string()) })),
  currency: z.string(),
});
export interface Usage extends z.infer<typeof usageRow> {
  readonly currency: string;
}

/** The management API, as far as the command line needs it. */
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
  /** What could not be processed, oldest first. */
  deadLetters(page: { service: string | undefined; cursor: string | undefined }): Promise<DeadLetters>;
  deadLetter(id: number): Promise<DeadLetter>;
  /** Gives where it is now. */
  putBack(id: number): Promise<z.infer<typeof putBack>>;
  drop(id: number): Promise<void>;
}

export interface Tool {
  readonly server: string;
  readonly tool: string;
}

export function openGatewayClient({ adminToken, ...own }: OwnGateway & { adminToken: string }): GatewayClient {
  async function send<T>(method: string, path: string, schema: z.ZodType<T>): Promise<T> {
    const { status, text } = await askOwnGateway(own, path, {
      method,
      headers: { authorization: `Bearer ${adminToken}` },
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
    const body: unknown = text === "" ? null : JSON.parse(text);
    if (status >= 300) throw new AppError("unavailable", problemOf(body) ?? `${path} answered ${status}`);
    return schema.parse(body);
  }
  const get = <T>(path: string, schema: z.ZodType<T>) => send("GET", path, schema);

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
        last = (await get("/api/v1/servers", servers)).items;
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
    deadLetters({ service, cursor }) {
      const query = new URLSearchParams({ limit: String(DEAD_LETTERS_MAX) });
      if (service !== undefined) query.set("service", service);
      if (cursor !== undefined) query.set("cursor", cursor);
      return get(`/api/v1/dead-letters?${query.toString()}`, deadLetters);
    },
    deadLetter: (id) => get(`/api/v1/dead-letters/${id}`, deadLetter),
    putBack: (id) => send("POST", `/api/v1/dead-letters/${id}/put-back`, putBack),
    drop: async (id) => void (await send("DELETE", `/api/v1/dead-letters/${id}`, z.null())),
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

/** What the gateway says is wrong: a problem's detail, or why it is not ready. */
function problemOf(body: unknown): string | undefined {
  const { detail, reasons } = (body ?? {}) as { detail?: string; reasons?: Record<string, string> };
  return detail ?? (reasons && `it is not ready: ${JSON.stringify(reasons)}`);
}
