import { eventually, legacyClient, line, modernClient, ms, must, renderTable } from "@tollgate/testkit";
import { readCpu } from "./cpu.ts";
import { type CatalogueStage, onCatalogueStage, TOOLS_IN_ALL } from "./catalogue-stage.ts";

const REPLICAS = 2;
const TRIALS = 50;
const WARM_UP_TRIALS = 5;
const HEARD_MAX_MS = 200;
const HEARD_TIMEOUT_MS = 10_000;
const READY_TIMEOUT_MS = 60_000;
const PAUSE_MIN_MS = 100;
const PAUSE_MAX_MS = 400;

/**
 * From when a runner begins to report another list of tools to when a client of each gateway is told so. The gateways
 * have a registry each, and all reports go to the first.
 */
export function measureChanges(): Promise<number> {
  return onCatalogueStage({ replicas: REPLICAS }, async (stage) => {
    const listeners: Listener[] = [];
    try {
      for (const url of stage.urls) {
        await untilListed(`${url}/mcp`, stage.token);
        listeners.push(await listen(`${url}/mcp`, stage.token));
      }
      await playTrials(stage, listeners, { from: -WARM_UP_TRIALS, to: 0 });
      const before = readCpu(stage.pids);
      const times = await playTrials(stage, listeners, { from: 0, to: TRIALS });
      const after = readCpu(stage.pids);
      const cpu = Object.keys(before).map((name) => `${name} ${ms((after[name]! - before[name]!) / TRIALS)}`);
      const lines = times.map((each, gateway) => {
        const where = gateway === 0 ? "the registry that was told" : "another registry";
        const [p50, p99, max] = [at(each, 0.5), at(each, 0.99), each.at(-1)!];
        const found = `p50 ${ms(p50)}, p99 ${ms(p99)}, max ${ms(max)}`;
        return must(`client of the gateway at ${where}`, found, `≤ ${HEARD_MAX_MS} ms`, max <= HEARD_MAX_MS);
      });
      const title = `A change of one of ${TOOLS_IN_ALL} tools, ${TRIALS} times, until list_changed is heard`;
      process.stdout.write(renderTable(title, [...lines, line("processor time for each change", cpu.join(", "))]));
      return lines.some(({ reached }) => reached === false) ? 1 : 0;
    } finally {
      for (const listener of listeners) listener.close();
    }
  });
}

/** Of each listener, sorted. */
async function playTrials(
  stage: CatalogueStage,
  listeners: readonly Listener[],
  { from, to }: { from: number; to: number },
): Promise<number[][]> {
  const times = listeners.map((): number[] => []);
  for (let trial = from; trial < to; trial++) {
    // So that trials fall on all places of whatever looks at intervals.
    const pauseMs = PAUSE_MIN_MS + Math.random() * (PAUSE_MAX_MS - PAUSE_MIN_MS);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
    const began = performance.now();
    const heard = listeners.map((listener) => listener.next());
    await stage.reportTool(Math.abs(trial), `new_${trial}`);
    const ends = await Promise.all(heard);
    ends.forEach((end, n) => times[n]!.push(end - began));
  }
  return times.map((each) => each.toSorted((a, b) => a - b));
}

const at = (sorted: readonly number[], share: number) =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;

async function untilListed(url: string, token: string): Promise<void> {
  const client = modernClient({ url, token });
  const check = async () => {
    let [total, cursor] = [0, undefined as string | undefined];
    do {
      const { last, text } = await client.request("tools/list", cursor === undefined ? {} : { cursor });
      if (last?.result === undefined) throw new Error(`no list: ${text}`);
      const { tools, nextCursor } = last.result as { tools: unknown[]; nextCursor?: string };
      [total, cursor] = [total + tools.length, nextCursor];
    } while (cursor !== undefined);
    if (total !== TOOLS_IN_ALL) throw new Error(`${total} of ${TOOLS_IN_ALL} tools`);
  };
  await eventually(check, { timeoutMs: READY_TIMEOUT_MS });
}

interface Listener {
  /** When list_changed is heard next, in monotonic milliseconds. */
  next(): Promise<number>;
  close(): void;
}

/** A session's own stream. */
async function listen(url: string, token: string): Promise<Listener> {
  const { session } = await legacyClient({ url, token });
  const closing = new AbortController();
  const headers = { authorization: `Bearer ${token}`, accept: "text/event-stream", "mcp-session-id": session };
  const response = await fetch(url, { headers, signal: closing.signal });
  if (response.status !== 200) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  let onHeard: (() => void) | undefined;
  const read = async () => {
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream()))
      if (chunk.includes("notifications/tools/list_changed")) onHeard?.();
  };
  read().catch(() => undefined);
  return {
    next: () =>
      new Promise((resolve, reject) => {
        const late = setTimeout(() => reject(new Error("list_changed was not heard")), HEARD_TIMEOUT_MS);
        onHeard = () => {
          clearTimeout(late);
          onHeard = undefined;
          resolve(performance.now());
        };
      }),
    close: () => closing.abort(),
  };
}
