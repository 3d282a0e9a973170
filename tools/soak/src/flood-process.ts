// A process of its own, so that what a flood costs its maker does not slow the calls that are measured beside it.
// It is told once whom to call and how much, floods between "begin" and "end", and says what came of it.
import { modernClient } from "@tollgate/testkit";

export interface FloodOrder {
  readonly url: string;
  readonly token: string;
  readonly tool: string;
  readonly ms: number;
  /** Calls in flight. */
  readonly lanes: number;
}

export interface Flooded {
  readonly answered: number;
  readonly refused: number;
  /** What those that were refused were told; at most a few. */
  readonly told: readonly string[];
}

const TOLD_MAX = 2;

let order: FloodOrder;
let ending = new AbortController();
let flooding: Promise<Flooded>;

process.on("message", (message: FloodOrder | "begin" | "end") => {
  if (message === "begin") {
    ending = new AbortController();
    flooding = flood(order, ending.signal);
  } else if (message === "end") {
    ending.abort();
    void flooding.then((flooded) => process.send?.(flooded));
  } else order = message;
});
process.on("disconnect", () => process.exit());

/** Each client that is refused comes again when it is told to, or somewhat later, as real ones do. */
async function flood({ url, token, tool, ms, lanes }: FloodOrder, signal: AbortSignal): Promise<Flooded> {
  const client = modernClient({ url, token });
  const told = new Set<string>();
  const counts = { answered: 0, refused: 0 };
  const lane = async (): Promise<void> => {
    while (!signal.aborted) {
      const { last } = await client.request("tools/call", { name: tool, arguments: { ms } });
      if (last.result) counts.answered += 1;
      else {
        counts.refused += 1;
        if (told.size < TOLD_MAX) told.add(last.error.message);
        await pause(1000 * (last.error.data?.retryAfterSeconds ?? 1) * (1 + Math.random()), signal);
      }
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return { ...counts, told: [...told] };
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
  });
}
