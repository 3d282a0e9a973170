// The thread in which a compiled policy runs: what takes too long can only be ended with its thread.
import { isMainThread, parentPort, workerData } from "node:worker_threads";
import { loadPolicy, type LoadedPolicy } from "@open-policy-agent/opa-wasm";
import { type OpaAnswer, readOpaResult } from "../domain/opa.ts";

export interface WorkerData {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly entrypoint: string;
  readonly memory: { readonly initial: number; readonly maximum: number };
}

/** First whether the policy can be used, then for each input an answer. */
export type WorkerMessage =
  | { readonly kind: "ready" }
  | { readonly kind: "unusable"; readonly reason: string }
  | { readonly kind: "answer"; readonly answer: OpaAnswer }
  | { readonly kind: "failed"; readonly reason: string };

if (!isMainThread && parentPort !== null) await serve(workerData as WorkerData, parentPort);

async function serve(data: WorkerData, port: NonNullable<typeof parentPort>): Promise<void> {
  const say = (message: WorkerMessage) => port.postMessage(message);
  let policy: LoadedPolicy;
  try {
    policy = await load(data);
  } catch (error) {
    return say({ kind: "unusable", reason: reasonOf(error) });
  }
  port.on("message", (input: string) => {
    try {
      const { buffer } = new TextEncoder().encode(input);
      const [first] = policy.evaluate(buffer, data.entrypoint) as { result?: unknown }[];
      say({ kind: "answer", answer: readOpaResult(first?.result) });
    } catch (error) {
      say({ kind: "failed", reason: reasonOf(error) });
    }
  });
  say({ kind: "ready" });
}

async function load({ bytes, entrypoint, memory }: WorkerData): Promise<LoadedPolicy> {
  const policy = await loadPolicy(bytes, { ...memory });
  const known = Object.keys(policy.entrypoints as object);
  if (!known.includes(entrypoint)) throw new Error(`it has no entrypoint ${entrypoint}, but ${known.join(", ")}`);
  return policy;
}

/** The library throws texts, and objects with a message, too. */
function reasonOf(error: unknown): string {
  const text = typeof error === "string" ? error : (error as { message?: unknown } | null)?.message;
  return typeof text === "string" ? text : "for no reason that is told";
}
