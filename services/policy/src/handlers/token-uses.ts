import type { policyV1 } from "@tollgate/contracts";
import type { Life, Log, Pool } from "@tollgate/service";
import { readTokenUses, type TokenUse, writeTokenUses } from "../store/token-uses.ts";

const WRITE_INTERVAL_MS = 10_000;
const NOTED_MAX = 20_000;
const CLOSE_MS = 1_000;

/** When tokens were used last, as gateways have seen it. Never a change of the state: no call and no change waits for it. */
export interface TokenUses {
  note(used: readonly policyV1.Used[]): void;
  /** By the tokens' names, in Unix milliseconds; those of other replicas some seconds late. */
  read(): Promise<ReadonlyMap<string, number>>;
}

export function keepTokenUses({ pool, life, log }: { pool: Pool; life: Life; log: Log }): TokenUses {
  /** Not written yet. */
  let noted = new Map<string, TokenUse>();
  let writing: Promise<void> = Promise.resolve();

  async function write(): Promise<void> {
    if (noted.size === 0) return;
    const uses = noted;
    noted = new Map();
    try {
      await writeTokenUses(pool, [...uses.values()]);
    } catch (error) {
      // They are noted again with the next use.
      log.warn({ err: error }, "when tokens were used last could not be stored");
    }
  }

  const timer = setInterval(() => void (writing = writing.then(write)), WRITE_INTERVAL_MS);
  life.onClose("token uses", CLOSE_MS, async () => {
    clearInterval(timer);
    await writing.then(write);
  });

  return {
    note(used) {
      const nowMs = Date.now();
      for (const { tenant, credential: name, atMs } of used) {
        if (noted.size >= NOTED_MAX && !noted.has(name)) return;
        // No later than now, whatever a gateway's clock says; what is no time would keep all the others from being stored.
        const usedAtMs = Math.max(0, Math.min(Number(atMs), nowMs));
        // A certificate's or an issuer's name is not a token's.
        if (!name.includes(":")) noted.set(name, { tenant, name, atMs: usedAtMs });
      }
    },
    async read() {
      const uses = await readTokenUses(pool);
      for (const { name, atMs } of noted.values()) uses.set(name, Math.max(atMs, uses.get(name) ?? 0));
      return uses;
    },
  };
}
