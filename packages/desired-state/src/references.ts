import type { Mistake, Path } from "./document.ts";
import { findToolSetMistakes } from "./tool-sets.ts";

const AUTH: Path = ["control_plane", "auth"];

interface Entry {
  readonly path: Path;
  readonly value: unknown;
}

/**
 * What only shows when entries are seen together: ids used twice, servers of groups that are not there. Works on
 * values that are not checked yet, so that these mistakes are told together with all others.
 */
export function findReferenceMistakes(values: unknown): Mistake[] {
  const tokens = [...AUTH, "tokens"];
  const servers = serversOf(values);
  const mistakes = [
    ...findRepeated(entriesOf(values, ["groups"], "id"), "is the id of another group already"),
    ...findRepeated(
      servers.map(({ path, id: value }) => ({ path: [...path, "id"], value })),
      "is the id of another server already",
    ),
    ...findRepeated(entriesOf(values, ["tool_sets"], "id"), "is the id of another tool set already"),
    ...findRepeated(entriesOf(values, ["plans"], "name"), "is the name of another plan already"),
    ...findRepeated(entriesOf(values, ["tenants"], "id"), "is the id of another tenant already"),
    ...findRepeated(entriesOf(values, ["policies"], "name"), "is the name of another policy already"),
    ...findRepeated(entriesOf(values, ["rate_cards"], "id"), "is the id of another rate card already"),
    ...findRepeated(entriesOf(values, ["limits"], "name"), "is the name of another limit already"),
    ...findRepeated(entriesOf(values, ["audit", "exports"], "id"), "is the id of another export already"),
    ...findRepeated(entriesOf(values, tokens, "name"), "is the name of another token already"),
    ...findRepeated(entriesOf(values, tokens, "token"), "is the same secret as another token's"),
    ...findRepeated(entriesOf(values, [...AUTH, "agents"], "name"), "is the name of another agent already"),
    ...findRepeated(entriesOf(values, [...AUTH, "certificates"], "name"), "is the name of another certificate already"),
  ];
  const plans = new Set<unknown>(["default", ...entriesOf(values, ["plans"], "name").map(({ value }) => value)]);
  for (const { path, value } of entriesOf(values, ["tenants"], "plan"))
    if (!plans.has(value)) mistakes.push({ path, message: `is not the name of a plan; there are ${shown(plans)}` });
  mistakes.push(...findFallbackMistakes(servers));
  const groups = new Set(entriesOf(values, ["groups"], "id").map(({ value }) => value));
  const known = groups.size === 0 ? "groups: has none" : `there are ${shown(groups)}`;
  for (const { path, value } of entriesOf(values, ["mcp_servers"], "group")) {
    if (!groups.has(value)) mistakes.push({ path, message: `is not the id of a group; ${known}` });
  }
  mistakes.push(...findToolSetMistakes(values));
  return mistakes;
}

const SHOWN_MAX = 10;
const shown = (names: ReadonlySet<unknown>): string => [...names].slice(0, SHOWN_MAX).join(", ");

interface UncheckedServer {
  readonly path: Path;
  readonly id: unknown;
  readonly group: unknown;
  readonly tools: Readonly<Record<string, { readonly fallback?: unknown } | null>>;
}

/** Servers and the connectors of groups, which are servers too. */
function serversOf(values: unknown): UncheckedServer[] {
  const groups = listAt(values, "groups");
  return [
    ...listAt(values, "mcp_servers").map((server, index) => uncheckedServer(server, ["mcp_servers", index])),
    ...groups.flatMap((group, at) =>
      listAt(group, "connectors").map((connector, index) => ({
        ...uncheckedServer(connector, ["groups", at, "connectors", index]),
        group: group["id"],
      })),
    ),
  ];
}

function uncheckedServer({ id, group, tools }: Record<string, unknown>, path: Path): UncheckedServer {
  return { path, id, group, tools: (tools ?? {}) as UncheckedServer["tools"] };
}

function listAt(holder: unknown, key: string): Record<string, unknown>[] {
  const list = (holder as Record<string, unknown>)[key];
  return Array.isArray(list) ? list.map((each: unknown) => (each ?? {}) as Record<string, unknown>) : [];
}

/** A runner has the servers of its groups only, so another group's cannot stand in. */
function findFallbackMistakes(servers: readonly UncheckedServer[]): Mistake[] {
  return servers.flatMap(({ path: at, id, group, tools }) =>
    Object.entries(tools).flatMap(([tool, rule]) => {
      const fallbacks = Array.isArray(rule?.fallback) ? rule.fallback : [];
      return fallbacks.flatMap((each: unknown, position) => {
        const name = (each as { server?: unknown } | null)?.server;
        const found = servers.find((other) => other.id === name);
        const path = [...at, "tools", tool, "fallback", position, "server"];
        if (typeof name !== "string") return [];
        if (name === id) return [{ path, message: "is the server itself" }];
        if (found?.group === group) return [];
        return [{ path, message: found ? "is of another group" : "is not the id of a server" }];
      });
    }),
  );
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
  return entries
    .filter(({ value }) => typeof value === "string" && seen.size === seen.add(value).size)
    .map(({ path }) => ({ path, message }));
}
