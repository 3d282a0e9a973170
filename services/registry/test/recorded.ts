import { connectBus, readEvents } from "@tollgate/bus";
import type { ChangeEvent } from "@tollgate/contracts";
import type { Life } from "@tollgate/service";
import { type Infrastructure, testLog } from "@tollgate/testkit";

/** Changes that are on the record so far, in its order, without what no two have alike. Copies are left out. */
export async function followChanges(infra: Infrastructure, life: Life): Promise<() => Partial<ChangeEvent>[]> {
  const { natsUrl: url, busPrefix: prefix } = infra;
  const bus = await connectBus({ url, name: "test", prefix, log: testLog, signal: life.signal });
  life.onClose("nats", 5_000, () => bus.drain());
  const events = new Map<string, Partial<ChangeEvent>>();
  const from = { stream: "", sequence: 0 };
  void (async () => {
    const reading = { from, kind: "change", batchMax: 100, batchWaitMs: 5, signal: life.signal };
    for await (const batch of readEvents(bus, reading)) {
      for (const { event } of batch.events) {
        const { v: _v, kind: _kind, id, endedAt: _at, ...rest } = event as ChangeEvent;
        if (!events.has(id)) events.set(id, rest);
      }
    }
  })();
  return () => [...events.values()];
}
