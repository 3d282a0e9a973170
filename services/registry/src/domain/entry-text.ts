import type { Parsed } from "@tollgate/contracts";
import type { EntryKey } from "@tollgate/desired-state";
import type { EntryValue } from "./layers.ts";

/** A connector may bring its whole document along. */
const ENTRY_MAX_CHARS = 4 * 1024 * 1024;
const DEPTH_MAX = 64;

/** An entry of the API, from its JSON. Whether it is as it should be shows when it is loaded. */
export function parseEntry(text: string, { id }: EntryKey): Parsed<EntryValue> {
  if (text.length > ENTRY_MAX_CHARS) return refuse(`is larger than ${ENTRY_MAX_CHARS} characters`);
  if (isDeeper(text, DEPTH_MAX)) return refuse(`is nested more than ${DEPTH_MAX} deep`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refuse("is no JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return refuse("has to be an object");
  // PostgreSQL takes neither.
  const texts = textsIn(value);
  if (texts.some((each) => each.includes("\0") || !each.isWellFormed()))
    return refuse("holds a NUL or half a character");
  if ((value as { id?: unknown }).id !== id) return refuse(`id has to be "${id}"`);
  return { ok: true, value: value as EntryValue };
}

function isDeeper(json: string, max: number): boolean {
  let depth = 0;
  let inText = false;
  for (let at = 0; at < json.length; at++) {
    const char = json[at];
    if (char === "\\") at++;
    else if (char === '"') inText = !inText;
    else if (inText) continue;
    else if (char === "{" || char === "[") depth++;
    else if (char === "}" || char === "]") depth--;
    if (depth > max) return true;
  }
  return false;
}

function textsIn(value: unknown): string[] {
  if (typeof value === "string") return [value];
  if (typeof value !== "object" || value === null) return [];
  return [...(Array.isArray(value) ? [] : Object.keys(value)), ...Object.values(value).flatMap(textsIn)];
}

function refuse(reason: string): { ok: false; reason: string } {
  return { ok: false, reason };
}
