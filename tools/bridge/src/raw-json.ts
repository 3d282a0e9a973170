/**
 * Reads JSON without re-writing it: the pieces come back exactly as they were spelled, so that `1.0`, a 20-digit number
 * or a doubled key survives. The text must be valid JSON; the caller has parsed it before.
 */
export interface RawMember {
  /** The decoded key; empty for an element of an array. */
  readonly key: string;
  /** The value's own text, without the blanks around it. */
  readonly value: string;
}

/** The members of the object, or the elements of the array, that `text` holds; none for any other value. */
export function rawMembers(text: string): RawMember[] {
  const body = text.trim();
  const isObject = body.startsWith("{");
  if (!isObject && !body.startsWith("[")) return [];
  const members: RawMember[] = [];
  let at = 1;
  while (at < body.length) {
    const end = endOfPart(body, at);
    const part = body.slice(at, end).trim();
    if (part !== "") members.push(isObject ? splitMember(part) : { key: "", value: part });
    at = end + 1;
  }
  return members;
}

/** The text of an object's member; the last of several, as JSON.parse reads it. */
export function rawMember(text: string, key: string): string | undefined {
  return rawMembers(text).findLast((member) => member.key === key)?.value;
}

function splitMember(part: string): RawMember {
  const keyEnd = endOfString(part, 0);
  const colon = part.indexOf(":", keyEnd);
  return { key: JSON.parse(part.slice(0, keyEnd)) as string, value: part.slice(colon + 1).trim() };
}

/** Where the part that starts at `from` ends: at its comma, or at the bracket that closes the whole. */
function endOfPart(text: string, from: number): number {
  let depth = 0;
  let at = from;
  while (at < text.length) {
    const character = text[at];
    if (character === '"') {
      at = endOfString(text, at);
      continue;
    }
    if (character === "{" || character === "[") depth++;
    else if ((character === "}" || character === "]") && depth-- === 0) return at;
    else if (character === "," && depth === 0) return at;
    at++;
  }
  return at;
}

/** The index after the closing quote of the string that opens at `from`. */
function endOfString(text: string, from: number): number {
  let at = from + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at + 1;
}
