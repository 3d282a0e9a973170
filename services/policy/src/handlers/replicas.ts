import { randomUUID } from "node:crypto";
import { AppError } from "@tollgate/errors";
import { type Life, type Log, type Pool, within } from "@tollgate/service";
import type { PoolClient } from "pg";
import { createPeers, createStanding, type ReplicaRecord } from "../domain/replicas.ts";
import { listenToReplicas, readReplicas, removeReplica, tellReplicas, writeReplica } from "../store/replicas.ts";
import type { Authority } from "./authority.ts";
import { createLeaseWaits } from "./lease-waits.ts";
import { createTurns } from "./turns.ts";
import type { WatchHub } from "./watch.ts";

const BEAT_INTERVAL_MS = 250;
const ANSWER_MAX_MS = 2_000;
const LATE = "the database did not answer";
const TAKEN_WAIT_MAX_MS = 10_000;
const QUESTIONS_WAITING_MAX = 256;
/** So many beats may fail before this process is not ready. */
const FAILURES_MAX = 5;

/** This process among others on the same database; domain/replicas.ts says why it keeps invariant 2 of the design. */
export interface Replicas {
  /** Whether leases may be given now. */
  readonly mayGrant: () => boolean;
  /**
   * Settles when no gateway of another replica can act on an older revision any more.
   * @throws {AppError} `unavailable` when that takes too long, or cannot be known
   */
  taken(revision: number): Promise<void>;
  /** From now on there is this replica. */
  join(options: { place: string; authority: Authority; hub: WatchHub }): Promise<void>;
  /** Why no leases are given, or may soon not be given, or undefined. */
  problem(): string | undefined;
}

export function createReplicas(options: { readonly pool: Pool; readonly life: Life; readonly log: Log }): Replicas {
  const { pool, life, log } = options;
  const standing = createStanding();
  const peers = createPeers();
  const waits = createLeaseWaits(peers);
  const link = openLink({ pool, log, onNotice: () => beats.now() });
  const beats = createBeats({ beat, log });
  let record: ReplicaRecord = { id: randomUUID(), place: "", beat: 0, takenRevision: 0, grantsMs: 0 };
  let joined: { readonly authority: Authority; readonly hub: WatchHub } | undefined;

  const mayGrant = (): boolean => standing.mayGrant(performance.now());

  /** All looks are by one connection, one after the other: none is overtaken by an older one. */
  const look = async (): Promise<{ readonly revision: number; readonly isAlone: boolean }> => {
    const { revision, others } = await link.ask(async (client) => {
      const seen = await readReplicas(client, record.id);
      peers.observe(seen.others, record.place, performance.now());
      return seen;
    });
    waits.check();
    return { revision, isAlone: others.length === 0 };
  };

  async function write(news: Partial<ReplicaRecord>): Promise<void> {
    const isTaken = (news.takenRevision ?? 0) > record.takenRevision;
    record = { ...record, ...news, beat: record.beat + 1 };
    await link.ask((client) => writeReplica(client, record));
    // Somebody may be waiting for it.
    if (isTaken) await link.ask(tellReplicas);
  }

  async function beat(): Promise<void> {
    const { authority, hub } = joined!;
    const askedAtMs = performance.now();
    const { grantsMs } = standing;
    const { revision } = authority.current();
    await write({ grantsMs, takenRevision: hub.isTaken(revision) ? revision : record.takenRevision });
    const seen = await look();
    if (seen.revision !== authority.current().revision) {
      if (seen.revision > authority.current().revision) standing.suspend();
      const { revision: next } = await authority.refresh();
      void hub.taken(next).then(beats.now, () => undefined);
    }
    const wasGranting = mayGrant();
    standing.confirm({ askedAtMs, grantsMs, isAlone: seen.isAlone });
    if (!wasGranting) hub.renew();
    for (const ended of peers.ended(performance.now())) await link.ask((client) => removeReplica(client, ended));
  }

  return {
    mayGrant,
    async taken(revision) {
      await look().catch((cause: unknown) => {
        throw new AppError("unavailable", "the change is made; whether other replicas know is not known", { cause });
      });
      if (await waits.until(revision, TAKEN_WAIT_MAX_MS)) return;
      const places = peers.holding(revision).join(", ");
      throw new AppError(
        "unavailable",
        `the change is made, but policy at ${places} may still decide by what was before`,
      );
    },
    async join({ place, ...rest }) {
      record = { ...record, place };
      joined = rest;
      life.onClose("replica", ANSWER_MAX_MS, async () => {
        await beats.stop();
        // What it has given so far has its time; it gives no more.
        standing.suspend();
        await write({ grantsMs: 0 });
        link.close();
      });
      await beats.start();
    },
    problem() {
      if (beats.failures() >= FAILURES_MAX) return "the database cannot be read";
      return mayGrant() ? undefined : "whether this is the newest revision is not known";
    },
  };
}

/** Does `beat` again and again, and at once when something is new; never twice at a time. */
function createBeats({ beat, log }: { readonly beat: () => Promise<void>; readonly log: Log }) {
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  let again = false;
  let failures = 0;

  async function attempt(): Promise<void> {
    again = false;
    try {
      await beat();
      failures = 0;
    } catch (error) {
      failures += 1;
      if (failures === 1) log.warn({ err: error }, "the database cannot be asked for the newest revision");
    }
    running = undefined;
    if (again) now();
  }

  function now(): void {
    if (timer === undefined) return;
    if (running === undefined) running = attempt();
    else again = true;
  }

  return {
    now,
    failures: () => failures,
    async start(): Promise<void> {
      timer = setInterval(now, BEAT_INTERVAL_MS);
      now();
      await running;
    },
    async stop(): Promise<void> {
      clearInterval(timer);
      timer = undefined;
      await running;
    },
  };
}

/** One connection, on which notices come in; opened when needed, and given up when it does not answer in time. */
function openLink(options: { readonly pool: Pool; readonly log: Log; readonly onNotice: () => void }) {
  const { pool, log, onNotice } = options;
  const inTurn = createTurns({ waitingMax: QUESTIONS_WAITING_MAX, what: "questions about replicas" });
  let open: PoolClient | undefined;

  async function connect(): Promise<PoolClient> {
    const client = await pool.connect();
    // Heard to the end: an error that nobody hears would end the process.
    client.on("error", (error) => {
      if (open !== client) return;
      log.warn({ err: error }, "the connection by which replicas hear of each other is lost");
      close();
    });
    client.on("notification", () => {
      if (open === client) onNotice();
    });
    open = client;
    return client;
  }

  function close(): void {
    open?.release(true);
    open = undefined;
  }

  async function ask<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    return inTurn(async () => {
      const isNew = open === undefined;
      const client = open ?? (await connect());
      try {
        if (isNew) await within(ANSWER_MAX_MS, listenToReplicas(client), LATE);
        return await within(ANSWER_MAX_MS, work(client), LATE);
      } catch (error) {
        if (open === client) close();
        throw error;
      }
    });
  }

  return { ask, close };
}
