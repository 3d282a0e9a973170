import { AppError } from "@tollgate/errors";
import { type Life, type Log, type Pool, withTransaction } from "@tollgate/service";
import type { ClientBase } from "pg";
import { buildState, type Part, PARTS, type PolicyRecords, type PolicyState } from "../domain/state.ts";
import type { PolicyMetrics } from "../metrics.ts";
import { readGrants } from "../store/approvals.ts";
import { readPolicies } from "../store/policies.ts";
import { lockRevision, readRevision, writeRevision } from "../store/revision.ts";
import { readEndedSessions } from "../store/sessions.ts";
import { readSettings } from "../store/settings.ts";
import { readTokens } from "../store/tokens.ts";
import { createTurns } from "./turns.ts";
import type { WatchHub } from "./watch.ts";

const CHANGES_WAITING_MAX = 64;
const REFRESH_INTERVAL_MS = 1_000;
const REFRESH_FAILURES_MAX = 5;

/** Does its statements and says which parts it has changed, if any. What it throws undoes the change. */
export type Change = (client: ClientBase) => Promise<readonly Part[]>;

/** Makes a change that may change nothing; for works that know of one part only. */
export const changes = (part: Part, isChanged: boolean): readonly Part[] => (isChanged ? [part] : []);

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
  // The state in memory follows the order of the commits.
  const inTurn = createTurns({ waitingMax: CHANGES_WAITING_MAX, what: "changes of policy" });
  let state = await withTransaction(pool, async (client) => readAll(client, await lockRevision(client)));
  publish();

  function publish(): void {
    hub.publish(state);
    metrics.revision.set(state.revision);
    metrics.policies.set(state.policies.length);
    metrics.tokens.set(state.tokens.byName.size);
  }

  async function transact(work: Change): Promise<PolicyState> {
    const before = state;
    const next = await store({ pool, before, work, log });
    if (next === before) return next;
    state = next;
    if (next.engine !== before.engine) before.engine.dispose();
    publish();
    return next;
  }

  const apply = (work: Change): Promise<PolicyState> => inTurn(() => transact(work));

  const problem = keepRefreshed({
    life,
    log,
    refresh: async () => {
      if ((await readRevision(pool)) !== state.revision) await apply(() => Promise.resolve([]));
    },
  });
  return {
    current: () => state,
    apply,
    async change(work) {
      const next = await apply(work);
      // Also when nothing changed: the caller may be repeating a change whose answer it missed.
      await hub.taken(next.revision);
      return next;
    },
    problem,
  };
}

/** One change in the database. Nothing is committed of which no state can be built. */
async function store(options: { pool: Pool; before: PolicyState; work: Change; log: Log }): Promise<PolicyState> {
  const { pool, before, work, log } = options;
  let built: PolicyState | undefined;
  try {
    return await withTransaction(pool, async (client) => {
      const revision = await lockRevision(client);
      const changed = await work(client);
      if (changed.length === 0 && revision === before.revision) return before;
      if (changed.length > 0) await writeRevision(client, revision + 1);
      const next = changed.length > 0 ? revision + 1 : revision;
      // Newer than what is held here: a change whose commit was never heard of, or another replica's.
      if (revision !== before.revision) log.info({ revision }, "takes a revision that was made elsewhere");
      const parts = revision === before.revision ? changed : PARTS;
      built = buildState(next, await readParts(client, parts), before);
      return built;
    });
  } catch (error) {
    if (built !== undefined && built.engine !== before.engine) built.engine.dispose();
    if (error instanceof AppError) throw error;
    log.error({ err: error }, "a change was not stored");
    // After a lost answer to COMMIT it may be stored all the same; then it holds from the next refresh on.
    throw new AppError("unavailable", "the change could not be stored; it may be repeated", { cause: error });
  }
}

const READERS: { readonly [P in Part]: (client: ClientBase) => Promise<PolicyRecords[P]> } = {
  tokens: readTokens,
  policies: readPolicies,
  settings: readSettings,
  sessions: readEndedSessions,
  approvals: readGrants,
};

async function readAll(client: ClientBase, revision: number): Promise<PolicyState> {
  return buildState(revision, (await readParts(client, PARTS)) as PolicyRecords);
}

async function readParts(client: ClientBase, parts: readonly Part[]): Promise<Partial<PolicyRecords>> {
  const records: Partial<Record<Part, unknown>> = {};
  for (const part of parts) records[part] = await READERS[part](client);
  return records as Partial<PolicyRecords>;
}

/** Takes over what was changed elsewhere. Returns a check that says why that may not work. */
function keepRefreshed(options: {
  readonly refresh: () => Promise<void>;
  readonly life: Life;
  readonly log: Log;
}): () => string | undefined {
  const { refresh, life, log } = options;
  let failures = 0;
  let busy: Promise<void> | undefined;

  async function attempt(): Promise<void> {
    try {
      await refresh();
      failures = 0;
    } catch (error) {
      failures += 1;
      if (failures === 1) log.warn({ err: error }, "the revision cannot be read; decisions go on with the one at hand");
    }
  }

  const timer = setInterval(() => {
    busy ??= attempt().finally(() => (busy = undefined));
  }, REFRESH_INTERVAL_MS);
  life.onClose("policy state", 2_000, async () => {
    clearInterval(timer);
    await busy;
  });
  return () => (failures >= REFRESH_FAILURES_MAX ? "the database cannot be read" : undefined);
}
