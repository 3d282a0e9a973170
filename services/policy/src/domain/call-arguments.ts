import type { Parsed } from "@tollgate/contracts";
import { parseJson } from "@tollgate/mcp";

// A call's arguments, as policies see them; cedar-schema.ts says what they are there.

export interface CallArguments {
  readonly texts: ReadonlyMap<string, string>;
  readonly numbers: ReadonlyMap<string, string>;
  readonly flags: ReadonlyMap<string, boolean>;
  /** Names of which nothing can be said; whatever they are asked for, an allow does not hold and a deny does. */
  readonly unclear: readonly string[];
}

/** Of one call, objects among them. */
const ARGUMENTS_MAX = 256;
/** Cedar's decimals have four places and 63 bits. */
const DECIMAL_PLACES = 4;
const DECIMAL_MAX = 900_000_000_000_000;

export const NO_ARGUMENTS: CallArguments = { texts: new Map(), numbers: new Map(), flags: new Map(), unclear: [] };

/** Nothing is known of these; of all others, that they are not there. */
export function unclearArguments(names: readonly string[]): CallArguments {
  return { ...NO_ARGUMENTS, unclear: names };
}

/** @param text JSON */
export function parseArguments(text: string): Parsed<CallArguments> {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch {
    return { ok: false, reason: "its arguments are not JSON" };
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return { ok: false, reason: "its arguments are not an object" };
  return flatten(value as Record<string, unknown>);
}

function flatten(whole: Record<string, unknown>): Parsed<CallArguments> {
  const texts = new Map<string, string>();
  const numbers = new Map<string, string>();
  const flags = new Map<string, boolean>();
  const unclear = new Set<string>();
  const seen = new Set<string>();

  function sort(name: string, value: unknown): void {
    if (typeof value === "boolean") flags.set(name, value);
    else if (typeof value === "string" && value.isWellFormed()) texts.set(name, value);
    else if (typeof value === "number" && toDecimal(value) !== undefined) numbers.set(name, toDecimal(value)!);
    else {
      unclear.add(name);
      // What is in an object follows by its own name.
      if (!isObject(value)) unclear.add(`${name}.*`);
    }
  }

  // Not by recursion: how deep it goes is the caller's choice.
  const waiting: [string, unknown][] = Object.entries(whole);
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const [name, value] = next;
    if (seen.size >= ARGUMENTS_MAX) return { ok: false, reason: `it has more than ${ARGUMENTS_MAX} arguments` };
    // "a.b" and the "b" of "a": which of the two counts, the server decides.
    if (seen.has(name)) for (const values of [texts, numbers, flags]) values.delete(name);
    sort(name, seen.has(name) ? undefined : value);
    seen.add(name);
    if (isObject(value)) for (const [key, inner] of Object.entries(value)) waiting.push([`${name}.${key}`, inner]);
  }
  return { ok: true, value: { texts, numbers, flags, unclear: [...unclear] } };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Undefined where a decimal would be another number. */
export function toDecimal(value: number): string | undefined {
  if (!(Math.abs(value) <= DECIMAL_MAX)) return undefined;
  const text = (value === 0 ? 0 : value).toFixed(DECIMAL_PLACES);
  return Number(text) === value ? text : undefined;
}
