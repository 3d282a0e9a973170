import type { BreakerState, CallFacts } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { type Breaker, createBreaker } from "../domain/breaker.ts";

/** Breakers that remember a failure; beyond that, new failures are not counted. */
const BREAKERS_MAX = 10_000;

/**
 * How it went with the server: `badly` when the connection was lost or a deadline passed, which is what the circuit
 * breakers count. Whatever a server answers is `well`, also that it refuses.
 */
export type Went = "well" | "badly";

type Facts = Pick<CallFacts, "tenant" | "method" | "tool">;

/**
 * The circuit breakers of one server: for each tenant one for the server and one for each tool, since what one tenant
 * breaks others may use: their processes are their own. There is one only where something went badly lately.
 */
export interface Breakers {
  readonly state: BreakerState;
  /** Of tools whose breaker is not closed. */
  readonly tools: Readonly<Record<string, BreakerState>>;
  /** @throws {AppError} `unavailable` while a breaker is open */
  enter(facts: Facts): void;
  /** How a call went that has entered; undefined where that is not known. */
  leave(facts: Facts, went: Went | undefined): void;
}

export function createBreakers(options: { server: string; shared: boolean; now: () => number }): Breakers {
  const { server, shared, now } = options;
  /** The tool is "" for the server as a whole. */
  const all = new Map<string, { readonly tool: string; readonly breaker: Breaker }>();

  function partsOf({ tenant, method, tool }: Facts): { key: string; tool: string }[] {
    const whose = shared ? "" : tenant;
    const tools = method === "tools/call" ? [tool, ""] : [""];
    return tools.map((each) => ({ key: `${whose}\n${each}`, tool: each }));
  }

  function stateOf(tool: string): BreakerState {
    const states = [...all.values()].filter((each) => each.tool === tool).map(({ breaker }) => breaker.state);
    return (["open", "half-open"] as const).find((each) => states.includes(each)) ?? "closed";
  }

  return {
    get state() {
      return stateOf("");
    },
    get tools() {
      const names = new Set([...all.values()].map(({ tool }) => tool).filter((tool) => tool !== ""));
      const states = [...names].map((tool) => [tool, stateOf(tool)] as const);
      return Object.fromEntries(states.filter(([, state]) => state !== "closed"));
    },
    enter(facts) {
      if (all.size === 0) return;
      const entries = partsOf(facts).flatMap(({ key }) => all.get(key) ?? []);
      for (const { tool, breaker } of entries) {
        const refused = breaker.refusal(now());
        if (refused !== undefined)
          throw refusal(tool === "" ? `server ${server}` : `tool ${tool} of ${server}`, refused);
      }
      for (const { breaker } of entries) breaker.enter();
    },
    leave(facts, went) {
      if (all.size === 0 && went !== "badly") return;
      for (const { key, tool } of partsOf(facts)) {
        let entry = all.get(key);
        if (entry === undefined) {
          if (went !== "badly" || all.size >= BREAKERS_MAX) continue;
          all.set(key, (entry = { tool, breaker: createBreaker({ severalOnly: tool === "" }) }));
        }
        entry.breaker.leave(went, now(), facts.tool);
        if (entry.breaker.clean) all.delete(key);
      }
    },
  };
}

function refusal(what: string, { reason, waitMs }: { reason: string; waitMs: number }): AppError {
  const retryAfterSeconds = Math.ceil(waitMs / 1_000);
  const next = `next try in ${retryAfterSeconds} s`;
  return new AppError("unavailable", `${what}: its circuit breaker is open after ${reason}; ${next}`, {
    details: { retryAfterSeconds },
  });
}
