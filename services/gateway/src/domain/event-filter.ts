import { type AuditEvent, type auditV1, facetsOf } from "@tollgate/contracts";

type Filter = Pick<
  auditV1.EventFilter,
  "tenant" | "kind" | "outcome" | "principal" | "team" | "group" | "server" | "tool" | "policy" | "decision" | "trace"
>;

const FACETS = ["outcome", "principal", "team", "group", "server", "tool", "decision", "trace"] as const;

/** Whether an event is what a search of the record with the same filter would find. An empty member does not filter. */
export function fits(event: AuditEvent, filter: Filter): boolean {
  const { tenant, kind, policy } = filter;
  if ((tenant !== "" && tenant !== event.tenant) || (kind !== "" && kind !== event.kind)) return false;
  const facets = facetsOf(event);
  if (policy !== "" && facets.policies?.includes(policy) !== true) return false;
  return FACETS.every((name) => filter[name] === "" || filter[name] === facets[name]);
}

/** An event's place on the stream: its message, and its place in that. */
export interface EventPlace {
  readonly sequence: number;
  readonly place: number;
}

const PLACE = /^(\d{1,15})\.(\d{1,4})$/;

export function placeText({ sequence, place }: EventPlace): string {
  return `${sequence}.${place}`;
}

/** What a client sends back to go on after it; undefined when no event was ever there. */
export function parsePlace(text: string): EventPlace | undefined {
  const found = PLACE.exec(text);
  return found === null ? undefined : { sequence: Number(found[1]), place: Number(found[2]) };
}

/** Each with its place. A message's events come together. */
export function* placed<T extends { readonly sequence: number }>(events: readonly T[]): Generator<[T, EventPlace]> {
  let place = 0;
  let before: number | undefined;
  for (const event of events) {
    place = event.sequence === before ? place + 1 : 0;
    before = event.sequence;
    yield [event, { sequence: event.sequence, place }];
  }
}

export function isBehind(at: EventPlace, after: EventPlace): boolean {
  return at.sequence > after.sequence || (at.sequence === after.sequence && at.place > after.place);
}
