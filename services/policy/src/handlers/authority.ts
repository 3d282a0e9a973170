import { changeEvent } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { enqueueEvents, type Log, type Pool, refusedValue, withTransaction } from "@tollgate/service";
import type { ClientBase } from "pg";
import { hasAdministrator } from "../domain/administrators.ts";
import { changesBetween } from "../domain/changes.ts";
import {
  buildState,
  type Changed,
  type NewRecords,
  type Part,
  PARTS,
  type PolicyRecords,
  type PolicyState,
} from "../domain/state.ts";
import type { PolicyMetrics } from "../metrics.ts";
import { readGrants } from "../store/approvals.ts";
import { readLimits } from "../store/limits.ts";
import { readPolicies, readSomePolicies } from "../store/policies.ts";
import { readPrincipals } from "../store/principals.ts";
import { lockRevision, readChanges, writeRevision } from "../store/revision.ts";
import { readEndedSessions } from "../store/sessions.ts";
import { readSettings } from "../store/settings.ts";
import { readSomeTokens, readTokens } from "../store/tokens.ts";
import type { Replicas } from "./replicas.ts";
import { createTurns } from "./turns.ts";
import type { WatchHub } from "./watch.ts";

const CHANGES_WAITING_MAX = 64;
/** Who changes what tollgate.yaml says. Nobody waits for it who could be told that it is refused. */
const FILE = "file";

/** Does its statements and says what it has changed, if anything. What it throws undoes the change. */
export type Change = (client: ClientBase) => Promise<readonly Changed[]>;

/** Makes a change that may change nothing; for works that know of one part only. */
export const changes = (part: Part, isChanged: boolean): readonly Part[] => (isChanged ? [part] : []);

/** Holds the state that decisions rest on, and is the only way to change it. */
export interface Authority {
  current(): PolicyState;
  /**
   * Changes the database, then the state in memory, one change after the other; settles once no gateway can act on an
   * older revision any more (invariant 2 of the design). The change holds from the returned state's revision on, and is
   * on the record as made by this principal.
   */
  change(principal: string, work: Change): Promise<PolicyState>;
  /** The same without waiting for the gateways: for changes of the configuration file, for which nobody waits. */
  apply(work: Change): Promise<PolicyState>;
  /** The same, and taken back again: throws what `change` would throw. */
  rehearse(principal: string, work: Change): Promise<void>;
  /** Takes over what other replicas have changed. */
  refresh(): Promise<PolicyState>;
}

/** Reads the state from the database and publishes its revision. */
export async function openAuthority(options: {
  readonly pool: Pool;
  readonly hub: WatchHub;
  readonly replicas: Pick<Replicas, "taken">;
  readonly metrics: PolicyMetrics;
  readonly log: Log;
}): Promise<Authority> {
  const { pool, hub, replicas, metrics, log } = options;
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

  async function transact(work: Change, principal: string): Promise<PolicyState> {
    const before = state;
    const next = await store({ pool, before, work, principal, log });
    if (next === before) return next;
    state = next;
    if (next.engine !== before.engine) before.engine.dispose(next.engine);
    publish();
    return next;
  }

  const apply = (work: Change): Promise<PolicyState> => inTurn(() => transact(work, FILE));

  return {
    current: () => state,
    apply,
    async change(principal, work) {
      const next = await inTurn(() => transact(work, principal));
      // Also when nothing changed: the caller may be repeating a change whose answer it missed.
      await Promise.all([hub.taken(next.revision), replicas.taken(next.revision)]);
      return next;
    },
    async rehearse(principal, work) {
      await inTurn(() => store({ pool, before: state, work, principal, log, isRehearsal: true }));
    },
    refresh: () => apply(() => Promise.resolve([])),
  };
}

