import type { Mistake, Path } from "./document.ts";
import type { Section } from "./state.ts";

interface Entry {
  readonly path: Path;
  readonly value: unknown;
}

/**
 * What only shows when entries are seen together: ids used twice, servers of groups that are not there. Works on
 * values that are not checked yet, so that these mistakes are told together with all others.
 */
export function findReferenceMistakes(values: unknown, sections: readonly Section[]): Mistake[] {
  const tokens = ["control_plane", "auth", "tokens"];
  const mistakes = [
    ...findRepeated(entriesOf(values, ["groups"], "id"), "is the id of another group already"),
    ...findRepeated(entriesOf(values, ["mcp_servers"], "id"), "is the id of another server already"),
    ...findRepeated(entriesOf(values, ["policies"], "name"), "is the name of another policy already"),
    ...findRepeated(entriesOf(values, tokens, "name"), "is the name of another token already"),
    ...findRepeated(entriesOf(values, tokens, "token"), "is the same secret as another token's"),
  ];
  if (!sections.includes("groups")) return mistakes;
  const groups = new Set(entriesOf(values, ["groups"], "id").map(({ value }) => value));
  const known = groups.size === 0 ? "groups: has none" : `there are ${[...groups].slice(0, 10).join(", ")}`;
  for (const { path, value } of entriesOf(values, ["mcp_servers"], "group")) {
    if (!groups.has(value)) mistakes.push({ path, message: `is not the id of a group; ${known}` });
  }
  return mistakes;
}

function entriesOf(values: unknown, listPath: Path, key: string): Entry[] {
  const list = listPath.reduce<unknown>(
    (at, step) => (at as Record<string, unknown> | null | undefined)?.[step],
    values,
  );
  if (!Array.isArray(list)) return [];
  return list.flatMap((entry: unknown, index) => {
    const value = (entry as Record<string, unknown> | null)?.[key];
    return typeof value === "string" ? [{ path: [...listPath, index, key], value }] : [];
  });
}

function findRepeated(entries: readonly Entry[], message: string): Mistake[] {
  const seen = new Set<unknown>();
  return entries.filter(({ value }) => seen.size === seen.add(value).size).map(({ path }) => ({ path, message }));
}
