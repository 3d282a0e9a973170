import { type Delivery, EXTEND_INTERVAL_MS, SILENCE_MAX_MS } from "@tollgate/bus";
import type { Life } from "@tollgate/service";

/** The messages in this runner's hands. While they are, the stream is told again and again that the work goes on. */
export interface Deliveries {
  readonly count: number;
  add(delivery: Delivery): void;
  remove(delivery: Delivery): void;
  /** True when this runner has been silent for so long that the stream may have handed the message to another. */
  isSuspect(delivery: Delivery): boolean;
}

export function openDeliveries(life: Life): Deliveries {
  const held = new Map<Delivery, { suspect: boolean }>();
  let extendedAt = performance.now();

  /** Whoever runs first after a suspension finds out: an answer may be read before the timer below fires. */
  function checkSilence(): void {
    if (performance.now() - extendedAt <= SILENCE_MAX_MS) return;
    for (const each of held.values()) each.suspect = true;
  }

  const extending = setInterval(() => {
    checkSilence();
    for (const delivery of held.keys()) delivery.extend();
    extendedAt = performance.now();
  }, EXTEND_INTERVAL_MS);
  life.onClose("delivery timer", 100, () => clearInterval(extending));

  return {
    get count() {
      return held.size;
    },
    add: (delivery) => void held.set(delivery, { suspect: false }),
    remove: (delivery) => void held.delete(delivery),
    isSuspect(delivery) {
      checkSilence();
      return held.get(delivery)?.suspect === true;
    },
  };
}
