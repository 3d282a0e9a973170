import type { Path } from "./document.ts";
import type { EntryKind } from "./entries.ts";

/** Stands where an entry has what may be a secret in plain text. */
export const HIDDEN = "(hidden)";

type Value = Readonly<Record<string, unknown>>;

/** What an entry hides, by its path as JSON. */
export type HiddenValues = Readonly<Record<string, unknown>>;

/** Where an entry may hold a secret. A text with a placeholder holds none itself. */
function secretPlaces(kind: EntryKind, value: Value): Path[] {
  const names = (of: Value, key: string): Path[] => Object.keys(Object(of[key]) as object).map((name) => [key, name]);
  if (kind === "server") return [["url"], ...names(value, "env"), ...names(value, "headers")];
  if (kind !== "group" || !Array.isArray(value["connectors"])) return [];
  return value["connectors"].flatMap((connector: unknown) => {
    const of = Object(connector) as Value;
    const auth = names(of, "auth").filter(([, key]) => SECRET_AUTH_KEYS.has(String(key)));
    return [...names(of, "headers"), ...auth].map((path) => ["connectors", String(of["id"]), ...path]);
  });
}

/** Of a connector's `auth`. */
const SECRET_AUTH_KEYS: ReadonlySet<string> = new Set(["token", "password", "value", "client_secret"]);

/** The entry as it may be stored and shown, and what is left out of it. */
export function hideSecretsOf(kind: EntryKind, value: Value): { readonly shown: Value; readonly hidden: HiddenValues } {
  const hidden: Record<string, unknown> = {};
  let shown = value;
  for (const path of secretPlaces(kind, value)) {
    const found = valueAt(value, path);
    if (found === undefined || found === "" || /(?<!\$)\$\{/.test(JSON.stringify(found))) continue;
    hidden[JSON.stringify(path)] = found;
    shown = withValue(shown, path, HIDDEN);
  }
  return { shown, hidden };
}

/** What hideSecretsOf has taken apart. */
export function revealSecretsOf(shown: Value, hidden: HiddenValues): Value {
  return Object.entries(hidden).reduce<Value>(
    (value, [path, found]) => withValue(value, JSON.parse(path) as Path, found),
    shown,
  );
}

/**
 * An entry that somebody has changed as it was shown: what is still hidden is what it was.
 * @returns the places where there was nothing, as mistakes
 */
export function keepHidden(
  kind: EntryKind,
  value: Value,
  before: Value | undefined,
): { readonly value: Value; readonly missing: readonly Path[] } {
  const places = secretPlaces(kind, value).filter((path) => valueAt(value, path) === HIDDEN);
  const missing = places.filter((path) => valueAt(before, path) === undefined);
  const kept = places
    .filter((path) => !missing.includes(path))
    .reduce<Value>((whole, path) => withValue(whole, path, valueAt(before, path)), value);
  return { value: kept, missing };
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((at, step) => memberOf(at, step), value);
}

/** Of lists whose entries have ids, a member is named by its id: its position may be another one. */
function memberOf(holder: unknown, step: string | number): unknown {
  if (Array.isArray(holder) && typeof step === "string")
    return holder.find((each: unknown) => (each as { id?: unknown } | null)?.id === step) as unknown;
  if (typeof holder !== "object" || holder === null || !Object.hasOwn(holder, step)) return undefined;
  return (holder as Record<string, unknown>)[step];
}

function withValue(holder: Value, [step, ...rest]: Path, value: unknown): Value {
  if (step === undefined) return value as Value;
  const changed = withValue(memberOf(holder, step) as Value, rest, value);
  if (Array.isArray(holder))
    return holder.map((each: unknown) => (each === memberOf(holder, step) ? changed : each)) as unknown as Value;
  return { ...holder, [step]: changed };
}
