import { type CallEvent, timeOfId } from "@tollgate/contracts";
import { cardAt, costOf, type Priced, type RateCard } from "./rate-card.ts";
import { formatNano } from "./decimal.ts";

/** One call as it is billed. */
export interface MeteredCall extends Priced {
  /** Unix milliseconds: the time in the call's id. */
  readonly timeMs: number;
  readonly id: string;
  readonly sequence: number;
  readonly tenant: string;
  readonly team: string;
  readonly principal: string;
  readonly group: string;
  readonly server: string;
  readonly tool: string;
  readonly outcome: string;
  /** `id@version` of the card it was priced by. */
  readonly rateCard: string;
  /** A decimal number. */
  readonly cost: string;
}

/** No call lasts longer or is larger: a number past that is a writer's mistake, and billing it would be one too. */
const DURATION_MAX_US = 30 * 86_400 * 1_000_000;
const BYTES_MAX = 1e12;

/** Every outcome is billed, `unknown`, `cancelled` and `timeout` too: the call was taken in and used what it used. */
export function toMeteredCall(event: CallEvent, sequence: number, cards: readonly RateCard[]): MeteredCall {
  const timeMs = timeOfId(event.id);
  const priced: Priced = {
    durationUs: bounded(event.durationMs * 1_000, DURATION_MAX_US),
    requestBytes: bounded(event.requestBytes, BYTES_MAX),
    responseBytes: bounded(event.responseBytes, BYTES_MAX),
    // Of all fields here the only one that is not checked when an event is parsed.
    coldStart: (event as { readonly coldStart: unknown }).coldStart === true,
  };
  const card = cardAt(cards, timeMs);
  return {
    ...priced,
    timeMs,
    id: event.id,
    sequence,
    tenant: event.tenant,
    team: storable(event.team),
    principal: storable(event.principal),
    group: storable(event.group),
    server: storable(event.server),
    tool: storable(event.tool),
    outcome: event.outcome,
    rateCard: `${card.id}@${card.version}`,
    cost: formatNano(costOf(priced, card)),
  };
}

function bounded(value: number, max: number): number {
  return Math.min(Math.max(Math.round(value), 0), max);
}

/** PostgreSQL takes no NUL in a text. */
function storable(value: string): string {
  return value.replaceAll("\0", "\u{fffd}");
}

/**
 * Each call once: of several outcomes the one that is first on the stream. A batch is not always in stream order, since
 * what a crashed replica had not stored comes back late.
 */
export function withoutDuplicates(calls: readonly MeteredCall[]): MeteredCall[] {
  const first = new Map<string, MeteredCall>();
  for (const call of calls) {
    const key = `${call.tenant} ${call.id}`;
    const known = first.get(key);
    if (known === undefined || call.sequence < known.sequence) first.set(key, call);
  }
  return [...first.values()];
}
