import { randomBytes } from "node:crypto";
import { changeEvent } from "@tollgate/contracts";
import {
  type DesiredServer,
  type DesiredState,
  entriesIn,
  type EntryKey,
  type LoadCovered,
  type WrittenEntry,
} from "@tollgate/desired-state";
import { AppError } from "@tollgate/errors";
import { enqueueEvents, type Life, type Log, type Pool, withTransaction } from "@tollgate/service";
import { type Assignments, assignmentsOf, bytesOfAssignments, isSameWork } from "../domain/assignment.ts";
import { changesBetween, type DeclaredResource } from "../domain/changes.ts";
import type { Envelopes } from "../domain/envelope.ts";
import {
  bytesOf,
  type EntryValue,
  isAppliedFile,
  keyOf,
  type Layers,
  layersByApi,
  layersByFile,
  overlayOf,
} from "../domain/layers.ts";
import { readDeclared } from "../store/declared.ts";
import { writeDesired } from "../store/desired.ts";
import { readEntriesRevision, writeEntries, writeProblems } from "../store/entries.ts";
import { lockRevision, type Queryable, setRevision } from "../store/revision.ts";
import type { Catalogue } from "./catalogue.ts";
import { SNAPSHOT_SPACING_MS } from "./catalogue.ts";
import { toDesiredRows } from "./desired-rows.ts";
import { loadFitting, type Fitted } from "./fitting.ts";
import { type KnownEntry, readKnownEntries, toEntryRow } from "./known-entries.ts";
import { createLatest, type Latest } from "./latest.ts";
import type { SecretStores } from "./secret-stores.ts";

const NOTHING: Assignments = { revision: 0n, groups: [], assignments: [] };
const SALT_BYTES = 12;
const TRIES_MAX = 20;
/** What the API says of all entries: all of it is loaded at each change, which has to be answered within seconds. */
const ENTRIES_MAX_BYTES = 24 * 1024 * 1024;
/** What all servers run with has to fit into one gRPC message of 64 MiB. */
const ASSIGNMENTS_MAX_BYTES = 48 * 1024 * 1024;

/** Who changes what is declared. */
export interface Author {
  readonly principal: string;
  readonly address?: string;
}

/** As requests of gRPC name who asks for them. */
export function authorOf({ actor, address }: { actor: string; address: string }): Author {
  return { principal: actor, ...(address === "" ? {} : { address }) };
}

/** An entry as the API says it is to be; without a value it is to go. */
export interface EntryChange extends EntryKey {
  readonly value: EntryValue | undefined;
}

/** What is declared, as of the transaction that may change it. */
export interface Declared {
  /** By keyOf; those that are nowhere any more are among them. */
  readonly known: ReadonlyMap<string, KnownEntry>;
  /** What the file says, by keyOf. */
  readonly file: ReadonlyMap<string, WrittenEntry>;
  /** Of the file, as it is written. */
  readonly sections: Readonly<Record<string, unknown>>;
}

export interface Changed {
  readonly revision: bigint;
  /** What is on the record of it. */
  readonly before: readonly DeclaredResource[];
  readonly after: readonly DeclaredResource[];
  /** What is allowed but unwise in what is in force then. */
  readonly warnings: readonly string[];
}

/** What is declared by the file and by the API, and in force. See domain/layers.ts. */
export interface Entries {
  readonly assignments: Latest<Assignments>;
  /** With its secrets. */
  serverOf(id: string): DesiredServer | undefined;
  /**
   * Takes a file that is without mistakes by itself. What the API says and does not go together with the first one is set
   * aside, until it does or is changed; what is in force is not set aside by a later one.
   * @throws {AppError} failed_precondition where what the API says does not go together with it
   */
  takeFile(state: DesiredState, load: LoadCovered): Promise<bigint>;
  /**
   * Changes what the API says, in one transaction: all of it, or nothing.
   * @param plan is given what is declared, and may be called again
   * @param options.dryRun everything is done as if, and taken back
   * @throws {AppError} invalid_argument with `mistakes`; what `plan` throws; unavailable: another replica has a newer file
   */
  change(
    plan: (declared: Declared) => Promise<readonly EntryChange[]> | readonly EntryChange[],
    options: Author & { readonly dryRun?: boolean },
  ): Promise<Changed>;
  read(): Promise<Declared & { readonly revision: bigint }>;
}

