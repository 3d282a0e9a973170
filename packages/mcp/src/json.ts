import { skipBlanks, skipScalar, skipString } from "./spans.ts";

/**
 * JSON.parse for texts that somebody else wrote. V8's own (https://github.com/nodejs/node/issues/63785) may take a key
 * with escapes for one that another text had in its place: whoever sends first `\u006` and then `\u0061moun` as keys
 * would have us read another name than everybody else does. It still says what is JSON, and reads what has no such key.
 * @param numberOf makes of a number's spelling what stands in its place; Number when left out
 * @throws {SyntaxError} when it is not JSON
 */
export function parseJson(text: string, numberOf?: (spelling: string) => unknown): unknown {
  const value: unknown = JSON.parse(text);
  return numberOf === undefined && !hasEscapedKey(text) ? value : read(text, numberOf ?? Number);
}

/** Looks at each string once that has an escape, from the first of them on. */
function hasEscapedKey(text: string): boolean {
  for (let at = text.indexOf("\\"); at >= 0; at = text.indexOf("\\", at)) {
    at = skipString(text, at - 1);
    if (text[skipBlanks(text, at)] === ":") return true;
  }
  return false;
}

type Container = unknown[] | Record<string, unknown>;

/** Of a text that JSON.parse has accepted. Not by recursion: how deep it goes is the sender's choice. */
function read(text: string, numberOf: (spelling: string) => unknown): unknown {
  const whole: unknown[] = [];
  const open: Container[] = [whole];
  let key: string | undefined;
  for (let i = skipBlanks(text, 0); i < text.length; i = skipBlanks(text, i)) {
    const first = text[i]!;
    if (first === "}" || first === "]") open.pop();
    if ("}],:".includes(first)) {
      i += 1;
      continue;
    }
    const inside = open.at(-1)!;
    const start = i;
    i = first === "{" || first === "[" ? i + 1 : first === '"' ? skipString(text, i) : skipScalar(text, i);
    const value = valueOf(text.slice(start, i), numberOf);
    if (Array.isArray(inside)) inside.push(value);
    else if (key === undefined) {
      key = value as string;
      continue;
    } else put(inside, key, value);
    key = undefined;
    if (first === "{" || first === "[") open.push(value as Container);
  }
  return whole[0];
}

function valueOf(token: string, numberOf: (spelling: string) => unknown): unknown {
  switch (token[0]) {
    case "{":
      return {};
    case "[":
      return [];
    case '"':
    case "t":
    case "f":
    case "n":
      // A string of its own, where a slice would keep the whole text in memory.
      return JSON.parse(token);
    default:
      return numberOf(token);
  }
}

/** Of equal keys the last counts. */
function put(object: Record<string, unknown>, key: string, value: unknown): void {
  if (key !== "__proto__") object[key] = value;
  else Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
}
