import { createFairQueue, type Share } from "@tollgate/fair-queue";

/** A few milliseconds of work, after which the loop looks at whatever came meanwhile: answers, and other tenants' calls. */
const BEGUN_PER_TURN_MAX = 64;

/**
 * Lets calls begin: at once while they are few, else by turns (ADR 11), so many in a turn of the event loop. Messages
 * bring calls by the thousand, and those of one tenant must not be what another's wait for. It holds no more than the
 * stream hands out, see `ACK_PENDING_MAX` of packages/bus.
 */
export interface Intake {
  readonly waiting: number;
  /** Undefined when the call may begin at once; else settles when it may. */
  enter(share: Share): Promise<void> | undefined;
}

export function createIntake(): Intake {
  const queue = createFairQueue<() => void>();
  let begun = 0;
  let turning = false;

  function turn(): void {
    begun = 0;
    while (begun < BEGUN_PER_TURN_MAX) {
      const begin = queue.shift();
      if (begin === undefined) break;
      begun += 1;
      begin();
    }
    turning = begun > 0;
    if (turning) setImmediate(turn);
  }

  return {
    get waiting() {
      return queue.size;
    },
    enter(share) {
      if (!turning) {
        turning = true;
        setImmediate(turn);
      }
      if (queue.size > 0 || begun >= BEGUN_PER_TURN_MAX)
        return new Promise((resolve) => void queue.push(resolve, share));
      begun += 1;
      return undefined;
    },
  };
}
