import type { Writable } from "node:stream";

/** Beyond this much unread output, reading from the gateway and from the client waits until the client has caught up. */
const unreadBytesMax = 8 * 1024 * 1024;

export interface Output {
  /** Writes one line; resolves at once unless the client has fallen behind. */
  readonly write: (line: string) => Promise<void>;
  /** Resolves when the client has caught up. */
  ready(): Promise<void>;
  /** Resolves when everything has left this process. */
  flush(): Promise<void>;
}

/** The client's side. `onBroken` is called once when nobody reads any more. */
export function openOutput(stream: Writable, onBroken: () => void): Output {
  let broken = false;
  // One promise for all who wait: hundreds of requests may, and each would be a listener.
  let room: Promise<void> | undefined;
  let release = (): void => {};
  stream.on("drain", () => release());
  stream.on("error", () => {
    if (!broken) onBroken();
    broken = true;
    release();
  });
  const ready = (): Promise<void> => {
    if (broken || stream.writableLength <= unreadBytesMax) return Promise.resolve();
    room ??= new Promise((resolve) => {
      release = () => {
        room = undefined;
        resolve();
      };
    });
    return room;
  };
  return {
    ready,
    write(line) {
      if (!broken) stream.write(`${line}\n`);
      return ready();
    },
    flush: () => (broken ? Promise.resolve() : new Promise((resolve) => stream.write("", () => resolve()))),
  };
}
