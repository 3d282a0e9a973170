import type { CallFacts } from "@tollgate/contracts";
import { createFairGate, type FairGate, type Share } from "@tollgate/fair-queue";
import type { ServerSpec } from "../domain/server-spec.ts";

interface Entering {
  readonly facts: Pick<CallFacts, "method" | "tool">;
  readonly share: Share;
  readonly signal?: AbortSignal;
}

/** The bounds on calls at the same time of a server, and of single tools, where they are declared. */
export interface Concurrency {
  readonly waiting: number;
  /** Undefined when it could enter at once. Whoever has entered leaves. @throws {AppError} `overloaded` */
  enter(entering: Entering): Promise<void> | undefined;
  leave(entering: Entering): void;
}

const UNBOUNDED: Concurrency = { waiting: 0, enter: () => undefined, leave: () => undefined };

export function createConcurrency({ serverId, limits, tools, pool }: ServerSpec): Concurrency {
  const gate = (name: string, max: number): FairGate => {
    const limitsOf = () => ({ max, waiting: pool.queue });
    const reasonOf = () => `${name}: ${max} calls at the same time are all that it takes`;
    return createFairGate({ name, max, limitsOf, waitMs: pool.queueTimeoutMs, reasonOf });
  };
  const bounded = [...tools].filter(([, { concurrency }]) => concurrency > 0);
  const ofTools = new Map(bounded.map(([tool, rule]) => [tool, gate(`tool ${tool} of ${serverId}`, rule.concurrency)]));
  const ofServer = limits.concurrency > 0 ? gate(`server ${serverId}`, limits.concurrency) : undefined;
  if (ofServer === undefined && ofTools.size === 0) return UNBOUNDED;

  // A tool's first: who waits for it takes no place of the server's meanwhile.
  function gatesOf({ facts }: Entering): FairGate[] {
    const ofTool = facts.method === "tools/call" ? ofTools.get(facts.tool) : undefined;
    return [ofTool, ofServer].filter((each) => each !== undefined);
  }

  return {
    get waiting() {
      return [...ofTools.values(), ofServer].reduce((sum, each) => sum + (each?.waiting ?? 0), 0);
    },
    async enter(entering) {
      const entered: FairGate[] = [];
      try {
        for (const each of gatesOf(entering)) {
          await each.enter(entering.share, entering.signal);
          entered.push(each);
        }
      } catch (error) {
        for (const each of entered) each.leave(entering.share.key);
        throw error;
      }
    },
    leave(entering) {
      for (const each of gatesOf(entering)) each.leave(entering.share.key);
    },
  };
}