interface TakenFile {
  readonly state: DesiredState;
  readonly load: LoadCovered;
}

interface Options {
  readonly pool: Pool;
  /** Without it nothing can be kept that has to be sealed. */
  readonly envelopes: Envelopes | undefined;
  readonly secrets: Pick<SecretStores, "use">;
  readonly catalogue: Catalogue;
  readonly life: Life;
  readonly log: Log;
}

export function openEntries(options: Options): Entries {
  const { pool, envelopes, secrets, catalogue, life, log } = options;
  const assignments = createLatest(NOTHING, { spacingMs: SNAPSHOT_SPACING_MS, signal: life.signal });
  let taken: TakenFile | undefined;
  let inForce: DesiredState | undefined;
  /** Of the entries that `inForce` was made of. */
  let revision = 0n;
  let servers = new Map<string, DesiredServer>();
  let aside: Fitted["aside"] = new Map();

  /** What is in force, with the restarts that were asked for through any replica. */
  const assign = (): void => {
    if (inForce === undefined) return;
    const { revision: at, servers: known } = catalogue.latest.value;
    const generations = new Map(known.map(({ id, generation }) => [id, generation]));
    const work = assignmentsOf(inForce, { revision: at, generationOf: (server) => generations.get(server) ?? 0n });
    if (!isSameWork(work, assignments.value)) assignments.set(work);
  };
  const use = async ({ state, aside: now }: Fitted, of: bigint): Promise<void> => {
    await secrets.use(state.servers);
    tellAside(aside, now, log);
    aside = now;
    inForce = state;
    revision = of;
    servers = new Map(state.servers.map((server) => [server.id, server]));
  };
  const inTurn = turns();
  /** What another replica has changed. */
  const follow = inTurn(async () => {
    if (taken === undefined) return;
    const newest = await readEntriesRevision(pool);
    if (newest === revision) return;
    const known = await readKnownEntries(pool, envelopes);
    await use(await cover(taken, known, { mayMiss: () => true }), newest);
    assign();
  });
  catalogue.latest.listen(() => {
    assign();
    follow().catch((error: unknown) =>
      log.error({ err: error }, "what another replica has declared cannot be put in force here"),
    );
  });

  const commit = async (file: TakenFile, work: Work) => {
    const done = await reconcile(pool, file, work);
    if (work.dryRun) return done;
    await use(done.fitted, done.entriesRevision);
    await catalogue.refresh();
    assign();
    return done;
  };

  return {
    assignments,
    serverOf: (id) => servers.get(id),
    takeFile: inTurn(async (state: DesiredState, load: LoadCovered) => {
      checkAssignments(state);
      const file = { state, load: async (...over: Parameters<LoadCovered>) => checkAssignments(await load(...over)) };
      const plan = async (known: ReadonlyMap<string, KnownEntry>) =>
        layersByFile(known, entriesIn(state.sections), newSalt);
      const isStart = taken === undefined;
      const mayMiss: Work["mayMiss"] = (entry) => isStart || isAside(entry);
      const work = { envelopes, plan, mayMiss, author: { principal: "file" } };
      const { revision: at } = await commit(file, work).catch(asConflict);
      taken = file;
      return at;
    }),
    change: inTurn(async (plan, { dryRun = false, ...author }) => {
      if (taken === undefined) throw new AppError("unavailable", "the configuration file is not applied yet");
      const file = taken;
      let asked: ReadonlySet<string> = new Set();
      const byApi = async (known: ReadonlyMap<string, KnownEntry>): Promise<Layers[]> => {
        if (!isAppliedFile(known, entriesIn(file.state.sections)))
          throw new AppError("unavailable", "another replica has applied another configuration file; try again");
        const declared = toDeclared(file, known);
        const changes = await plan(declared);
        asked = new Set(changes.map(keyOf));
        return layersOf(changes, declared);
      };
      // What is changed has to fit; what was set aside before may go on like that.
      const mayMiss: Work["mayMiss"] = (entry, key) => isAside(entry) && !asked.has(key);
      return commit(file, { envelopes, plan: byApi, mayMiss, author, dryRun }).catch(asMistakes);
    }),
    async read() {
      if (taken === undefined) throw new AppError("unavailable", "the configuration file is not applied yet");
      const known = await readKnownEntries(pool, envelopes);
      return { ...toDeclared(taken, known), revision: catalogue.latest.value.revision };
    },
  };
}

