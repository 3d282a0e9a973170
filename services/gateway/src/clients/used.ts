import type { policyV1 } from "@tollgate/contracts";

const MESSAGE_MAX = 500;
const WAITING_MAX = 10_000;

interface InUse {
  readonly principal: policyV1.Principal;
  usedIn: number;
}

/**
 * Which credentials were used since policy was told last. On the way of every call: whoever is noted already costs a
 * comparison.
 */
export function createUsed() {
  const waiting = new Map<string, policyV1.Used>();
  let interval = 0;
  return {
    note(inUse: InUse): void {
      if (inUse.usedIn === interval) return;
      inUse.usedIn = interval;
      const { tenant, credential } = inUse.principal;
      if (credential === "" || waiting.size >= WAITING_MAX) return;
      waiting.set(`${tenant}\n${credential}`, { tenant, credential, atMs: BigInt(Date.now()) });
    },
    take(): policyV1.Used[] {
      interval += 1;
      const taken = [...waiting].slice(0, MESSAGE_MAX);
      for (const [key] of taken) waiting.delete(key);
      return taken.map(([, used]) => used);
    },
  };
}
