import { eventually } from "@tollgate/testkit";
import type { Load } from "./load.ts";
import type { Stage } from "./stage.ts";

const LEASE_MS = 1_000;
/** Each waits a second for policy before it is refused. */
const WATCHED_MS = 4_000;
const BACK_TIMEOUT_MS = 30_000;

export interface Silence {
  readonly sentAfter: number;
  readonly letInAfter: number;
  readonly admittedAfter: number;
}

/** Kills policy under load: what is let in after the lease, by the callers' word and by the audit's. */
export async function playSilence(stage: Stage, load: Load, streams: readonly string[]): Promise<Silence> {
  await stage.system.kill("policy");
  const after = Date.now() + LEASE_MS;
  await new Promise((resolve) => setTimeout(resolve, LEASE_MS + WATCHED_MS));
  const looks = await Promise.all(streams.map((name) => load.look(name)));
  const sent = looks.flat().filter(({ sentAt }) => sentAt > after);
  const until = Date.now();
  await stage.system.start("policy");
  await eventually(
    async () => {
      for (const url of stage.urls) if ((await fetch(`${url}/readyz`)).status !== 200) throw new Error("not ready");
    },
    { timeoutMs: BACK_TIMEOUT_MS },
  );
  const { items } = await stage.api<{ items: object[] }>(
    "GET",
    `/audit/events?kind=call&from=${new Date(after + 1).toISOString()}&to=${new Date(until).toISOString()}&limit=1000`,
  );
  return {
    sentAfter: sent.length,
    letInAfter: sent.filter(({ isLetIn }) => isLetIn).length,
    admittedAfter: items.filter((event) => (event as { acceptedAt: number }).acceptedAt > after).length,
  };
}
