import { AppError } from "@tollgate/errors";
import { type OpaAnswer, readOpaResult } from "../domain/opa.ts";
import { NoAnswer, type OpaEngine } from "./opa-engine.ts";
import { createPlaces } from "./places.ts";

const AT_ONCE_MAX = 64;
const WAITING_MAX = 1_000;
const ANSWER_MAX_BYTES = 1024 * 1024;
/** After so many failures in a row nothing is asked for so long: one that is down is not waited for at every call. */
const FAILURES_MAX = 5;
const REST_MS = 1_000;
/** What is said by whoever stands before an OPA that is not there. Other statuses may be due to what a caller has sent. */
const AWAY_STATUSES: ReadonlySet<number> = new Set([429, 502, 503, 504]);

/** OPA's data API: https://www.openpolicyagent.org/docs/rest-api, "Get a document (with input)". */
export function openOpaRest(options: {
  readonly url: string;
  readonly path: string;
  /** A secret. */
  readonly token: string | undefined;
  readonly restMs?: number;
}): OpaEngine {
  const { url, path, token, restMs = REST_MS } = options;
  const target = `${url}/v1/data/${path}`;
  const headers = {
    "content-type": "application/json",
    accept: "application/json",
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
  };
  const places = createPlaces({ atOnceMax: AT_ONCE_MAX, waitingMax: WAITING_MAX });
  let failures = 0;
  // Monotonic milliseconds.
  let restsUntil = 0;

  async function post(input: string, signal: AbortSignal): Promise<OpaAnswer> {
    const response = await fetch(target, {
      method: "POST",
      headers,
      body: `{"input":${input}}`,
      // Whoever can make it redirect would decide, and get the token.
      redirect: "manual",
      signal,
    });
    if (response.status !== 200) {
      await response.body?.cancel();
      const message = `OPA answered with status ${response.status}`;
      throw AWAY_STATUSES.has(response.status) ? new Away(message) : new NoAnswer(message);
    }
    return readOpaResult(resultOf(await readBounded(response)));
  }

  return {
    async ask(input, signal) {
      if (performance.now() < restsUntil) throw new NoAnswer("OPA did not answer lately");
      try {
        const answer = await places.hold(signal, () => post(input, signal));
        failures = 0;
        return answer;
      } catch (error) {
        if (isOverload(error)) throw new NoAnswer("too many wait for OPA", { cause: error });
        const told = error instanceof NoAnswer ? error : toAway(error, signal);
        failures = told instanceof Away ? failures + 1 : 0;
        if (failures >= FAILURES_MAX) restsUntil = performance.now() + restMs;
        throw told;
      }
    },
    close: () => undefined,
  };
}

/** Nobody answered, which is not what this caller has sent. */
class Away extends NoAnswer {}

function toAway(cause: unknown, signal: AbortSignal): Away {
  return new Away(signal.aborted ? "OPA did not answer in time" : "OPA cannot be reached", { cause });
}

const isOverload = (error: unknown): boolean => error instanceof AppError && error.code === "overloaded";

/** Undefined where the rule is undefined: the document has no `result` then. */
function resultOf(text: string): unknown {
  const refuse = (cause?: unknown) => new NoAnswer("OPA's answer is not what its API promises", { cause });
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    throw refuse(error);
  }
  if (typeof document !== "object" || document === null || Array.isArray(document)) throw refuse();
  return Object.hasOwn(document, "result") ? (document as { result: unknown }).result : undefined;
}

async function readBounded(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    // Leaving the loop ends the connection.
    if (bytes > ANSWER_MAX_BYTES) throw new NoAnswer(`OPA's answer is longer than ${ANSWER_MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
