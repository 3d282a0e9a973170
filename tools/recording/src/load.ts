import { randomBytes } from "node:crypto";
import { modernClient } from "@tollgate/testkit";
import { type Stage, TOOL } from "./stage.ts";

const LANES = 32;

/** What its caller knows of a call. */
export type Known =
  /** A result, or an error from behind the gate: there is an outcome. */
  | "answered"
  /** It was not let in, or its gateway was away: there may be an outcome, if it was taken in and nobody heard of it. */
  | "refused";

export interface Load {
  /** By trace id. */
  readonly calls: ReadonlyMap<string, Known>;
  readonly done: Promise<void>;
  /** The first reasons of calls that were not answered well. */
  readonly reasons: ReadonlyMap<string, number>;
}

/** `total` calls at a rate, each with a trace id of its own by which it is found again. It ends by itself. */
export function startLoad({ system }: Stage, options: { total: number; perSecond: number }): Load {
  const { total, perSecond } = options;
  const client = modernClient({ url: `${system.gatewayUrl}/mcp`, token: system.token });
  const calls = new Map<string, Known>();
  const reasons = new Map<string, number>();
  const began = performance.now();
  let next = 0;

  async function call(): Promise<void> {
    const trace = randomBytes(16).toString("hex");
    let reason: string;
    try {
      const { last, status } = await client.request("tools/call", {
        name: TOOL,
        arguments: { n: trace, ms: 0 },
        _meta: { traceparent: `00-${trace}-${trace.slice(0, 16)}-01` },
      });
      if (last?.result) return void calls.set(trace, "answered");
      reason = String(last?.error?.data?.code ?? last?.error?.code ?? status);
    } catch (error) {
      reason = (error as Error).message;
    }
    calls.set(trace, reason === "outcome_unknown" ? "answered" : "refused");
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }

  async function lane(): Promise<void> {
    for (let n = next++; n < total; n = next++) {
      const wait = began + (n * 1_000) / perSecond - performance.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      await call();
    }
  }

  const done = Promise.all(Array.from({ length: LANES }, lane)).then(() => undefined);
  return { calls, done, reasons };
}
