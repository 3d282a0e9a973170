import { type CallEvent, storedText, timeOfId } from "@tollgate/contracts";
import { formatNano } from "./decimal.ts";
import { costOf, type Priced, type Selector } from "./rate-card.ts";
import type { Tariff } from "./tariff.ts";

/** What one call used, and who pays. */
export interface CallUsage extends Priced, Selector {
  /** Unix milliseconds: the time in the call's id. */
  readonly timeMs: number;
  readonly id: string;
  readonly sequence: number;
  readonly team: string;
  readonly principal: string;
  readonly outcome: string;
  /** How often a server was handed it. */
  readonly downstreamCalls: number;
}

/** What a call costs. */
export interface Price {
  /** Which of its tenant's calls in the month it is. */
  readonly monthCall: number;
  /** `id@version` of the card it was priced by. */
  readonly rateCard: string;
  /** A decimal number. */
  readonly cost: string;
}

/** No call lasts longer or is larger: a number past that is a writer's mistake, and billing it would be one too. */
const DURATION_MAX_US = 30 * 86_400 * 1_000_000;
const BYTES_MAX = 1e10;
const COUNT_MAX = 10_000;

/** Every outcome is billed, `unknown`, `cancelled` and `timeout` too: the call was taken in and used what it used. */
export function toCallUsage(event: CallEvent, sequence: number): CallUsage {
  // Of these fields nothing is checked when an event is parsed.
  const { coldStart, coldStartCalls, cpuMs, attempts, apiRequests, startedAt } = event as {
    readonly [K in "coldStart" | "coldStartCalls" | "cpuMs" | "attempts" | "apiRequests" | "startedAt"]?: unknown;
  };
  return {
    timeMs: timeOfId(event.id),
    id: event.id,
    sequence,
    durationUs: bounded(event.durationMs * 1_000, DURATION_MAX_US),
    cpuUs: typeof cpuMs === "number" ? bounded(cpuMs * 1_000, DURATION_MAX_US) : 0,
    requestBytes: bounded(event.requestBytes, BYTES_MAX),
    responseBytes: bounded(event.responseBytes, BYTES_MAX),
    coldStartCalls: coldStart === true ? countOf(coldStartCalls) : 0,
    downstreamCalls: typeof startedAt === "number" ? countOf(apiRequests ?? attempts) : 0,
    tenant: event.tenant,
    team: storedText(event.team, STORED_MAX_BYTES.team),
    principal: storedText(event.principal, STORED_MAX_BYTES.principal),
    group: storedText(event.group, STORED_MAX_BYTES.group),
    server: storedText(event.server, STORED_MAX_BYTES.server),
    tool: storedText(event.tool, STORED_MAX_BYTES.tool),
    outcome: event.outcome,
  };
}

export function priceCall(
  usage: Omit<CallUsage, "sequence">,
  { monthCall, tariff }: { monthCall: number; tariff: Tariff },
): Price {
  const card = tariff.cardFor(usage, usage.timeMs);
  const cost = formatNano(costOf(usage, card, monthCall));
  return { monthCall, rateCard: `${card.id}@${card.version}`, cost };
}

/** From 1 on: what is said of a call that has happened counts it at least. */
function countOf(value: unknown): number {
  return typeof value === "number" && value >= 1 ? bounded(value, COUNT_MAX) : 1;
}

/** NaN, which no number of an event is when it was parsed from JSON, would be 0. */
function bounded(value: number, max: number): number {
  return Math.min(Math.max(Math.round(value) || 0, 0), max);
}

/** In bytes. Together they are a key of the sums of days, and below what a row of an index may have. */
export const STORED_MAX_BYTES = { principal: 512, tool: 1_024, team: 256, group: 128, server: 128 } as const;

/** Each call once: of several outcomes the one that is first on the stream. */
export function withoutDuplicates(calls: readonly CallUsage[]): CallUsage[] {
  const seen = new Set<string>();
  return calls.filter((call) => {
    const key = `${call.tenant} ${call.id}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

/** A calendar month of UTC: "2026-11". */
export function monthOf(timeMs: number): string {
  const time = new Date(timeMs);
  const month = time.getUTCMonth() + 1;
  return `${time.getUTCFullYear()}-${month < 10 ? "0" : ""}${month}`;
}
