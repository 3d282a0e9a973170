import { connectBus, readEvents } from "@tollgate/bus";
import type { AuditEvent } from "@tollgate/contracts";
import type { Life } from "@tollgate/service";
import { type Infrastructure, testLog } from "@tollgate/testkit";

export type Recorded = Readonly<Record<string, unknown>>;

/** Events that are on the record so far, in its order, without what no two have alike. Copies are left out. */
export async function followRecord(infra: Infrastructure, life: Life): Promise<() => Recorded[]> {
  const { natsUrl: url, busPrefix: prefix } = infra;
  const bus = await connectBus({ url, name: "test", prefix, log: testLog, signal: life.signal });
  life.onClose("nats", 5_000, () => bus.drain());
  const events = new Map<string, Recorded>();
  const from = { stream: "", sequence: 0 };
  void (async () => {
    for await (const batch of readEvents(bus, { from, batchMax: 100, batchWaitMs: 5, signal: life.signal })) {
      for (const { event } of batch.events) {
        const { v: _v, id, endedAt: _at, ...rest } = event as AuditEvent & Recorded;
        if (!events.has(id)) events.set(id, rest);
      }
    }
  })();
  return () => [...events.values()];
}
