/** Something that is in one value and not in the other. */
export interface JsonDifference {
  /** `content[0].text`; empty for the whole. */
  readonly path: string;
  /** As JSON; absent where there is nothing. */
  readonly before?: string;
  readonly after?: string;
}

type Step = string | number;

const DEPTH_MAX = 200;

/**
 * Where two JSON values differ; the order of keys does not count, that of lists does. What lies on or below a path of
 * `ignored` is not looked at: in it `*` stands for any key or position.
 */
export function jsonDifferences(before: unknown, after: unknown, ignored: readonly string[]): JsonDifference[] {
  const found: JsonDifference[] = [];
  const patterns = ignored.map(stepsOf);
  compare(before, after, []);
  return found;

  function compare(one: unknown, other: unknown, path: readonly Step[]): void {
    if (patterns.some((pattern) => isAt(pattern, path))) return;
    if (path.length < DEPTH_MAX && isObject(one) && isObject(other) && Array.isArray(one) === Array.isArray(other)) {
      for (const key of keysOf(one, other)) compare(valueAt(one, key), valueAt(other, key), [...path, key]);
      return;
    }
    const [was, is] = [JSON.stringify(one), JSON.stringify(other)] as (string | undefined)[];
    if (was === is) return;
    found.push({
      path: pathText(path),
      ...(was === undefined ? {} : { before: was }),
      ...(is === undefined ? {} : { after: is }),
    });
  }
}

/** `content[0].text` and `content.0.text` are the same place. */
function stepsOf(path: string): string[] {
  return path
    .replaceAll(/\[(\d+|\*)\]/g, ".$1")
    .split(".")
    .filter((step) => step !== "");
}

function isAt(pattern: readonly string[], path: readonly Step[]): boolean {
  return pattern.length === path.length && pattern.every((step, at) => step === "*" || step === String(path[at]));
}

function keysOf(one: object, other: object): Step[] {
  if (Array.isArray(one) && Array.isArray(other))
    return Array.from({ length: Math.max(one.length, other.length) }, (_, at) => at);
  return [...new Set([...Object.keys(one), ...Object.keys(other)])];
}

/** Not of the prototype: a key may have any name. */
function valueAt(object: object, key: Step): unknown {
  return Object.hasOwn(object, key) ? (object as Record<Step, unknown>)[key] : undefined;
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function pathText(path: readonly Step[]): string {
  return path.map((step, at) => (typeof step === "number" ? `[${step}]` : at === 0 ? step : `.${step}`)).join("");
}
