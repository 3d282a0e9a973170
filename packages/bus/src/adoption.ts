import type { Bus } from "./connection.ts";
import { type CallConsumer, consumeBoundCalls, type Delivery } from "./calls.ts";

const CHECK_MS = 2_000;
/** A runner that does not ask for calls at so many looks in a row is gone: a living one always has a request open. */
const SILENT_LOOKS_MAX = 2;
const ADOPTED_MAX = 100;

/**
 * Calls that are bound to runners of a group that are gone: this runner takes them. Several may do so for the same one;
 * each call goes to one of them. Whoever is told so late that it was gone (the calls come as a first delivery) finds
 * out by itself that it does not have what they ask for.
 */
export function adoptCalls(
  bus: Bus,
  { group, runner, signal }: { group: string; runner: string; signal: AbortSignal },
  onDelivery: (delivery: Delivery) => void,
): { stop(): Promise<void> } {
  const silentLooks = new Map<string, number>();
  const adopted = new Map<string, CallConsumer>();
  let looking: Promise<void> = Promise.resolve();

  async function look(): Promise<void> {
    const waiting = await runnersWithCalls(bus, group);
    waiting.delete(runner);
    for (const known of silentLooks.keys()) if (!waiting.has(known)) silentLooks.delete(known);
    for (const other of waiting) {
      if (adopted.has(other) || adopted.size >= ADOPTED_MAX) continue;
      const silent = (await isListening(bus, group, other)) ? 0 : (silentLooks.get(other) ?? 0) + 1;
      silentLooks.set(other, silent);
      if (silent < SILENT_LOOKS_MAX) continue;
      bus.log.warn({ group, gone: other }, "taking the calls of a runner that is gone");
      adopted.set(other, await consumeBoundCalls(bus, { group, runner: other }, onDelivery));
    }
    for (const [other, consumer] of adopted) {
      if (waiting.has(other)) continue;
      adopted.delete(other);
      await consumer.stop();
    }
  }

  const timer = setInterval(() => {
    looking = look().catch((error: unknown) => {
      if (!signal.aborted) bus.log.warn({ err: error, group }, "could not look for calls of runners that are gone");
    });
  }, CHECK_MS);
  return {
    async stop() {
      clearInterval(timer);
      await looking;
      await Promise.allSettled([...adopted.values()].map((consumer) => consumer.stop()));
    },
  };
}

async function runnersWithCalls(bus: Bus, group: string): Promise<Set<string>> {
  const { streams, callsToRunners } = bus.subjects;
  const info = await bus.jsm.streams.info(streams.calls, { subjects_filter: callsToRunners(group) });
  return new Set(Object.keys(info.state.subjects ?? {}).map((subject) => subject.slice(subject.lastIndexOf(".") + 1)));
}

async function isListening(bus: Bus, group: string, runner: string): Promise<boolean> {
  try {
    const info = await bus.jsm.consumers.info(bus.subjects.streams.calls, bus.subjects.runnerDurable(group, runner));
    return info.num_waiting > 0;
  } catch {
    return false;
  }
}
