import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

/** `containers`: those of the images that compose.yaml runs. */
export type Backend = "embedded" | "containers";

export interface ServerOptions {
  /** What the streams of all test files may reserve together. */
  readonly storeMaxGigabytes: number;
}

export interface ServerUrls {
  readonly natsUrl: string;
  /** Of the superuser. */
  readonly adminUrl: string;
}

export interface Servers extends ServerUrls {
  stop(this: void): Promise<void>;
}

/**
 * Starts NATS and PostgreSQL in the care of a process of their own (servers-process.ts), which ends them when this one
 * ends, however that comes: by its teardown, by a signal, which leaves vitest no time for it, or by kill -9.
 */
export async function startServers(backend: Backend): Promise<Servers> {
  const child = fork(join(import.meta.dirname, "servers-process.ts"), [backend], {
    // Of its own group, so that a terminal's Ctrl-C does not end it before its work is done.
    detached: true,
    execArgv: [],
  });
  const exited = once(child, "exit");
  const urls = await firstMessage(child);
  if (urls === undefined) throw new Error(`the ${backend} servers of the tests did not start; see above`);
  return {
    ...urls,
    stop: async () => {
      if (child.connected) child.disconnect();
      await exited;
    },
  };
}

function firstMessage(child: ChildProcess): Promise<ServerUrls | undefined> {
  return new Promise((resolve) => {
    child.once("message", (urls) => resolve(urls as ServerUrls));
    child.once("exit", () => resolve(undefined));
  });
}
