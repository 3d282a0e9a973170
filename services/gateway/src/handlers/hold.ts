/** Of one stream, while its caller is looked at anew. */
const WAITING_MAX = 1_000;
const WAITING_MAX_BYTES = 1024 * 1024;

/** Keeps what is to be sent to a client until it is known that it may still be told. */
export interface Hold {
  /** Delivers at once, or once `release` finds the stream open; in order. */
  pass(bytes: number, deliver: () => void): void;
  release(): void;
}

/** @param options.onOverflow more waits than may: the stream cannot go on, since something would be missing in it */
export function createHold(options: { isOpen: () => boolean; onOverflow: () => void }): Hold {
  const { isOpen, onOverflow } = options;
  let waiting: { bytes: number; deliver: () => void }[] = [];
  let waitingBytes = 0;
  let over = false;

  return {
    pass(bytes, deliver) {
      if (over) return;
      if (waiting.length === 0 && isOpen()) return deliver();
      waiting.push({ bytes, deliver });
      waitingBytes += bytes;
      if (waiting.length <= WAITING_MAX && waitingBytes <= WAITING_MAX_BYTES) return;
      over = true;
      waiting = [];
      onOverflow();
    },
    release() {
      if (waiting.length === 0 || !isOpen()) return;
      const ready = waiting;
      waiting = [];
      waitingBytes = 0;
      for (const { deliver } of ready) deliver();
    },
  };
}
