import { AppError } from "@tollgate/errors";
import { type Life, type Log, type Pool, withTransaction } from "@tollgate/service";
import type { ClientBase } from "pg";
import { buildState, type PolicyState } from "./domain/state.ts";
import type { PolicyMetrics } from "./metrics.ts";
import type { WatchHub } from "./handlers/watch.ts";
import { readPolicies } from "./store/policies.ts";
import { lockRevision, readRevision, writeRevision } from "./store/revision.ts";
import { readTokens } from "./store/tokens.ts";

const CHANGES_WAITING_MAX = 64;
const REFRESH_INTERVAL_MS = 1_000;
const REFRESH_FAILURES_MAX = 5;

/** Does its statements and says whether anything changed. What it throws undoes the change. */
export type Change = (client: ClientBase) => Promise<boolean>;

/** Holds the state that decisions rest on, and is the only way to change it. */
export interface Authority {
  current(): PolicyState;
  /**
   * Changes the database, then the state in memory, one change after the other; settles once no gateway can act on an
   * older revision any more (invariant 2 of the design). The change holds from the returned state's revision on.
   */
  change(work: Change): Promise<PolicyState>;
  /** The same without waiting for the gateways: for changes that nobody waits for. */
  apply(work: Change): Promise<PolicyState>;
  /** Why the state may be out of date, or undefined. */
  problem(): string | undefined;
}

/** Reads the state from the database and publishes its revision. */
export async function openAuthority(options: {
  readonly pool: Pool;
  readonly hub: WatchHub;
  readonly metrics: PolicyMetrics;
  readonly life: Life;
  readonly log: Log;
}): Promise<Authority> {
  const { pool, hub, metrics, life, log } = options;
  let state = await withTransaction(pool, async (client) => readState(client, await lockRevision(client)));
  let last: Promise<unknown> = Promise.resolve();
  let waiting = 0;
  let failures = 0;
  publish();

  function publish(): void {
    hub.publish(state.revision);
    metrics.revision.set(state.revision);
    metrics.policies.set(state.policies.length);
    metrics.tokens.set(state.tokens.byName.size);
  }

  function swap(next: PolicyState): void {
    if (next === state) return;
    const previous = state;
    state = next;
    previous.engine.dispose();
    publish();
  }

  /** One at a time: the state in memory follows the order of the commits. */
  async function inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (waiting >= CHANGES_WAITING_MAX) {
      throw new AppError("overloaded", `${CHANGES_WAITING_MAX} changes of policy are waiting already; try again later`);
    }
    waiting += 1;
    const turn = last.then(work, work);
    last = turn.catch(() => undefined);
    return turn.finally(() => (waiting -= 1));
  }

  async function transact(work: Change): Promise<PolicyState> {
    let built: PolicyState | undefined;
    try {
      const next = await withTransaction(pool, async (client) => {
        const revision = await lockRevision(client);
        const changed = await work(client);
        // Unchanged, yet newer than what is held here: a change whose commit was never heard of, or another replica's.
        if (!changed && revision === state.revision) return state;
        if (changed) await writeRevision(client, revision + 1);
        built = await readState(client, changed ? revision + 1 : revision);
        return built;
      });
      swap(next);
      return next;
    } catch (error) {
      built?.engine.dispose();
      throw error;
    }
  }

  const apply = (work: Change): Promise<PolicyState> => inTurn(() => transact(work));

  async function change(work: Change): Promise<PolicyState> {
    const next = await apply(work);
    // Also when nothing changed: the caller may be repeating a change whose answer it missed.
    await hub.taken(next.revision);
    return next;
  }

  async function refresh(): Promise<void> {
    try {
      if ((await readRevision(pool)) !== state.revision) {
        const next = await apply(() => Promise.resolve(false));
        log.info({ revision: next.revision }, "took a revision that was made elsewhere");
      }
      failures = 0;
    } catch (error) {
      failures += 1;
      if (failures === 1) log.warn({ err: error }, "the revision cannot be read; decisions go on with the one at hand");
    }
  }

  startRefreshing(refresh, life);
  return {
    current: () => state,
    change,
    apply,
    problem: () => (failures >= REFRESH_FAILURES_MAX ? "the database cannot be read" : undefined),
  };
}

async function readState(client: ClientBase, revision: number): Promise<PolicyState> {
  return buildState({ revision, tokens: await readTokens(client), policies: await readPolicies(client) });
}

function startRefreshing(refresh: () => Promise<void>, life: Life): void {
  let busy: Promise<void> | undefined;
  const timer = setInterval(() => {
    busy ??= refresh().finally(() => (busy = undefined));
  }, REFRESH_INTERVAL_MS);
  life.onClose("policy state", 2_000, async () => {
    clearInterval(timer);
    await busy;
  });
}
