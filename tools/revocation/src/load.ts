import { fork } from "node:child_process";
import { join } from "node:path";

/** Calls of one caller. */
export interface Stream {
  readonly name: string;
  readonly tool: string;
  readonly token: string;
  readonly urls: readonly string[];
  readonly lanesPerUrl: number;
  /** Of a legacy client; without one the calls are those of a modern client. */
  readonly session?: string;
}

export interface Request {
  /** Unix milliseconds. */
  readonly sentAt: number;
  readonly tookMs: number;
  readonly isLetIn: boolean;
  readonly refusal?: string;
}

export type Order =
  | { readonly do: "open"; readonly stream: Stream }
  | { readonly do: "close"; readonly name: string }
  | { readonly do: "look"; readonly name: string; readonly from: number }
  | { readonly do: "rate"; readonly perSecond: number };

export interface Answer {
  readonly id: number;
  readonly made: readonly Request[];
  readonly problem?: string;
}

/** The load, which a process of its own makes. */
export interface Load {
  open(stream: Stream): Promise<void>;
  /** What a stream has done, from its `from`th request on; at the end all of it. */
  look(name: string, from?: number): Promise<readonly Request[]>;
  close(name: string): Promise<readonly Request[]>;
  setRate(perSecond: number): Promise<void>;
  stop(): void;
}

export function startLoad(): Load {
  const child = fork(join(import.meta.dirname, "load-process.ts"), { stdio: "inherit" });
  const waiting = new Map<number, { resolve: (made: readonly Request[]) => void; reject: (error: Error) => void }>();
  let nextId = 0;
  child.on("message", (message) => {
    const { id, made, problem } = message as Answer;
    const { resolve, reject } = waiting.get(id)!;
    waiting.delete(id);
    if (problem === undefined) resolve(made);
    else reject(new Error(problem));
  });
  child.on("exit", () => {
    for (const { reject } of waiting.values()) reject(new Error("the load's process has ended"));
  });

  function ask(order: Order): Promise<readonly Request[]> {
    const id = (nextId += 1);
    return new Promise((resolve, reject) => {
      waiting.set(id, { resolve, reject });
      child.send({ id, order });
    });
  }

  return {
    open: async (stream) => void (await ask({ do: "open", stream })),
    look: (name, from = 0) => ask({ do: "look", name, from }),
    close: (name) => ask({ do: "close", name }),
    setRate: async (perSecond) => void (await ask({ do: "rate", perSecond })),
    stop: () => child.disconnect(),
  };
}
