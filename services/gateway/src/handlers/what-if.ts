import { parseAuditEvent, type policyV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { callUnary } from "@tollgate/service";
import {
  type DecidedEvent,
  type Difference,
  differenceOf,
  isDecided,
  toRecordedCall,
} from "../domain/recorded-calls.ts";
import { type ApiOptions, TIMEOUT_MS } from "./api-options.ts";
import { readAuditPage } from "./audit-reader.ts";

/** Of the audit, and of what policy is asked at a time. */
const PAGE_EVENTS = 1_000;
/** Where more was not examined, a cursor goes on from there. */
const RUN_MAX_MS = 30_000;

/** What is examined, and under which policies. */
export interface WhatIfQuery {
  /** Unix milliseconds, inclusive. */
  readonly fromMs: number;
  /** Exclusive. */
  readonly toMs: number;
  readonly tenant: string;
  readonly proposed: readonly policyV1.Policy[];
  readonly removed: readonly string[];
  /** Events. */
  readonly limit: number;
  readonly cursor: string;
}

export interface WhatIfSummary {
  /** Calls and refusals that were decided anew. */
  readonly examined: number;
  /** Refusals that share the event of another one: nobody knows whose they were. */
  readonly folded: number;
  /** All of the time was examined. */
  readonly complete: boolean;
  readonly nextCursor: string | null;
}

/** Differences come newest first; `onDifferences` says whether there is room for more. */
export type WhatIf = (
  query: WhatIfQuery,
  onDifferences: (differences: readonly Difference[]) => Promise<boolean> | boolean,
) => Promise<WhatIfSummary>;

/** One run at a time: it reads the audit as fast as it can. */
export function createWhatIf(options: Pick<ApiOptions, "clients" | "metadata">): WhatIf {
  let running = false;
  return async (query, onDifferences) => {
    if (running)
      throw new AppError("overloaded", "another what-if is running at this gateway; try again when it has ended");
    running = true;
    try {
      return await run(options, query, onDifferences);
    } finally {
      running = false;
    }
  };
}

async function run(
  options: Pick<ApiOptions, "clients" | "metadata">,
  query: WhatIfQuery,
  onDifferences: Parameters<WhatIf>[1],
): Promise<WhatIfSummary> {
  const until = performance.now() + RUN_MAX_MS;
  let read = 0;
  let examined = 0;
  let folded = 0;
  let { cursor } = query;
  let next = readPage(options, query, cursor);
  for (;;) {
    const page = await next;
    cursor = page.nextCursor;
    read += page.events.length;
    const mayGoOn = cursor !== "" && read < query.limit && performance.now() < until;
    // The next page is read while policy decides on this one. Its failure is heard of when it is waited for.
    if (mayGoOn) (next = readPage(options, query, cursor)).catch(() => undefined);
    const decided = parse(page.events);
    examined += decided.length;
    for (const { event } of decided) folded += event.kind === "refusal" ? event.count - 1 : 0;
    const hasRoom = await onDifferences(await compare(options, query, decided));
    if (!mayGoOn || !hasRoom) break;
  }
  return { examined, folded, complete: cursor === "", nextCursor: cursor === "" ? null : cursor };
}

function readPage(options: Pick<ApiOptions, "clients" | "metadata">, query: WhatIfQuery, cursor: string) {
  const { tenant, fromMs, toMs } = query;
  // Of all kinds: calls and refusals, in one order, are nearly all that there is.
  const filter = { tenant, fromMs: BigInt(fromMs), toMs: BigInt(toMs) };
  return readAuditPage(options, { filter, cursor, pageSize: PAGE_EVENTS });
}

interface Recorded {
  readonly event: DecidedEvent;
  readonly call: policyV1.RecordedCall;
}

function parse(lines: readonly string[]): Recorded[] {
  return lines.flatMap((line) => {
    const parsed = parseAuditEvent(line);
    if (!parsed.ok || !isDecided(parsed.value)) return [];
    const call = toRecordedCall(parsed.value);
    return call === undefined ? [] : [{ event: parsed.value, call }];
  });
}

async function compare(
  { clients: { policy }, metadata }: Pick<ApiOptions, "clients" | "metadata">,
  { proposed, removed }: WhatIfQuery,
  recorded: readonly Recorded[],
): Promise<Difference[]> {
  if (recorded.length === 0) return [];
  const asked = { proposed: [...proposed], removed: [...removed], calls: recorded.map(({ call }) => call) };
  const unary = { metadata, timeoutMs: TIMEOUT_MS, service: "policy" };
  const { decisions } = await callUnary(policy.whatIf.bind(policy), asked, unary);
  if (decisions.length !== recorded.length)
    throw new AppError("internal", "policy answered another number of decisions");
  return recorded.flatMap(({ event }, index) => differenceOf(event, decisions[index]!) ?? []);
}
