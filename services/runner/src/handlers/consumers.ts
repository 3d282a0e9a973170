import {
  adoptCalls,
  type Bus,
  type CallConsumer,
  consumeBoundCalls,
  consumeCalls,
  type Delivery,
  subscribeCancels,
} from "@tollgate/bus";
import type { Life, Log } from "@tollgate/service";

export interface Consumers {
  /** Takes a group's calls from now on. */
  follow(group: string): void;
}

/**
 * A runner's sources of calls, for each group: what any runner of the group may take, what is bound to this one, and
 * what was bound to runners that are gone.
 */
export function createConsumers(options: {
  runner: string;
  bus: Bus;
  onDelivery: (delivery: Delivery) => void;
  onCancel: (callId: string) => void;
  onFollowed: (group: string) => void;
  life: Life;
  log: Log;
}): Consumers {
  const { runner, bus, onDelivery, life, log } = options;
  const followed = new Map<string, Promise<CallConsumer[]>>();
  life.onClose("consumers", 2_000, () =>
    Promise.allSettled(
      [...followed.values()].map(async (each) => Promise.all((await each).map((consumer) => consumer.stop()))),
    ),
  );

  async function consume(group: string): Promise<CallConsumer[]> {
    const consumers = await Promise.all([
      consumeCalls(bus, group, onDelivery),
      consumeBoundCalls(bus, { group, runner }, onDelivery),
    ]);
    return [...consumers, adoptCalls(bus, { group, runner, signal: life.signal }, onDelivery)];
  }

  return {
    follow(group) {
      if (followed.has(group)) return;
      const consuming = consume(group);
      followed.set(group, consuming);
      consuming.then(
        () => {
          subscribeCancels(bus, group, options.onCancel);
          options.onFollowed(group);
          log.info({ group }, "taking calls");
        },
        (error: unknown) => {
          followed.delete(group);
          log.error({ err: error, group }, "calls of a group cannot be taken");
        },
      );
    },
  };
}
