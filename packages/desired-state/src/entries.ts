import type { Mistake, Path } from "./document.ts";
import { variablesNamed } from "./placeholders.ts";
import type { Section } from "./state.ts";

/** What can be declared one by one, in the file and by the API. */
export const ENTRY_KINDS = ["group", "server", "tool_set", "tenant"] as const;
export type EntryKind = (typeof ENTRY_KINDS)[number];

export interface EntryKey {
  readonly kind: EntryKind;
  readonly id: string;
}

/** As it is written: `${NAME}` unresolved. May hold plain secrets. */
export interface WrittenEntry extends EntryKey {
  readonly value: Readonly<Record<string, unknown>>;
}

/** Stands for the file's entry of that id, or joins the file's; without a value it takes that entry away. */
export interface OverlayEntry extends EntryKey {
  readonly value: Readonly<Record<string, unknown>> | undefined;
}

export const SECTION_OF: Readonly<Record<EntryKind, Section>> = {
  group: "groups",
  server: "mcp_servers",
  tool_set: "tool_sets",
  tenant: "tenants",
};

/** Variables of the installation itself hold its secrets; this one is a folder. */
const OWN_VARIABLE = /^TOLLGATE_(?!FILES_DIR$)/;

/** A file's sections with an overlay over them. */
export interface Covered {
  readonly values: Record<string, unknown>;
  /** Where in the file what stands at the path comes from; undefined where it is the overlay's. */
  inFile(path: Path): Path | undefined;
  /** The entry that the path leads into. */
  entryAt(path: Path): EntryKey | undefined;
}

/** @param values of a file, unchecked */
export function coverEntries(values: Readonly<Record<string, unknown>>, overlay: readonly OverlayEntry[]): Covered {
  const covered: Record<string, unknown> = { ...values };
  const origins = new Map<string, readonly (number | undefined)[]>();
  for (const kind of ENTRY_KINDS) {
    const section = SECTION_OF[kind];
    const own = overlay.filter((each) => each.kind === kind);
    const list = values[section] ?? [];
    // What is no list is a mistake of the file, and told as such.
    if (own.length === 0 || !Array.isArray(list)) continue;
    const merged = coverList(list, own);
    covered[section] = merged.map(({ value }) => value);
    origins.set(
      section,
      merged.map(({ index }) => index),
    );
  }
  return {
    values: covered,
    inFile(path) {
      const [section, index, ...rest] = path;
      if (typeof index !== "number") return path;
      const own = origins.get(String(section));
      if (own === undefined) return path;
      return own[index] === undefined ? undefined : [section!, own[index], ...rest];
    },
    entryAt([section, index]) {
      const kind = ENTRY_KINDS.find((each) => SECTION_OF[each] === section);
      const id = kind && idOf((covered[SECTION_OF[kind]] as unknown[] | undefined)?.[Number(index)]);
      return kind === undefined || id === undefined ? undefined : { kind, id };
    },
  };
}

interface Placed {
  readonly value: unknown;
  /** In the file. */
  readonly index: number | undefined;
}

/** The file's in their places, then what joins them. */
function coverList(list: readonly unknown[], own: readonly OverlayEntry[]): Placed[] {
  const byId = new Map(own.map((each) => [each.id, each]));
  const kept = list.flatMap((value: unknown, index): Placed[] => {
    const over = byId.get(idOf(value) ?? "");
    if (over === undefined) return [{ value, index }];
    byId.delete(over.id);
    return over.value === undefined ? [] : [{ value: over.value, index: undefined }];
  });
  const joining = [...byId.values()].filter(({ value }) => value !== undefined);
  return [...kept, ...joining.map(({ value }) => ({ value, index: undefined }))];
}

function idOf(value: unknown): string | undefined {
  const id = (value as { id?: unknown } | null | undefined)?.id;
  return typeof id === "string" ? id : undefined;
}

/** The entries of a file's sections, unchecked. */
export function entriesIn(values: Readonly<Record<string, unknown>>): WrittenEntry[] {
  return ENTRY_KINDS.flatMap((kind) => {
    const list = values[SECTION_OF[kind]];
    if (!Array.isArray(list)) return [];
    return list.flatMap((value: unknown) => {
      const id = idOf(value);
      return id === undefined ? [] : [{ kind, id, value: value as WrittenEntry["value"] }];
    });
  });
}

/** Variables that an entry of the API must not name: who may declare servers need not know the installation's secrets. */
export function findVariableMistakes(covered: Covered, isOfApi: (entry: EntryKey) => boolean): Mistake[] {
  return ENTRY_KINDS.flatMap((kind) => {
    const section = SECTION_OF[kind];
    const list = covered.values[section];
    if (!Array.isArray(list)) return [];
    return list.flatMap((value: unknown, index) => {
      const entry = covered.entryAt([section, index]);
      return entry !== undefined && isOfApi(entry) ? ownVariablesIn(value, [section, index]) : [];
    });
  });
}

function ownVariablesIn(value: unknown, path: Path): Mistake[] {
  if (typeof value === "object" && value !== null)
    return Object.entries(value).flatMap(([key, each]) =>
      ownVariablesIn(each, [...path, Array.isArray(value) ? Number(key) : key]),
    );
  if (typeof value !== "string") return [];
  const name = variablesNamed(value).find((each) => OWN_VARIABLE.test(each));
  return name === undefined ? [] : [{ path, message: `names ${name}: the file alone may use the installation's own` }];
}
