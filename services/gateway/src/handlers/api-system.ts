import { type PartStatus, requestParts, type StreamState, streamStates } from "@tollgate/bus";
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { z } from "zod";
import { type ApiOptions, checkBus } from "./api-options.ts";

/** How long the parts have to answer. */
const PARTS_WAIT_MS = 1_000;
const PARTS = ["gateway", "policy", "registry", "runner", "audit", "metering"] as const;

const count = z.number().nonnegative();
const part = z.object({
  name: z.string().meta({ examples: ["policy"] }),
  host: z.string(),
  pid: count,
  version: z.string().meta({ description: "Of Tollgate", examples: ["0.1.0"] }),
  node: z.string(),
  startedAt: z.string().meta({ examples: ["2026-11-21T07:00:00.000Z"] }),
  ready: z.boolean(),
  reasons: z.record(z.string(), z.string()).meta({ description: "Why it is not ready, by check" }),
  migration: z.string().optional().meta({ description: "The newest of its database" }),
  behind: count.optional().meta({ description: "Messages of the stream that it has not stored" }),
});
const stream = z.object({
  name: z.string().meta({ examples: ["AUDIT"] }),
  messages: count,
  bytes: count,
  maxBytes: count,
  oldestAt: z.string().optional(),
});
const health = z.object({
  status: z.enum(["ready", "degraded"]).meta({ description: "ready: every part answers and is ready" }),
  version: z.string().meta({ description: "Of this gateway" }),
  at: z.string().meta({ description: "By the gateway's clock", examples: ["2026-11-21T07:00:00.000Z"] }),
  parts: z.array(part).meta({ description: "Every replica of every service that answers" }),
  missing: z.array(z.string()).meta({ description: "Services of which nobody answers" }),
  streams: z.array(stream),
  servers: z.record(z.string(), count).meta({ description: "How many there are, by status" }),
});

/** How the installation is, as its parts say themselves. */
export function registerSystem(app: FastifyInstance, { bus, registry }: ApiOptions): void {
  app.withTypeProvider<ZodTypeProvider>().get(
    "/api/v1/health",
    {
      config: { action: "admin/servers/read" },
      schema: {
        tags: ["health"],
        summary: "How the installation is",
        description: "Each service's version and readiness, and how full the streams are.",
        response: { 200: health },
      },
    },
    async () => {
      checkBus(bus);
      const [parts, streams] = await Promise.all([requestParts(bus, { waitMs: PARTS_WAIT_MS }), streamStates(bus)]);
      return toHealth(parts, streams, [...registry.catalogue.servers.values()]);
    },
  );
}

function toHealth(
  answers: readonly PartStatus[],
  streams: StreamState[],
  servers: readonly { info: { status: string } }[],
): z.infer<typeof health> {
  // One of another version may say it in another way, and is left out then.
  const parts = answers.flatMap((answer) => part.safeParse(answer).data ?? []).toSorted(byPlace);
  const missing = PARTS.filter((name) => !parts.some((each) => each.name === name));
  const statuses: Record<string, number> = {};
  for (const { info } of servers) statuses[info.status] = (statuses[info.status] ?? 0) + 1;
  return {
    status: missing.length === 0 && parts.every(({ ready }) => ready) ? "ready" : "degraded",
    version: parts.find(({ name, pid }) => name === "gateway" && pid === process.pid)?.version ?? "",
    at: new Date().toISOString(),
    parts,
    missing,
    streams,
    servers: statuses,
  };
}

type Place = Pick<PartStatus, "name" | "host" | "pid">;

function byPlace(one: Place, other: Place): number {
  const [first, second] = [one, other].map(({ name }) => PARTS.findIndex((each) => each === name)) as [number, number];
  return first - second || one.host.localeCompare(other.host) || one.pid - other.pid;
}
