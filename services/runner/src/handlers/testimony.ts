import {
  type CallEnvelope,
  type CallEvent,
  type CallFallback,
  EVENT_MAX_CHARS,
  type Recordable,
  RECORDABLE,
  type Recording,
} from "@tollgate/contracts";
import { keyedHash, type RecordingKeys, sealRecording } from "@tollgate/evidence";
import type { Ended } from "./call-state.ts";

/** Room for the name of the field and the commas around it. */
const FIELD_MAX_CHARS = 100;

/** What a call's event says of its arguments and its result: hashes, and where that was asked for themselves, encrypted. */
export function withTestimony(
  event: CallEvent,
  { envelope, ended, keys }: { envelope: CallEnvelope; ended: Ended; keys: RecordingKeys },
): CallEvent {
  const { argumentsText, resultText, ending } = ended;
  const wanted = wantedOf(envelope, ending.fallback);
  const said: CallEvent = {
    ...event,
    ...(argumentsText === undefined ? {} : { argumentsHash: keyedHash(keys, argumentsText) }),
    ...(resultText === undefined ? {} : { resultHash: keyedHash(keys, resultText) }),
  };
  const texts = { arguments: argumentsText, result: resultText };
  const there = wanted.filter((each) => texts[each] !== undefined);
  if (there.length === 0) return said;
  const parts = Object.fromEntries(there.map((each) => [each, texts[each]!]));
  const recorded = sealRecording({ keys, callId: event.id, parts });
  return { ...said, recorded: fits(said, recorded) ? recorded : { keyId: recorded.keyId, omitted: there } };
}

/** What the call's own tool asks for, and the one that has answered in its place. */
function wantedOf({ record = [], fallbacks }: CallEnvelope, fallback: CallFallback | undefined): Recordable[] {
  if (fallback === undefined || "cachedAt" in fallback) return [...record];
  const { server, tool } = fallback;
  const other = fallbacks?.find((each) => each.server === server && each.tool === tool)?.record ?? [];
  return RECORDABLE.filter((each) => record.includes(each) || other.includes(each));
}

/** An event is a line that readers take: they refuse longer ones. */
function fits(event: CallEvent, recorded: Recording): boolean {
  return JSON.stringify(event).length + JSON.stringify(recorded).length + FIELD_MAX_CHARS <= EVENT_MAX_CHARS;
}