/** One change in the database, and its events. Nothing is committed of which no state can be built. */
async function store(options: {
  readonly pool: Pool;
  readonly before: PolicyState;
  readonly work: Change;
  readonly principal: string;
  readonly log: Log;
  readonly isRehearsal?: boolean;
}): Promise<PolicyState> {
  const { pool, before, work, principal, log, isRehearsal = false } = options;
  const built: PolicyState[] = [];
  try {
    const next = await withTransaction(pool, async (client) => {
      const revision = await lockRevision(client);
      const base = revision === before.revision ? before : await catchUp(client, before, revision);
      // Newer than what is held here: a change whose commit was never heard of, or another replica's.
      if (base !== before) log.info({ revision }, "takes a revision that was made elsewhere");
      built.push(base);
      const changed = await work(client);
      if (changed.length === 0) return base;
      await writeRevision(client, revision + 1, changed);
      const after = buildState(revision + 1, await readChanged(client, changed), base);
      built.push(after);
      // Whoever writes the file can always write it anew: only its policies are looked at.
      if (principal !== FILE || changed.includes("policies")) checkAdministrators(base, after);
      if (isRehearsal) throw new Rehearsed();
      const nowMs = Date.now();
      const by = { principal, revision: after.revision };
      const events = changesBetween(base, after, changed).map((each) => changeEvent({ ...each, ...by }, nowMs));
      await enqueueEvents(client, "policy", events);
      return after;
    });
    disposeOthers(built, [before, next], next);
    return next;
  } catch (error) {
    disposeOthers(built, [before]);
    if (error instanceof Rehearsed) return before;
    const refusal = error instanceof AppError ? error : refusedValue(error);
    if (refusal !== undefined) throw refusal;
    log.error({ err: error }, "a change was not stored");
    // After a lost answer to COMMIT it may be stored all the same; then it holds from the next refresh on.
    throw new AppError("unavailable", "the change could not be stored; it may be repeated", { cause: error });
  }
}

/** Takes back a change that was only to be tried. */
class Rehearsed extends Error {}

/** What others have made of a state since. */
async function catchUp(client: ClientBase, before: PolicyState, revision: number): Promise<PolicyState> {
  const changed = await readChanges(client, { after: before.revision, upTo: revision });
  return buildState(revision, await readChanged(client, changed ?? PARTS), before);
}

/** States that nobody will decide by. Engines are shared by states of the same policies. */
function disposeOthers(built: readonly PolicyState[], kept: readonly PolicyState[], heir?: PolicyState): void {
  const inUse = new Set(kept.map(({ engine }) => engine));
  for (const { engine } of built) if (!inUse.has(engine)) engine.dispose(heir?.engine);
}

/** @throws {AppError} failed_precondition, where somebody may administer before the change and nobody after it */
function checkAdministrators(before: PolicyState, after: PolicyState): void {
  const nowMs = Date.now();
  if (hasAdministrator(after, nowMs) || !hasAdministrator(before, nowMs)) return;
  const advice = "keep a token with the permission admin, and no policy that denies it admin/policies/write";
  throw new AppError("failed_precondition", `nobody could administer any more: ${advice}`);
}

const READERS: { readonly [P in Part]: (client: ClientBase) => Promise<PolicyRecords[P]> } = {
  tokens: readTokens,
  principals: readPrincipals,
  policies: readPolicies,
  settings: readSettings,
  sessions: readEndedSessions,
  approvals: readGrants,
  limits: readLimits,
};

async function readAll(client: ClientBase, revision: number): Promise<PolicyState> {
  return buildState(revision, (await readParts(client, PARTS)) as PolicyRecords);
}

async function readParts(client: ClientBase, parts: Iterable<Part>): Promise<Partial<PolicyRecords>> {
  const records: Partial<Record<Part, unknown>> = {};
  for (const part of parts) records[part] = await READERS[part](client);
  return records as Partial<PolicyRecords>;
}

async function readChanged(client: ClientBase, changed: readonly Changed[]): Promise<NewRecords> {
  const parts = new Set(changed.filter((each) => typeof each === "string"));
  const some = changed.filter((each) => typeof each !== "string");
  const names = some.flatMap((each) => ("tokens" in each ? each.tokens : []));
  const ids = some.flatMap((each) => ("policies" in each ? each.policies : []));
  return {
    ...(await readParts(client, parts)),
    ...(names.length > 0 && { someTokens: { names, records: await readSomeTokens(client, names) } }),
    ...(ids.length > 0 && { somePolicies: { ids, records: await readSomePolicies(client, ids) } }),
  };
}
