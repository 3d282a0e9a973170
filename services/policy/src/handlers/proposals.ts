import { createHash } from "node:crypto";
import { AppError } from "@tollgate/errors";
import { applyProposal, type Proposal } from "../domain/proposal.ts";
import { compilePolicies, type PolicyState } from "../domain/state.ts";

/** Compiled sets that are kept for the questions that follow. */
const KEPT_MAX = 4;
const KEPT_MS = 60_000;

type Compiled = ReturnType<typeof compilePolicies>;

interface Kept<T> {
  readonly compiled: Compiled;
  /** The policies in force that the proposal was laid over. */
  readonly base: PolicyState["policies"];
  /** Whatever the asker wants to find again with the same set. */
  readonly memory: T;
  users: number;
  timer: NodeJS.Timeout | undefined;
}

/** Proposed sets of policies, each compiled once for all the questions that are asked of it in a row. */
export interface Proposals<T> {
  /**
   * A proposal over what is in force; `compiled` holds until `work` has ended.
   * @throws {AppError} invalid_argument, naming the place; overloaded when too many others are in use
   */
  use<A>(state: PolicyState, proposal: Proposal, work: (compiled: Compiled, memory: T) => Promise<A> | A): Promise<A>;
}

export function createProposals<T>(newMemory: () => T): Proposals<T> {
  const all = new Map<string, Kept<T>>();

  function find(state: PolicyState, proposal: Proposal): Kept<T> {
    const key = createHash("sha256").update(JSON.stringify(proposal)).digest("base64");
    const known = all.get(key);
    if (known?.base === state.policies) return known;
    if (known !== undefined) {
      all.delete(key);
      release(known);
    }
    makeRoom();
    const compiled = compile(state, proposal);
    const kept: Kept<T> = { compiled, base: state.policies, memory: newMemory(), users: 0, timer: undefined };
    all.set(key, kept);
    return kept;
  }

  function makeRoom(): void {
    if (all.size < KEPT_MAX) return;
    const idle = [...all].find(([, { users }]) => users === 0);
    if (idle === undefined)
      throw new AppError("overloaded", `${KEPT_MAX} other proposals are looked at; try again later`);
    all.delete(idle[0]);
    release(idle[1]);
  }

  /** What is not to be found any more goes when its last user has. */
  function release(kept: Kept<T>): void {
    clearTimeout(kept.timer);
    if (kept.users === 0) kept.compiled.engine.dispose();
  }

  function leave(kept: Kept<T>): void {
    kept.users -= 1;
    if (kept.users > 0) return;
    const found = [...all].find(([, each]) => each === kept);
    if (found === undefined) return release(kept);
    kept.timer = setTimeout(() => (all.delete(found[0]), release(kept)), KEPT_MS).unref();
  }

  return {
    async use(state, proposal, work) {
      const kept = find(state, proposal);
      clearTimeout(kept.timer);
      kept.users += 1;
      try {
        return await work(kept.compiled, kept.memory);
      } finally {
        leave(kept);
      }
    },
  };
}

function compile(state: PolicyState, proposal: Proposal): Compiled {
  const applied = applyProposal(state.policies, proposal);
  if (!applied.ok) throw new AppError("invalid_argument", applied.reason);
  return compilePolicies(applied.value, state);
}
