import { createFairGate, type FairGate } from "@tollgate/fair-queue";

/** How long a start may wait for others to have started. */
const START_WAIT_MS = 120_000;

/** What all pools of a runner share: so many processes in all, and so many of them starting at the same time. */
export interface Spawning {
  /** Processes that are there, with those that are ending. */
  readonly count: number;
  /** Starts take turns by server, and none has them all: one that hangs does not hold up the others. */
  readonly starting: FairGate;
  /** A process's place; undefined when there is no room, and then `onRoom` says when there is. */
  take(): SpawnPlace | undefined;
  join(member: SpawningMember): () => void;
  /** Has an idle process of any pool end, unless enough are ending already. False when all are in use. */
  makeRoom(): boolean;
}

export interface SpawnPlace {
  /** The process is about to end. */
  leave(this: void): void;
  /** It has ended. */
  free(this: void): void;
}

export interface SpawningMember {
  /** Ends a process that nobody uses. False when there is none. */
  readonly endIdle: () => boolean;
  readonly onRoom: () => void;
}

export function createSpawning(limits: { startsMax: number; processesMax: number }): Spawning {
  const { startsMax, processesMax } = limits;
  const members = new Set<SpawningMember>();
  const ofOneServer = { max: Math.max(1, Math.floor(startsMax / 2)), waiting: processesMax };
  let count = 0;
  let leaving = 0;

  /** Whoever was asked first is asked last the next time. */
  function askInTurn(ask: (member: SpawningMember) => boolean): boolean {
    for (const member of Array.from(members)) {
      if (!members.delete(member)) continue;
      members.add(member);
      if (ask(member)) return true;
    }
    return false;
  }

  return {
    get count() {
      return count;
    },
    starting: createFairGate({
      name: "starts of servers",
      max: startsMax,
      limitsOf: () => ofOneServer,
      waitMs: START_WAIT_MS,
    }),
    take() {
      if (count >= processesMax) return undefined;
      count += 1;
      let state: "there" | "leaving" | "gone" = "there";
      const leave = () => {
        if (state !== "there") return;
        state = "leaving";
        leaving += 1;
      };
      const free = () => {
        leave();
        if (state === "gone") return;
        state = "gone";
        leaving -= 1;
        count -= 1;
        askInTurn(({ onRoom }) => (onRoom(), count >= processesMax));
      };
      return { leave, free };
    },
    join(member) {
      members.add(member);
      return () => members.delete(member);
    },
    makeRoom: () => count - leaving < processesMax || askInTurn(({ endIdle }) => endIdle()),
  };
}
