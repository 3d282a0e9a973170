import type { DesiredState, LoadCovered, Misfit, OverlayEntry } from "@tollgate/desired-state";
import { AppError } from "@tollgate/errors";
import { keyOf } from "../domain/layers.ts";

/** After so many tries all that may be set aside is. */
const ROUNDS_MAX = 100;
const PROBLEM_MAX_CHARS = 500;

/** What the API says of entries, over the file: what of it is in force, and why the rest is not. */
export interface Fitted {
  readonly state: DesiredState;
  /** By keyOf: what is wrong with it. */
  readonly aside: ReadonlyMap<string, string>;
}

type Load = (overlay: readonly OverlayEntry[]) => ReturnType<LoadCovered>;

/**
 * Loads the file with the overlay over it; what does not go together with the rest is left out, where it may be. The file
 * is without mistakes by itself.
 * @param mayMiss whether an entry may be left out
 * @throws {AppError} invalid_argument with `mistakes`, where one that may not would have to be; those of others are not told
 */
export async function loadFitting(
  load: Load,
  overlay: readonly OverlayEntry[],
  mayMiss: (entry: OverlayEntry) => boolean,
): Promise<Fitted> {
  const aside = new Map<string, string>();
  const fixed = overlay.filter((each) => !mayMiss(each));
  let loose = overlay.filter(mayMiss);
  for (let rounds = 0; ; rounds++) {
    // In their order: later ones lean on those before them.
    const tried = await attempt(
      load,
      overlay.filter((each) => !aside.has(keyOf(each))),
    );
    if (tried.ok) return { state: tried.state, aside };
    if (loose.length === 0) throw tried.error;
    const wrong = rounds < ROUNDS_MAX ? await findMisfits(load, { fixed, loose, tried }) : blame(loose, tried);
    for (const [key, reason] of wrong) aside.set(key, reason.slice(0, PROBLEM_MAX_CHARS));
    loose = loose.filter((each) => !aside.has(keyOf(each)));
  }
}

type Attempt = { readonly ok: true; readonly state: DesiredState } | Failed;

interface Failed {
  readonly ok: false;
  readonly error: AppError;
  /** By entries of the overlay. */
  readonly misfits: ReadonlyMap<string, string>;
  /** Whether something else is wrong as well. */
  readonly isElsewhere: boolean;
}

async function attempt(load: Load, overlay: readonly OverlayEntry[]): Promise<Attempt> {
  try {
    return { ok: true, state: await load(overlay) };
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "invalid_argument") throw error;
    const { misfits = [], others = 1 } = error.details as { misfits?: readonly Misfit[]; others?: number };
    const byEntry = Map.groupBy(misfits, keyOf);
    const texts = [...byEntry].map(([key, all]) => [key, all.map(({ mistake }) => mistake).join("; ")] as const);
    return { ok: false, error, misfits: new Map(texts), isElsewhere: others > 0 };
  }
}

/** At least one of `loose`, and what is wrong with it. */
async function findMisfits(
  load: Load,
  { fixed, loose, tried }: { fixed: readonly OverlayEntry[]; loose: readonly OverlayEntry[]; tried: Failed },
): Promise<ReadonlyMap<string, string>> {
  const keys = new Set(loose.map(keyOf));
  const named = new Map([...tried.misfits].filter(([key]) => keys.has(key)));
  if (named.size > 0) return named;
  const alone = await attempt(load, fixed);
  if (!alone.ok) throw alone.error;
  // What is wrong then is wrong elsewhere: one of them brings it about, such as one that takes away what others need.
  let [fits, fails, failure] = [0, loose.length, tried];
  while (fails - fits > 1) {
    const middle = Math.floor((fits + fails) / 2);
    const half = await attempt(load, [...fixed, ...loose.slice(0, middle)]);
    const isBad = !half.ok && (half.isElsewhere || [...half.misfits.keys()].some((key) => !keys.has(key)));
    if (isBad) [fails, failure] = [middle, half];
    else fits = middle;
  }
  return blame(loose.slice(fits, fails), failure);
}

function blame(entries: readonly OverlayEntry[], { error }: Failed): ReadonlyMap<string, string> {
  const mistakes = error.details["mistakes"] as readonly string[] | undefined;
  const reason = mistakes?.join("; ") ?? error.message;
  return new Map(entries.map((each) => [keyOf(each), reason]));
}
