import { type Era, parseFrame, type ResponseFrame } from "@tollgate/mcp";
import { argumentsTextOf, resultTextOf } from "../domain/frame-parts.ts";
import { isInputRequired } from "../domain/input-required.ts";
import { CACHED_MARK, markResult } from "../domain/marks.ts";
import { editsOfResponse, NO_EDITS, passesAsItIs } from "../domain/outward.ts";
import { resultKey } from "../domain/result-cache.ts";
import { ruleOf } from "../domain/tool-rules.ts";
import { responseForClient } from "../domain/translation.ts";
import { type CallState, standsAlone } from "./call-state.ts";

/** Keeps what a tool has answered, where that is declared and the tool does no harm when it runs once more. */
export function keepResult(state: CallState, frame: ResponseFrame, era: Era): void {
  // What its client was asked meanwhile is part of it.
  const place = state.givingUp === undefined ? placeOf(state) : undefined;
  const text = resultTextOf(frame);
  // A task's result is not its own, and one that wants to know something is none yet.
  if (!place || text === undefined || frame.text.includes('"taskId"') || isInputRequired(frame.result)) return;
  state.options.results.keep(place.key, { text, era, at: Date.now() });
}

export interface Kept {
  readonly text: string;
  readonly at: number;
  /** As its server wrote it. */
  readonly resultText: string;
}

/** The newest result that was kept of the same call, marked as such, as its client gets it. */
export function keptAnswer(state: CallState): Kept | undefined {
  const { envelope, options, idText } = state;
  const { facts, client, prefixed } = envelope;
  const now = Date.now();
  const place = placeOf(state);
  const kept = place && options.results.find(place.key, now - place.validMs);
  const parsed = kept && parseFrame(`{"jsonrpc":"2.0","id":1,"result":${kept.text}}`);
  if (!parsed?.ok || parsed.frame.kind !== "response") return undefined;
  const { frame } = parsed;
  const outward = { facts, prefixed, sealers: options.sealers, home: {}, now };
  const text = responseForClient(frame, {
    idText,
    method: facts.method,
    from: kept!.era,
    to: client.era,
    edits: passesAsItIs(frame, prefixed) ? NO_EDITS : editsOfResponse(frame, outward),
  });
  const { at } = kept!;
  const mark = { at: new Date(at).toISOString(), ageSeconds: Math.round((now - at) / 1_000) };
  return { text: markResult(text, CACHED_MARK, mark), at, resultText: kept!.text };
}

/** Where a call's result is kept, and for how long; undefined where it is not. */
function placeOf(state: CallState): { key: string; validMs: number } | undefined {
  const { envelope, options, frame } = state;
  const { facts, retrySafe } = envelope;
  if (!retrySafe) return undefined;
  const spec = options.poolOf(facts.server)?.spec;
  const validMs = spec === undefined ? 0 : (ruleOf(spec, facts)?.cachedResultMs ?? 0);
  if (spec === undefined || validMs === 0 || !standsAlone(state)) return undefined;
  return { key: resultKey(facts, spec.specHash, argumentsTextOf(frame)), validMs };
}
