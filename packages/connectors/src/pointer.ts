import { isObject } from "./exact-json.ts";

/** What stands at a JSON pointer (RFC 6901); undefined where nothing does. */
export function valueAt(value: unknown, pointer: string): unknown {
  return stepsOf(pointer).reduce<unknown>((at, step) => {
    if (Array.isArray(at)) return /^\d+$/.test(step) ? (at as unknown[])[Number(step)] : undefined;
    return isObject(at) && Object.hasOwn(at, step) ? at[step] : undefined;
  }, value);
}

/** The value with something else at the pointer, where something stands there. */
export function withValueAt(value: unknown, pointer: string, replacement: unknown): unknown {
  return replaced(value, stepsOf(pointer), replacement);
}

function replaced(value: unknown, [step, ...rest]: readonly string[], replacement: unknown): unknown {
  if (step === undefined) return replacement;
  if (Array.isArray(value))
    return value.map((each, at) => (String(at) === step ? replaced(each, rest, replacement) : each));
  return isObject(value) ? { ...value, [step]: replaced(value[step], rest, replacement) } : value;
}

function stepsOf(pointer: string): string[] {
  return pointer
    .split("/")
    .slice(1)
    .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
}
