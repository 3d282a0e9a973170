import type { Log } from "@tollgate/service";
import type { Level } from "../containment/containment.ts";
import type { PoolSpec, ServerSpec } from "../domain/server-spec.ts";
import type { Offer } from "../upstream/discovery.ts";
import type { Audiences } from "./audiences.ts";
import type { ServerNews } from "./news.ts";
import { createKnownOffer, type KnownOffer } from "./offer.ts";
import type { Processes } from "./processes.ts";
import { createRestarts, type Restarts } from "./restarts.ts";
import type { Slot } from "./slots.ts";
import type { Spawning } from "./spawning.ts";

const SWEEP_MAX_MS = 10_000;

/** What a pool found out about its server, for the registry. */
export type ServerReport =
  | ({ readonly status: "ready" } & Offer & Level)
  | { readonly status: "unavailable"; readonly reason: string };

/** Sees to it that a server is there and known: what it offers is learned, so many are kept ready, idle ones end. */
export interface Upkeep {
  readonly offer: KnownOffer;
  readonly restarts: Restarts;
  /** Processes that ended by themselves. */
  readonly deaths: number;
  /** Whether it has ever been there, or failed to be. */
  readonly isKnown: boolean;
  /** Learns what the server offers when nothing is known of it, or when it is tried again. */
  discover(): void;
  /** The runner has room for another process. */
  onRoom(): void;
  opened(slot: Slot): void;
  startFailed(slot: Slot, reason: string): void;
  died(slot: Slot, reason: string): void;
  stop(): void;
}

export function createUpkeep(options: {
  spec: ServerSpec;
  level: Level;
  audiences: Audiences;
  processes: Processes;
  spawning: Spawning;
  news: ServerNews;
  report: (report: ServerReport) => void;
  log: Log;
}): Upkeep {
  const { spec, level, audiences, processes, spawning, news, log } = options;
  const { slots } = processes;
  const minimum = minimumOf(spec.pool);
  let stopped = false;
  let deaths = 0;
  let isLearning = false;
  /** Until there is room for its first process. */
  let isWaiting = false;
  /** As it was reported last. */
  let status: ServerReport["status"] | undefined;

  function report(found: ServerReport): void {
    if (stopped) return;
    ({ status } = found);
    options.report(found);
  }

  const restarts = createRestarts({
    start: discover,
    onChange: (state, reason) => news.tell(state, undefined, reason),
    onUnavailable: (reason) => isOpen() || report({ status: "unavailable", reason }),
    log,
  });
  const offer = createKnownOffer({
    spec,
    log,
    onOffer(found) {
      restarts.recovered();
      report({ status: "ready", ...found, ...level });
    },
  });

  function isOpen(): boolean {
    return [...slots.all()].some(({ connection }) => connection !== undefined);
  }

  function discover(): void {
    const there = [...slots.all()].find(({ audience }) => audience.kind === "shared");
    if (stopped || isLearning || (slots.size > 0 && status === "ready") || (!there && slots.size >= spec.pool.max))
      return;
    const slot = there ?? processes.start(audiences.nobody);
    isWaiting = slot === undefined;
    if (slot === undefined) return void spawning.makeRoom();
    isLearning = true;
    void learn(slot).finally(() => {
      isLearning = false;
    });
  }

  async function learn(slot: Slot): Promise<void> {
    try {
      await offer.learn(slot);
      keepReady();
    } catch (error) {
      // One that could not start, or has ended meanwhile, is known about already.
      if (processes.end(slot)) restarts.failed((error as Error).message);
    }
  }

  function keepReady(): void {
    if (stopped || restarts.problem !== undefined) return;
    while (slots.size < minimum) if (processes.start(audiences.nobody) === undefined) return;
  }

  function sweep(): void {
    const before = Date.now() - spec.pool.idleTimeoutMs;
    for (const slot of slots.idle()) {
      const spare = slot.audience.kind !== "shared" || slots.size > minimum;
      if (spare && slot.uris.size === 0 && slot.usedAt <= before) processes.end(slot);
    }
    keepReady();
  }

  const sweeping = setInterval(sweep, Math.min(SWEEP_MAX_MS, spec.pool.idleTimeoutMs));
  return {
    offer,
    restarts,
    get deaths() {
      return deaths;
    },
    get isKnown() {
      return status !== undefined;
    },
    discover,
    onRoom: () => isWaiting && discover(),
    opened({ audience }) {
      if (audience.kind !== "shared") return;
      restarts.recovered();
      if (status === "unavailable") discover();
    },
    startFailed({ audience, hidden }, reason) {
      // Another client may be refused what this one was: only what all share says something of the server.
      if (!hidden && (slots.size === 0 || audience.kind === "shared")) restarts.failed(reason);
    },
    died({ startedAt, connection }, reason) {
      deaths += 1;
      const livedMs = Date.now() - startedAt;
      log.warn({ reason, livedMs, pid: connection?.pid }, "a connection to a server ended");
      if (slots.size === 0) restarts.died(`${reason}${connection?.note() ?? ""}`, livedMs);
    },
    stop() {
      stopped = true;
      clearInterval(sweeping);
      offer.stop();
      restarts.stop();
    },
  };
}

/** Sessions' processes are started for them alone. */
function minimumOf({ mode, min }: PoolSpec): number {
  return mode === "session" ? 0 : min;
}
