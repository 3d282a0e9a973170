import { type Bus, publishCatalogueRevision, subscribeCatalogueRevisions } from "@tollgate/bus";
import type { registryV1 } from "@tollgate/contracts";
import type { Life, Log, Pool } from "@tollgate/service";
import { keepSame } from "../domain/catalogue-delta.ts";
import { tellShadowing, toOffered } from "../domain/offered-tools.ts";
import type { RegistryMetrics } from "../metrics.ts";
import { loadCatalogue, type OfferCache } from "../store/catalogue.ts";
import { readRevision } from "../store/revision.ts";
import { createLatest, type Latest } from "./latest.ts";

/** How soon a change is seen of which the other replica's notice was lost, and how soon a lost database is noticed. */
const POLL_MS = 1_000;
export const SNAPSHOT_SPACING_MS = 20;
const OFFERING = { toOffered, tellShadowing };

/** The catalogue in memory: a copy of the tables at one revision, the same object for all watchers. */
export interface Catalogue {
  readonly latest: Latest<registryV1.WatchCatalogueResponse>;
  /** Settles when `latest` holds at least what was committed before the call. */
  refresh(): Promise<void>;
  /** Why the copy may be old, or undefined. */
  readonly problem: () => string | undefined;
}

export async function openCatalogue(options: {
  pool: Pool;
  bus: Bus;
  metrics: RegistryMetrics;
  life: Life;
  log: Log;
}): Promise<Catalogue> {
  const { pool, bus, metrics, life, log } = options;
  const offers: OfferCache = new Map();
  const latest = createLatest(await loadCatalogue(pool, offers, OFFERING), {
    spacingMs: SNAPSHOT_SPACING_MS,
    signal: life.signal,
  });
  metrics.observe(latest.value);
  let problem: string | undefined;

  const load = async (): Promise<void> => {
    const next = await loadCatalogue(pool, offers, OFFERING);
    if (next.revision === latest.value.revision) return;
    latest.set(keepSame(latest.value, next));
    metrics.observe(next);
    publishCatalogueRevision(bus, next.revision);
  };
  const refresh = inTurns(load);

  const poll = async (): Promise<void> => {
    try {
      if ((await readRevision(pool)) !== latest.value.revision) await refresh();
      if (problem !== undefined) log.info("database reached again");
      problem = undefined;
    } catch (error) {
      if (problem === undefined) log.warn({ err: error }, "database lost; serving the catalogue from memory");
      problem = "the database cannot be reached";
    }
  };
  repeat(poll, life);
  // Whoever sees a new revision says so: replicas that have it already do nothing.
  subscribeCatalogueRevisions(bus, (revision) => void (revision > latest.value.revision && poll()));
  return { latest, refresh, problem: () => problem };
}

/** Runs `work` after every call, but one at a time, and once for all calls that came while it ran. */
function inTurns(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> = Promise.resolve();
  let waiting: Promise<void> | undefined;
  return () => {
    waiting ??= running
      .catch(() => undefined)
      .then(() => {
        waiting = undefined;
        running = work();
        return running;
      });
    return waiting;
  };
}

function repeat(work: () => Promise<void>, life: Life): void {
  let current: Promise<void> = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;
  const again = (): void => {
    timer = setTimeout(() => {
      current = work().then(() => (life.signal.aborted ? undefined : again()));
    }, POLL_MS);
  };
  again();
  life.onClose("catalogue", 2_000, () => {
    clearTimeout(timer);
    return current;
  });
}
