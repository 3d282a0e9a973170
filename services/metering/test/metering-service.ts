import { type Bus, connectBus, createEventPublisher } from "@tollgate/bus";
import { type AuditEvent, newCallId } from "@tollgate/contracts";
import type { Life } from "@tollgate/service";
import { type Infrastructure, testLog } from "@tollgate/testkit";
import { configSchema } from "../src/config.ts";
import { type MeteringService, startMetering } from "../src/service.ts";

/** The service on servers of a test, in this process. */
export async function startService(
  infra: Infrastructure,
  options: { databaseUrl?: string; batchMax?: number; configFile?: string; retentionMs?: number } = {},
): Promise<MeteringService> {
  const { databaseUrl = infra.databaseUrl("metering"), batchMax = 2_000, ...retention } = options;
  const config = configSchema.parse({
    serviceKey: infra.serviceKey,
    httpPort: 0,
    grpcPort: 0,
    natsUrl: infra.natsUrl,
    busPrefix: infra.busPrefix,
    databaseUrl,
    batchMax,
    batchWaitMs: 20,
    ...retention,
  });
  return startMetering(config, testLog);
}

/** Publishes events together. */
export async function openPublishing(
  infra: Infrastructure,
  life: Life,
): Promise<{ bus: Bus; publish(this: void, events: readonly AuditEvent[]): Promise<void> }> {
  const { natsUrl: url, busPrefix: prefix } = infra;
  const bus = await connectBus({ url, name: "test", prefix, log: testLog, signal: life.signal });
  life.onClose("bus", 5_000, () => bus.drain());
  const publisher = createEventPublisher(bus, { waitingMax: 100_000, timeoutMs: 30_000 });
  return {
    bus,
    publish: async (events) => void (await Promise.all(events.map((event) => publisher.publish(event)))),
  };
}

/** An id of this time. Not newCallId: it never goes back behind a time that it has seen. */
export function idAt(timeMs: number): string {
  const time = Math.floor(timeMs).toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}${newCallId(Date.now()).slice(13)}`;
}