/** One after the other, in this process; across replicas the database's lock sees to it. */
function turns(): <A extends unknown[], R>(work: (...args: A) => Promise<R>) => (...args: A) => Promise<R> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) =>
    (...args) => {
      const next = last.then(() => work(...args));
      last = next.catch(() => undefined);
      return next;
    };
}

interface Work {
  readonly envelopes: Envelopes | undefined;
  readonly plan: (known: ReadonlyMap<string, KnownEntry>) => Promise<readonly Layers[]>;
  /** Whether the API's word on an entry may be set aside, by what was known of it. */
  readonly mayMiss: (entry: KnownEntry | undefined, key: string) => boolean;
  readonly author: Author;
  readonly dryRun?: boolean;
}

/** What is to be written, if nothing else was meanwhile. */
interface Prepared {
  /** Of the entries that it was made of. */
  readonly of: bigint;
  readonly known: ReadonlyMap<string, KnownEntry>;
  readonly changes: readonly Layers[];
  readonly fitted: Fitted;
}

/**
 * Loading takes its time, and may ask for secrets over other connections: so everything is prepared before the lock is
 * taken, and prepared anew when another replica has written meanwhile.
 */
async function reconcile(pool: Pool, file: TakenFile, work: Work) {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const prepared = await prepare(pool, file, work);
    const done = await withTransaction(pool, async (client) => {
      const current = await lockRevision(client);
      if ((await readEntriesRevision(client)) !== prepared.of) return undefined;
      if (work.dryRun) await client.query("SAVEPOINT dry_run");
      const result = await write(client, { current, prepared, work });
      if (work.dryRun) await client.query("ROLLBACK TO SAVEPOINT dry_run");
      return result;
    });
    if (done !== undefined) return done;
  }
  throw new AppError("unavailable", "others change what is declared all the time; try again");
}

async function prepare(pool: Pool, file: TakenFile, { envelopes, plan, mayMiss, dryRun }: Work): Promise<Prepared> {
  // Before the entries: what is written in between is noticed then.
  const of = await readEntriesRevision(pool);
  const known = await readKnownEntries(pool, envelopes);
  const changes = await plan(known);
  const layers = new Map([...known, ...changes.map((each) => [keyOf(each), each] as const)]);
  checkGrowth(known.values(), layers.values());
  const fitted = await cover(file, layers, { mayMiss: (key) => mayMiss(known.get(key), key), isTrial: dryRun });
  return { of, known, changes, fitted };
}

async function write(
  client: Queryable,
  { current, prepared, work }: { current: bigint; prepared: Prepared; work: Work },
) {
  const { known, changes, fitted } = prepared;
  const { envelopes, author } = work;
  const next = current + 1n;
  const before = await readDeclared(client);
  const isOther = await writeDesired(client, toDesiredRows(fitted.state), next);
  const updatedBy = author.principal;
  const rows = changes.map((each) => toEntryRow(each, known.get(keyOf(each)), { envelopes, updatedBy }));
  await writeEntries(client, rows, next);
  const problems = problemsOf(prepared);
  await writeProblems(client, problems, next);
  const entriesRevision = await readEntriesRevision(client);
  const { warnings } = fitted.state;
  const done = { entriesRevision, fitted, warnings, before };
  if (!isOther && changes.length + problems.length === 0) return { ...done, revision: current, after: before };
  await setRevision(client, next);
  const after = await readDeclared(client);
  const nowMs = Date.now();
  const events = changesBetween(before, after).map((change) => changeEvent({ ...change, ...author }, nowMs));
  await enqueueEvents(client, "registry", events);
  return { ...done, revision: next, after };
}

/** @throws {AppError} payload_too_large; what is smaller than before goes through */
function checkGrowth(before: Iterable<Layers>, after: Iterable<Layers>): void {
  const bytes = bytesOf(after);
  if (bytes <= ENTRIES_MAX_BYTES || bytes <= bytesOf(before)) return;
  const what = `what is declared through the API would have ${bytes} bytes`;
  throw new AppError("payload_too_large", `${what}; at most ${ENTRIES_MAX_BYTES} fit`);
}

/** @throws {AppError} invalid_argument with `mistakes` */
function checkAssignments(state: DesiredState): DesiredState {
  const bytes = bytesOfAssignments(state);
  if (bytes <= ASSIGNMENTS_MAX_BYTES) return state;
  const mistake = `what servers run with would have ${bytes} bytes; at most ${ASSIGNMENTS_MAX_BYTES} fit`;
  throw new AppError("invalid_argument", mistake, { details: { mistakes: [mistake] } });
}

/** Those that are others than before. */
function problemsOf({ known, changes, fitted }: Prepared): (EntryKey & { problem: string })[] {
  const all = new Map([...known, ...changes.map((each) => [keyOf(each), each] as const)]);
  return [...all].flatMap(([key, { kind, id }]) => {
    const problem = fitted.aside.get(key) ?? "";
    return problem === (known.get(key)?.problem ?? "") ? [] : [{ kind, id, problem }];
  });
}

/**
 * The file with the API's words over it.
 * @throws {AppError} invalid_argument with `mistakes`, where one does not fit that may not be set aside
 */
async function cover(
  { state, load }: TakenFile,
  layers: ReadonlyMap<string, Layers>,
  { mayMiss, isTrial = false }: { mayMiss: (key: string) => boolean; isTrial?: boolean | undefined },
): Promise<Fitted> {
  const unopened = [...layers].flatMap(([key, { unopened: why }]) => (why === undefined ? [] : [[key, why] as const]));
  const closed = unopened.find(([key]) => !mayMiss(key));
  if (closed !== undefined) throw new AppError("failed_precondition", closed[1]);
  const aside = new Map(unopened);
  const overlay = overlayOf([...layers.values()].filter((each) => !aside.has(keyOf(each))));
  if (overlay.length === 0) return { state, aside };
  const fitted = await loadFitting(
    (over) => load(over, { isTrial }),
    overlay,
    (each) => mayMiss(keyOf(each)),
  );
  return { state: fitted.state, aside: new Map([...aside, ...fitted.aside]) };
}

function isAside(entry: KnownEntry | undefined): boolean {
  return entry !== undefined && entry.problem !== "";
}

function tellAside(before: Fitted["aside"], now: Fitted["aside"], log: Log): void {
  for (const [entry, problem] of now)
    if (before.get(entry) !== problem)
      log.error(
        { entry, problem },
        "what the API says of an entry does not fit the configuration file; it is set aside",
      );
  for (const entry of before.keys())
    if (!now.has(entry)) log.info({ entry }, "what the API says of an entry is not set aside any more");
}

function toDeclared({ state }: TakenFile, known: ReadonlyMap<string, KnownEntry>): Declared {
  const { sections } = state;
  return { known, file: new Map(entriesIn(sections).map((each) => [keyOf(each), each])), sections };
}

function layersOf(changes: readonly EntryChange[], { known, file }: Declared): Layers[] {
  return changes.flatMap((change) => {
    const key = keyOf(change);
    return layersByApi(known.get(key), change, file.get(key)?.value) ?? [];
  });
}

/** The file is without mistakes by itself, so what does not go together with it is the API's. */
function asConflict(error: unknown): never {
  const mistakes = mistakesOf(error);
  if (mistakes === undefined) throw error;
  const what = "the configuration file does not go together with what the API has declared";
  const message = `${what}; change one of them, or say in the file what becomes of these:\n  ${mistakes.join("\n  ")}`;
  throw new AppError("failed_precondition", message, { cause: error });
}

function asMistakes(error: unknown): never {
  const mistakes = mistakesOf(error);
  if (mistakes === undefined) throw error;
  throw new AppError("invalid_argument", mistakes.join("\n"), { cause: error, details: { mistakes } });
}

function mistakesOf(error: unknown): readonly string[] | undefined {
  if (!(error instanceof AppError) || error.code !== "invalid_argument") return undefined;
  return error.details["mistakes"] as readonly string[] | undefined;
}

function newSalt(): string {
  return randomBytes(SALT_BYTES).toString("base64url");
}
